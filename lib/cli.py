"""The command line: ``python -m lib <command>``.

Each command is one function in another module, imported only when it is asked for: ``doctor`` must run on a
machine where torch does not even import. A command with options takes one dataclass called ``config``; its
flags are generated from that dataclass by tyro.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

PROGRAM = "python -m lib"
USAGE_ERROR = 2
INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """Where a command lives and the one line that ``--help`` shows for it."""

    words: tuple[str, ...]
    summary: str
    module: str
    function: str


COMMANDS = (
    Command(("doctor",), "check this machine: one line per thing, each with its mend", "lib.doctor", "run"),
    Command(
        ("analogy",),
        "a photo, its layout, a new layout -> the new photo",
        "lib.games.analogy_cli",
        "main",
    ),
    Command(
        ("train", "analogy"),
        "train the analogy of a bundled photo and measure it",
        "lib.games.analogy_train",
        "main",
    ),
    Command(
        ("train", "digits"),
        "train the generator of handwritten digits of chapter 1",
        "lib.games.digits_train",
        "main",
    ),
    Command(
        ("train", "twostep"),
        "train the face translator of chapter 3 and measure it",
        "lib.games.two_step_train",
        "main",
    ),
    Command(
        ("train", "pix2pix"),
        "train a translator from labels, edges or greys to pictures",
        "lib.games.pix2pix_train",
        "main",
    ),
    Command(
        ("train", "cyclegan"),
        "train two translators between two piles of pictures",
        "lib.games.cyclegan_train",
        "main",
    ),
    Command(
        ("train", "stargan"),
        "train one generator for every attribute and expression of faces",
        "lib.games.stargan_train",
        "main",
    ),
    Command(
        ("train", "diat"),
        "train DIAT: give faces an attribute, in two stages",
        "lib.games.diat_train",
        "main",
    ),
    Command(
        ("train", "dtn"),
        "train DTN: street numbers to handwriting, or portraits to emoji",
        "lib.games.dtn_train",
        "main",
    ),
    Command(
        ("train", "identity"),
        "train the networks that recognise the people of the face world",
        "lib.games.identity_train",
        "main",
    ),
    Command(
        ("train", "srgan"),
        "train SRResNet and SRGAN to enlarge photos four times",
        "lib.games.srgan_train",
        "main",
    ),
    Command(
        ("train", "maskface"),
        "train faces from masks, in as many styles as one likes",
        "lib.games.maskface_train",
        "main",
    ),
    Command(
        ("train", "singan"),
        "train SinGAN, a pyramid of small GANs, on a bundled photo",
        "lib.games.singan_train",
        "main",
    ),
    Command(
        ("train", "spade"),
        "train SPADE: facades from label maps, heard after every norm",
        "lib.games.spade_train",
        "main",
    ),
    Command(
        ("train", "spade-photo"),
        "train SPADE on warps of one bundled photo, for comparison",
        "lib.baselines.spade_photo",
        "main",
    ),
    Command(
        ("train", "reader"),
        "train the network that reads the attributes of a world's pictures",
        "lib.games.reader_train",
        "main",
    ),
    Command(
        ("train", "parser"),
        "train the segmenter of a world, for the FCN-score",
        "lib.games.parser_train",
        "main",
    ),
    Command(
        ("data", "preview"),
        "a sheet of pictures and label maps from a world",
        "lib.data.worlds.preview",
        "main",
    ),
    Command(
        ("data", "list"),
        "public data sets with size, licence and citation",
        "lib.data.public.cli",
        "catalogue",
    ),
    Command(
        ("data", "fetch"),
        "download a public data set, verified and resumable",
        "lib.data.public.cli",
        "main",
    ),
    Command(
        ("bench", "worlds"),
        "pictures per second of each world, beside one training step",
        "lib.data.worlds.bench",
        "main",
    ),
    Command(
        ("bench", "translators"),
        "one round of pix2pix, CycleGAN and StarGAN, beside a plain step",
        "lib.games.translator_bench",
        "main",
    ),
    Command(
        ("ablate", "analogy"),
        "train one photo without one term after the other; which number does each move?",
        "lib.games.ablation_cli",
        "main",
    ),
    Command(
        ("ablate", "pix2pix"),
        "train pix2pix with each loss, patch and generator of the paper's tables",
        "lib.games.pix2pix_study",
        "main",
    ),
    Command(
        ("ablate", "cyclegan"),
        "CycleGAN without one term after the other, measured with the pairs it never saw",
        "lib.games.cyclegan_study",
        "main",
    ),
    Command(
        ("ablate", "stargan"),
        "StarGAN without one part after the other, and a CycleGAN for each pair",
        "lib.games.stargan_study",
        "main",
    ),
    Command(
        ("ablate", "srgan"),
        "SRResNet and SRGAN with each loss of the paper's table 1, and without each part of ours",
        "lib.games.srgan_study",
        "main",
    ),
    Command(
        ("ablate", "diat"),
        "DIAT with each identity loss, weight and smoothing; attribute against identity",
        "lib.games.diat_study",
        "main",
    ),
    Command(
        ("ablate", "dtn"),
        "DTN without one part after the other, and without one digit: tables 1 to 3",
        "lib.games.dtn_study",
        "main",
    ),
    Command(
        ("ablate", "maskface"),
        "mask-guided faces with the abstract's terms alone, and without each part of ours",
        "lib.games.maskface_study",
        "main",
    ),
    Command(
        ("ablate", "maskface-terms"),
        "mask-guided faces: who needs whom among the terms, with a sheet of pictures",
        "lib.games.maskface_terms",
        "main",
    ),
    Command(
        ("evaluate", "analogy"),
        "every competitor on the same photos, layouts and scenes with a known answer: one table",
        "lib.baselines.comparison",
        "main",
    ),
    Command(
        ("evaluate", "gallery"),
        "pictures by every competitor, for people to rank and to look at",
        "lib.baselines.gallery",
        "main",
    ),
    Command(
        ("book", "publish"),
        "execute chapters and store them in canonical form; --check only verifies",
        "lib.book.publish",
        "main",
    ),
    Command(
        ("book", "overview"),
        "paint the README's pictures: the shipped models and the worlds",
        "lib.book.overview",
        "main",
    ),
    Command(
        ("book", "equations"),
        "every numbered equation with its function and its test, as Markdown",
        "lib.book.equations_cli",
        "main",
    ),
    Command(("book", "lint"), "check chapters against the book's rules", "lib.book.lint", "main"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 something to mend, 2 wrong input, 130 interrupted.

    ``--debug`` anywhere shows the traceback behind a one-sentence error.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    command = _find(words)
    if command is None:
        return _no_command(words)
    try:
        return _call(command, words[len(command.words) :])
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        sentence = explain(error)
        if debug or sentence is None:
            traceback.print_exc()
        print(f"error: {sentence or error}", file=sys.stderr)
        return USAGE_ERROR if sentence else 1


def explain(error: Exception) -> str | None:
    """Return the sentence to show instead of a traceback, or None for an error that is a bug of ours."""
    if isinstance(error, ModuleNotFoundError) and not (error.name or "lib").startswith("lib"):
        return f"Python cannot find the package {error.name!r}: run `pip install -r requirements.txt`."
    written_for_readers = type(error).__module__.partition(".")[0] == "lib"
    if written_for_readers or isinstance(error, ValueError | OSError):
        return str(error)
    return None


def help_text(prefix: Sequence[str] = ()) -> str:
    """Return the list of commands that start with ``prefix``, one line each."""
    shown = [command for command in COMMANDS if command.words[: len(prefix)] == tuple(prefix)]
    width = max(len(" ".join(command.words)) for command in shown)
    lines = [f"  {' '.join(command.words):<{width}}   {command.summary}" for command in shown]
    example = f"{PROGRAM} {' '.join(shown[0].words)}"
    return textwrap.dedent(
        """\
        Drawing by Analogy: the library behind the chapters.

        usage: {program} <command> [options]

        {commands}

        `{example} --help` lists the options of a command; --debug shows the traceback behind an error."""
    ).format(program=PROGRAM, commands="\n".join(lines), example=example)


def _find(words: Sequence[str]) -> Command | None:
    for command in COMMANDS:
        if tuple(words[: len(command.words)]) == command.words:
            return command
    return None


def _no_command(words: Sequence[str]) -> int:
    """Answer a line that names no command: help when asked for it or when it is empty, else an error."""
    groups = {command.words[:-1] for command in COMMANDS}
    prefix = tuple(word for word in words if not word.startswith("-"))
    if prefix in groups and len(words) - len(prefix) <= 1:
        print(help_text(prefix))
        return 0 if set(words) & {"-h", "--help"} or not words else USAGE_ERROR
    group = tuple(words[:1]) in groups
    said = " ".join(words[:2] if group else words[:1])
    near = difflib.get_close_matches(said, [" ".join(command.words) for command in COMMANDS], n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    print(f"error: there is no command `{said}`.{hint} `{PROGRAM} --help` lists them.", file=sys.stderr)
    return USAGE_ERROR


def _call(command: Command, arguments: Sequence[str]) -> int:
    function: Callable[..., Any] = getattr(importlib.import_module(command.module), command.function)
    program = " ".join([PROGRAM, *command.words])
    if not inspect.signature(function).parameters:
        return _call_plain(function, command, program, arguments)
    import tyro  # only here: `doctor` must run without it

    config_type = get_type_hints(function, include_extras=True)["config"]
    config = tyro.cli(
        config_type,
        args=list(arguments),
        prog=program,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
    return int(function(config) or 0)


def _call_plain(function: Callable[[], Any], command: Command, program: str, arguments: Sequence[str]) -> int:
    """Call a command that has no options."""
    if set(arguments) & {"-h", "--help"}:
        print(f"usage: {program}\n\n{command.summary}")
        return 0
    if arguments:
        raise ValueError(f"`{program}` takes no options, got {' '.join(arguments)!r}.")
    return int(function() or 0)
