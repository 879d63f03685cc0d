"""The command line: `fourfold COMMAND …`, one file a command.

Nothing here imports torch before a command needs it, so that help comes at once.
"""

import io
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import DataWarning, FourfoldError, Stopped, StorageError, UsageError, nearest
from ..families import FAMILIES
from .compress import Compress
from .console import Command, Console
from .decompress import Decompress
from .detect import Detect
from .encode import Encode
from .evaluate import Evaluate
from .generate import Generate
from .inspect import Inspect
from .latent_sweep import LatentSweep
from .learn_curve import LearnCurve
from .parse import parse
from .predict import Predict
from .profile import Profile
from .reconstruct import Reconstruct
from .resume import Resume
from .samples import Samples
from .train import Train, parse_family

COMMANDS: dict[str, type[Command]] = {
    "train": Train,
    "resume": Resume,
    "evaluate": Evaluate,
    "predict": Predict,
    "detect": Detect,
    "generate": Generate,
    "encode": Encode,
    "reconstruct": Reconstruct,
    "compress": Compress,
    "decompress": Decompress,
    "latent-sweep": LatentSweep,
    "learn-curve": LearnCurve,
    "inspect": Inspect,
    "profile": Profile,
    "samples": Samples,
}
OF_A_FAMILY = ("train", "learn-curve")  # commands whose first word is a family, whose settings they take


def entry() -> NoReturn:
    """The `fourfold` command."""
    for stream in (sys.stdout, sys.stderr):  # a file's name may be no valid text, and is to be shown all the same
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command line. Returns: its exit code; see `errors`."""
    console = Console(json="--json" in arguments, quiet="--quiet" in arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = lambda message, *_, **__: console.say(f"warning: {message}")
        try:
            _run(arguments, console)
        except BrokenPipeError:  # the reader of a pipe has seen enough
            sys.stderr.close()
        except KeyboardInterrupt as stop:
            console.say(str(stop) or "interrupted")
            return stop.exit_code if isinstance(stop, Stopped) else 130
        except SystemExit as stop:  # tyro has shown help or what is wrong with the usage
            return int(stop.code or 0)
        except Exception as error:
            if "--debug" in arguments:
                traceback.print_exc()
            return console.fail(_as_ours(error))
    return 0


def _as_ours(error: Exception) -> FourfoldError:
    """Whatever went wrong as an error with an exit code."""
    if isinstance(error, FourfoldError):
        return error
    if isinstance(error, OSError):
        return StorageError(f"{error.filename or 'file'}: {error.strerror or error}")
    return FourfoldError(f"a fault in fourfold, {type(error).__name__}: {error}; --debug shows where")


def _run(arguments: Sequence[str], console: Console) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return
    if arguments[0] == "--version":
        print(f"fourfold {__version__}")
        return
    name, rest = arguments[0], arguments[1:]
    if name in OF_A_FAMILY and rest[:1] in (["-h"], ["--help"]):
        print(family_overview(name))
        return
    if name not in COMMANDS:
        raise UsageError(f"no command {name!r}; {nearest(name, COMMANDS)}")
    (parse_family if name in OF_A_FAMILY else parse)(COMMANDS[name], name, rest)(console)


def overview() -> str:
    """What `fourfold --help` prints."""
    lines = [f"  {name:12} {_summary(command)}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "fourfold: from your data to a trained network you can trust.",
            "",
            "usage: fourfold COMMAND …        fourfold COMMAND --help tells its options",
            "",
            *lines,
            "",
            "Every command takes --json (one document on standard output), --quiet and --debug.",
            "A first try: fourfold train cnn mnist",
        ]
    )


def family_overview(name: str) -> str:
    """What `fourfold train --help` prints: the families, each with its presets."""
    lines = [
        f"  {name:12} {_summary(settings)} Presets: {', '.join(settings.presets)}."
        for name, settings in FAMILIES.items()
    ]
    return "\n".join(
        [f"usage: fourfold {name} FAMILY DATA …        fourfold {name} FAMILY --help tells its settings", "", *lines]
    )


def _summary(command: type[object]) -> str:
    return (command.__doc__ or "").splitlines()[0]
