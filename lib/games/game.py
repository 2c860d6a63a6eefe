"""The one abstraction of the book: a game is a generator of turns.

A conditional GAN is a game between players. A player owns networks; a turn is the moment at which one
player updates its networks. `Game.round` yields the turns of one round in order. Because it is a Python
generator, the code after a ``yield`` already sees the update made by that turn, and a fake is drawn once
and used by both players:

    class Pix2Pix(Game):
        players = {"D": ("D",), "G": ("G",)}

        def round(self, batch):
            x, y = batch["layout"], batch["image"]
            fake = self.G(x)
            yield Turn("D", real=real(self.D(x, y)), fake=fool(self.D(x, fake.detach())))
            yield Turn("G", gan=real(self.D(x, fake)), l1=100 * l1(fake, y))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class GameError(ValueError):
    """The rules of a game do not fit together: unknown players, shared or ownerless parameters."""


class Turn:
    """One player's move: the loss terms, already weighted, that its networks descend.

    Attributes:
        player: the name of the acting player, a key of `Game.players`.
        terms: name -> scalar tensor, in the order in which they were given.

    Raises:
        GameError: no terms, or a term that is not a scalar floating-point tensor.
    """

    def __init__(self, player: str, /, **terms: Tensor) -> None:
        if not terms:
            raise GameError(f"A turn of player {player!r} has no loss terms; give one, as in gan=loss.")
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.numel() != 1 or not term.is_floating_point():
                found = f"shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
                raise GameError(
                    f"The term {name!r} of player {player!r} must be one floating-point number as a tensor, "
                    f"not {found}; reduce it with .mean() or .sum()."
                )
        self.player = player
        self.terms: dict[str, Tensor] = {name: term.reshape(()) for name, term in terms.items()}

    @property
    def loss(self) -> Tensor:
        """The sum of the terms, a float32 scalar (float64 where a term is float64)."""
        at_least_float32 = [term.float() if term.dtype.itemsize < 4 else term for term in self.terms.values()]
        return torch.stack(at_least_float32).sum() if len(at_least_float32) > 1 else at_least_float32[0]

    def __repr__(self) -> str:
        return f"Turn({self.player!r}, {', '.join(self.terms)})"


class Game(nn.Module):
    """Networks, the players that own them, and the rules of one round.

    A subclass names its players, creates the networks in ``__init__`` and writes `round`. Every trainable
    parameter belongs to exactly one player; a frozen one (``requires_grad=False``) needs no owner.

    Attributes:
        players: player -> names of the attributes (networks or single parameters) that it owns.
        progress: how far the training is, in [0, 1]; set by `lib.training.play` before each round.
        rounds_done: complete rounds so far; set by `lib.training.play` and kept in checkpoints.

    State that must survive a checkpoint is a parameter, a buffer or a `torch.Generator` attribute.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for player, networks in cls.players.items():
            if isinstance(networks, str):
                raise GameError(
                    f"{cls.__name__}.players[{player!r}] is the string {networks!r}; "
                    f"write a tuple with a comma: ({networks!r},)."
                )

    def __init__(self) -> None:
        super().__init__()
        self.progress: float = 0.0
        self.rounds_done: int = 0

    def round(self, batch: Mapping[str, Any]) -> Iterator[Turn]:
        """Yield the turns of one round, in order. `batch` is what the stream drew."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a round is played; write round().")

    def network(self, name: str) -> nn.Module | nn.Parameter:
        """The network or parameter called `name` (a dotted name reaches inside a network)."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part, None)
        if isinstance(value, nn.Module | nn.Parameter):
            return value
        raise GameError(
            f"{type(self).__name__}.players names {name!r}, which is no network or parameter of the game; "
            f"create self.{name} in __init__ or correct the name."
        )

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """The trainable parameters that `player` owns, each once, in a fixed order."""
        return [weight for weight in self.named_parameters_of(player).values() if weight.requires_grad]

    def named_parameters_of(self, player: str) -> dict[str, nn.Parameter]:
        """Name -> parameter (trainable or not) of `player`; names are those of ``state_dict``."""
        if player not in self.players:
            raise GameError(
                f"{type(self).__name__} has no player {player!r}; its players are "
                f"{', '.join(map(repr, self.players)) or 'none'}."
            )
        owned: dict[str, nn.Parameter] = {}
        seen: set[int] = set()
        for name in self.players[player]:
            network = self.network(name)
            pairs = [("", network)] if isinstance(network, nn.Parameter) else list(network.named_parameters())
            for inner, parameter in pairs:
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    owned[f"{name}.{inner}" if inner else name] = parameter
        return owned

    def check_players(self) -> None:
        """Raise `GameError` unless every trainable parameter belongs to exactly one player."""
        if not self.players:
            raise GameError(f"{type(self).__name__} has no players; set players = {{'G': ('G',)}}.")
        owner: dict[int, str] = {}
        for player in self.players:
            for name, parameter in self.named_parameters_of(player).items():
                other = owner.setdefault(id(parameter), player)
                if other != player:
                    raise GameError(
                        f"The parameter {name!r} belongs to the players {other!r} and {player!r}; "
                        "give the shared network to one of them."
                    )
            if not self.parameters_of(player):
                raise GameError(f"The player {player!r} owns no trainable parameter; nothing can be updated.")
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and id(parameter) not in owner:
                raise GameError(
                    f"The parameter {name!r} belongs to no player; name its network in "
                    f"{type(self).__name__}.players or freeze it with requires_grad_(False)."
                )

    def generators(self) -> dict[str, torch.Generator]:
        """Every `torch.Generator` kept as an attribute of the game or of one of its networks, by name."""
        return {
            f"{prefix}.{name}" if prefix else name: value
            for prefix, module in self.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, torch.Generator)
        }
