"""Go on with a run that was stopped or killed, from its last checkpoint."""

from argparse import ArgumentParser, Namespace

from pinn_cli.errors import UsageError, nearest

CHANGEABLE = ("stop", "record", "device", "figures", "diagnostics")  # what does not change what is trained


def add(parser: ArgumentParser) -> None:
    """The arguments of `pinn resume`."""
    parser.add_argument("run", nargs="?", default="latest", help="a run folder, or a problem's name (default: latest)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. stop.steps=9000")
    parser.add_argument("--changed", action="store_true", help="even if the problem's file has changed since")


def run(arguments: Namespace) -> int:
    """Find the run and go on with it; the exit code."""
    words = [arguments.run, *arguments.overrides]
    named = "=" not in words[0]
    changes = dict(_change(word) for word in (words[1:] if named else words))
    from pinn_cli.catalogue import find_own_modules
    from pinn_cli.job import go_on
    from pinn_cli.names import find

    find_own_modules()
    return go_on(find(words[0] if named else "latest"), changes, arguments.changed)


def _change(word: str) -> tuple[str, object]:
    from omegaconf import OmegaConf

    key, _, value = word.partition("=")
    if not value or key.split(".")[0] not in CHANGEABLE:
        raise UsageError(f"`{word}` cannot be changed on resume; {nearest(key, CHANGEABLE)}")
    return key, OmegaConf.select(OmegaConf.from_dotlist([word]), key)
