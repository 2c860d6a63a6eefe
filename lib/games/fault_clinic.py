"""The clinic: symptom -> number -> cause -> mend, where every row can be made ill and well again.

Each `Fault` measures one number in a training with the mistake and in the same training without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib.games import fault_measures as measures

__all__ = ["FAULTS", "Diagnosis", "Fault", "diagnosis_table"]


@dataclass(frozen=True)
class Fault:
    """One row of the symptom table.

    Attributes:
        name: key in `FAULTS`.
        symptom: what one sees, in the words in which people ask.
        look_at: what the number is.
        cause: the mistake.
        mend: what to do about it.
        measure: (broken, seed) -> the number, from a training or a forward pass with or without the mistake.
        limit: between the healthy and the broken numbers.
        high_is_ill: True where a broken training has the number above the limit.
    """

    name: str
    symptom: str
    look_at: str
    cause: str
    mend: str
    measure: Callable[[bool, int], float]
    limit: float
    high_is_ill: bool = True

    def is_ill(self, number: float) -> bool:
        """Whether a number stands on the broken side of the limit."""
        return number > self.limit if self.high_is_ill else number < self.limit

    def diagnose(self, seed: int = 0) -> Diagnosis:
        """Measure both sides."""
        return Diagnosis(self, self.measure(False, seed), self.measure(True, seed))


@dataclass(frozen=True)
class Diagnosis:
    """A fault with its number in a healthy and in a broken training."""

    fault: Fault
    healthy: float
    broken: float

    @property
    def caught(self) -> bool:
        """Whether the number tells the two apart."""
        return self.fault.is_ill(self.broken) and not self.fault.is_ill(self.healthy)

    def __str__(self) -> str:
        side = "above" if self.fault.high_is_ill else "below"
        return (
            f"{self.fault.look_at}: healthy {self.healthy:.3g}, broken {self.broken:.3g} "
            f"(ill {side} {self.fault.limit:g})"
        )


def diagnosis_table(diagnoses: Sequence[Diagnosis]) -> str:
    """The symptom table in Markdown."""
    lines = ["| symptom | look at | healthy | broken | cause | mend |", "|---|---|---:|---:|---|---|"]
    for d in diagnoses:
        f = d.fault
        lines.append(f"| {f.symptom} | {f.look_at} | {d.healthy:.3g} | {d.broken:.3g} | {f.cause} | {f.mend} |")
    return "\n".join(lines)


_ROWS = (
    Fault(
        "saturated",
        "D's loss goes to 0, the samples stand still",
        "gradient norm of G",
        "the saturating loss has no slope where D is sure",
        'loss="non-saturating"; R1 on D',
        measures.vanished_gradient,
        0.05,
        high_is_ill=False,
    ),
    Fault(
        "weak D",
        "both losses stand at log 2: has it converged?",
        "loss of a fresh D, in nats",
        "D is too weak to see a difference",
        "a larger D, or more turns of it",
        measures.fresh_loss_after,
        0.6,
        high_is_ill=False,
    ),
    Fault(
        "collapse",
        "the samples look good and alike",
        "modes covered, of 8",
        "G runs ahead of D to the best single spot",
        "lower G's learning rate; more turns of D",
        measures.modes_covered,
        5.5,
        high_is_ill=False,
    ),
    Fault(
        "spiral",
        "it was good, then fell apart",
        "distance to the equilibrium, in that of the start",
        "momentum in a game that turns, and nothing that damps it",
        "no momentum (Adam: beta_1 = 0), or R1; then EMA",
        measures.distance_from_equilibrium,
        1.5,
    ),
    Fault(
        "sigmoid, then log",
        "NaN or infinity after a while",
        "stopped by the guard (1) or not (0)",
        "log of a probability that has rounded to 0",
        "losses that take logits",
        measures.stopped_by_guard,
        0.5,
    ),
    Fault(
        "sigmoid twice",
        "D's loss sinks to 1.0 and never below",
        "D's loss on data that are easy to tell",
        "a sigmoid at the end of D, and another in the loss",
        "end D with a linear layer",
        measures.loss_on_easy_data,
        1.0,
    ),
    Fault(
        "targets above 1",
        "D's loss turns negative and falls for ever",
        "D's lowest loss on real data",
        "label noise beyond [0, 1]",
        "smooth real labels downwards only",
        measures.lowest_real_loss,
        0.0,
        high_is_ill=False,
    ),
    Fault(
        "cut graph",
        "the samples stay noise while all losses look alive",
        "gradient norm of G",
        "a detach or no_grad on the way from D to G",
        "a gradient audit before training",
        measures.gradient_reaching_g,
        1e-6,
        high_is_ill=False,
    ),
    Fault(
        "leak",
        "G learns, but hardly",
        "G's gradient along its own wish",
        "D's backward pass also filled G's gradients",
        "detach the fake in D's turn, or backward(inputs=...)",
        measures.pull_with_leak,
        0.5,
        high_is_ill=False,
    ),
    Fault(
        "labels swapped",
        "D wins from round one, the samples run away",
        "G's gradient along its own wish",
        "G is trained with the label 0",
        "the label 1 for fakes in G's turn",
        measures.pull_with_swapped_labels,
        0.0,
        high_is_ill=False,
    ),
    Fault(
        "wrong range",
        "the samples are grey, or D wins at once",
        "darkest pixel that D sees in real pictures",
        "data in [0, 1], G's tanh in [-1, 1]",
        "2 x - 1 in the loader",
        measures.darkest_pixel,
        -0.5,
    ),
    Fault(
        "checkerboard",
        "a fine checkerboard on every sample",
        "most over fewest contributions to a pixel",
        "kernel 3 (or 5) at stride 2",
        "kernel 4, or resize and convolve",
        measures.unevenness,
        1.5,
    ),
    Fault(
        "batch norm at D's input",
        "brightness and contrast drift, D does not object",
        "change of D when its batch is tripled and shifted",
        "batch norm removes each batch's mean and scale",
        "no norm on D's input; spectral norm",
        measures.answer_to_scaling,
        0.01,
        high_is_ill=False,
    ),
    Fault(
        "early eval mode",
        "good in training, noise when sampled",
        "difference of train and eval mode, in standard deviations",
        "running statistics of batch norm are not there yet",
        "train longer, sample in train mode, or average statistics again",
        measures.train_eval_gap,
        0.35,
    ),
    Fault(
        "normal eps",
        "the gradient penalty never settles",
        "share of its points off the line",
        "randn instead of rand for eps",
        "lib.losses.penalties.interpolates",
        measures.share_off_the_line,
        0.1,
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ROWS}
