"""The optimisers of a game, one Adam per player."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.optim import Adam, Optimizer

from lib.games.game import Game, GameError


@dataclass(frozen=True)
class OptimConfig:
    """Adam for every player (Kingma and Ba 2015); two time scales need only two learning rates (TTUR)."""

    lr: float | Mapping[str, float] = 2e-4  # one learning rate, or player -> learning rate
    betas: tuple[float, float] = (0.5, 0.999)  # decay of the first and second moment; 0.5 is DCGAN's choice
    eps: float = 1e-8  # added to the root of the second moment

    def build(self, game: Game) -> dict[str, Optimizer]:
        """Player -> Adam over the parameters that the player owns.

        Raises:
            GameError: a learning rate is missing for a player or given for an unknown one.
        """
        rates = self.lr if isinstance(self.lr, Mapping) else dict.fromkeys(game.players, self.lr)
        if set(rates) != set(game.players):
            raise GameError(
                f"The learning rates are for the players {sorted(rates)}, but the game has "
                f"{sorted(game.players)}; give one number, or one for each player."
            )
        return {player: self._adam(game, player, rates[player]) for player in game.players}

    def _adam(self, game: Game, player: str, lr: float) -> Adam:
        parameters = game.parameters_of(player)
        # One fused kernel per step is several times faster than a Python loop over the parameters.
        fused = all(parameter.device.type in {"cpu", "cuda"} for parameter in parameters)
        return torch.optim.Adam(parameters, lr=lr, betas=self.betas, eps=self.eps, fused=fused)
