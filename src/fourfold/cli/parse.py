"""From words on a command line to a command, with tyro."""

from collections.abc import Sequence
from typing import Any

import tyro

from .console import Command


def parse(command: type[Command], name: str, arguments: Sequence[str], default: Any = None) -> Command:
    """The command that `arguments` spell; tyro exits with 2 and the nearest valid name if they spell none.

    default: a command whose fields stand where no argument does; where none is given, a command's own `usual` tells.
    """
    if default is None and hasattr(command, "usual"):
        default = command.usual(arguments)
    parsed: Command = tyro.cli(
        command,
        args=list(arguments),
        prog=f"fourfold {name}",
        description=command.__doc__,
        default=default,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )
    return parsed
