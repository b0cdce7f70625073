"""`pinn <command> ...`: finds the command and imports it, so that Hydra and torch load only where they are needed."""

import os
import sys
from argparse import ArgumentParser
from importlib import import_module
from types import ModuleType
from typing import NoReturn

from pinn_cli import __version__
from pinn_cli.basics import allocator, streams
from pinn_cli.basics.errors import FAILED, STOPPED, USAGE, TrainingError, UsageError, nearest
from pinn_cli.basics.text import printable

__all__ = ["COMMANDS", "FAILED", "STOPPED", "USAGE", "main"]

COMMANDS = {
    "train": "train a network:  pinn train problem=helmholtz",
    "resume": "go on with a stopped run, or a sweep:  pinn resume [RUN]",
    "list": "what there is to choose from, and the runs:  pinn list problems",
    "show": "one run on a page:  pinn show RUN",
    "plot": "draw a run's figures, finished or running:  pinn plot RUN",
    "compare": "runs side by side, over their seeds:  pinn compare SWEEP",
    "diff": "what differs between two runs, also in their source:  pinn diff RUN RUN",
    "status": "how a sweep stands:  pinn status [SWEEP] [--watch]",
    "collect": "a sweep in one HDF5 file:  pinn collect SWEEP",
    "logs": "what a run has printed:  pinn logs SWEEP/17 [--follow]",
    "cancel": "stop a sweep; its runs save first:  pinn cancel SWEEP",
    "diagnose": "gradients and curvatures of a trained network:  pinn diagnose RUN",
    "predict": "evaluate a trained network:  pinn predict RUN --grid 200x200 --out f.npz",
    "reproduce": "run a published table, ours beside theirs:  pinn reproduce [NAME]",
    "discover": "the equation behind noisy data:  pinn discover problem=NAME problem.data=FILE",
    "check": "look at a problem before training it:  pinn check problem=helmholtz",
    "new": "write a problem to start from:  pinn new problem NAME",
}


def main(words: list[str] | None = None) -> int:
    """Carry out one command; the exit code: 0 finished, 1 failed, 2 not possible as typed, 3 stopped, resumable."""
    words = sys.argv[1:] if words is None else words
    streams.prepare()
    allocator.keep_freed_memory()  # before torch allocates
    try:
        code = dispatch(words)
        sys.stdout.flush()  # a pipe may be closed
        return code
    except UsageError as error:
        return _say(error, USAGE)
    except TrainingError as error:
        return _say(error, FAILED)
    except PermissionError as error:
        return _say(f"{error.filename} cannot be written ({error.strerror}); choose another place", USAGE)
    except NotImplementedError as error:
        return _say(error, USAGE)
    except KeyboardInterrupt:
        return _say("interrupted", FAILED)
    except BrokenPipeError:  # `pinn list runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk that is full or gone
        return _say(" ".join(str(error).split()), FAILED)


def dispatch(words: list[str]) -> int:
    """Find the command and give it the other words."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"pinn {__version__}")
        return 0
    name, *rest = words
    if name not in COMMANDS:
        raise UsageError(f"unknown command `{name}`; {nearest(name, COMMANDS)}")
    command = import_module(f"pinn_cli.commands.{name}")
    if hasattr(command, "run_words"):  # its words are a configuration, not arguments
        return int(command.run_words(rest))
    return int(command.run(_parser(name, command).parse_intermixed_args(rest)) or 0)


def usage() -> str:
    """What `pinn --help` prints."""
    lines = [f"  {name:<11}{text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "pinn: train physics-informed neural networks, from one YAML to one HDF5 file",
            "",
            *lines,
            "",
            "RUN is a folder, the beginning of its name, SWEEP/17, latest, best, or the name",
            "of a problem for its latest run; SWEEP likewise. pinn COMMAND --help says more.",
        ]
    )


class Parser(ArgumentParser):
    """Answers words that it does not take in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message}; {self.prog} --help says what it takes")


def _parser(name: str, command: ModuleType) -> ArgumentParser:
    parser = Parser(prog=f"pinn {name}", description=command.__doc__)
    command.add(parser)
    return parser


def _say(error: object, code: int) -> int:
    print(f"pinn: {printable(str(error))}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
