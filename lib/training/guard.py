"""The safety net of `play`: losses that stop being finite, interrupts, snapshots and checkpoints."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from lib.training.checkpoint import save_training
from lib.training.distributed import agree, rank_path
from lib.training.history import History
from lib.training.state import Training, capture, flatten, restore, unflatten


class NonFiniteLoss(ArithmeticError):
    """A loss or a weight became NaN or infinite; the training was put back to its last good round.

    Attributes:
        player, term, round: where it happened (`term` is a parameter's name where no loss was the first).
    """

    def __init__(self, player: str, term: str, round_index: int, what: str, back_to: int) -> None:
        self.player, self.term, self.round = player, term, round_index
        super().__init__(
            f"{what} in round {round_index}. The game is back at round {back_to}, its last good state. "
            "Try a lower learning rate, clip=1.0, or float32 instead of bfloat16."
        )


class Keeper:
    """Keeps the last good state in memory and, given a path, on disk. Never keeps a state with a NaN.

    Args:
        guard_every: rounds between two checks; each costs one transfer from the device and one copy of the
            state.
        checkpoint_every_s: seconds between two checkpoints.
    """

    def __init__(
        self,
        training: Training,
        history: History,
        checkpoint: Path | str | None,
        checkpoint_every_s: float,
        guard_every: int,
    ) -> None:
        self.training, self.history = training, history
        self.path = None if checkpoint is None else rank_path(checkpoint)
        self.checkpoint_every_s, self.guard_every = checkpoint_every_s, guard_every
        self._saved_at = time.monotonic()
        self._good: tuple[Any, dict[str, Tensor]] = self._copy()
        self._good_round = training.game.rounds_done

    def after_round(self) -> None:
        """Check, keep and save when it is time to."""
        due = self.path is not None and agree(time.monotonic() - self._saved_at) >= self.checkpoint_every_s
        if due:
            self.save()
        elif (self.training.game.rounds_done - self._good_round) >= self.guard_every:
            self.check()

    def check(self) -> None:
        """Keep the present state as the last good one.

        Raises:
            NonFiniteLoss: the present state is not good; the last good one has been restored.
        """
        trouble = self._trouble()
        if trouble is not None:
            self.rewind()
            raise NonFiniteLoss(*trouble, back_to=self._good_round)
        if self.training.game.rounds_done != self._good_round:
            self._good, self._good_round = self._copy(), self.training.game.rounds_done

    def save(self) -> None:
        """Check, then write the checkpoint if there is a path for one."""
        self.check()
        if self.path is not None:
            save_training(self.path, self.training)
            self._saved_at = time.monotonic()

    def rewind(self) -> None:
        """Go back to the last good state."""
        skeleton, tensors = self._good
        # Copies: what is restored is trained on, and the good state may be needed again.
        restore(self.training, unflatten(skeleton, {name: tensor.clone() for name, tensor in tensors.items()}))
        self.history.truncate(self._good_round)

    def _copy(self) -> tuple[Any, dict[str, Tensor]]:
        tensors: dict[str, Tensor] = {}
        skeleton = flatten(capture(self.training, history=False), "state", tensors)
        return skeleton, {name: tensor.clone() for name, tensor in tensors.items()}

    def _trouble(self) -> tuple[str, str, int, str] | None:
        bad = self.history.non_finite()
        if bad is not None:
            what = f"The loss term {bad.term!r} of player {bad.player!r} became {bad.value}"
            return bad.player, bad.term, bad.round, what
        # A finite loss can still have a NaN gradient (the root of 0, for one), which only the weights show.
        game = self.training.game
        owned = [(p, n, w) for p in game.players for n, w in game.named_parameters_of(p).items()]
        finite = torch.stack([weight.detach().isfinite().all() for _, _, weight in owned]).tolist()
        for (player, name, _), good in zip(owned, finite, strict=True):
            if not good:
                what = f"The gradient of player {player!r} made the weight {name!r} NaN or infinite"
                return player, name, game.rounds_done - 1, what
        return None


class StopRequest:
    """Turns the first Ctrl-C into a request to stop after the round; a second one interrupts at once.

    A round that is cut in half leaves one player ahead of the other, so training waits for its end. Outside
    the main thread, where Python delivers no signals, nothing changes.

    Args:
        on_cut: called when a round was cut in half all the same; the interrupt then ends here.
    """

    def __init__(self, on_cut: Callable[[], None]) -> None:
        self.requested = False
        self._on_cut = on_cut
        self._previous: Any = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        cut = kind is not None and issubclass(kind, KeyboardInterrupt)
        if cut:
            self.requested = True
            self._on_cut()
        return cut

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
