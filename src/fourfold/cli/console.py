"""What a command says, and where: results on standard output, all else on standard error."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import FourfoldError, printable

if TYPE_CHECKING:
    import polars as pl

LONGEST = 40  # rows of a table that a terminal is shown


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a command speaks."""

    json: bool = False
    """One JSON document on standard output, nothing else there."""
    quiet: bool = False
    """No progress and no messages."""
    debug: bool = False
    """Let a failure show its Python traceback."""


class Command(Protocol):
    """A command, parsed."""

    def __call__(self, console: "Console") -> None:
        """Do what it is for."""
        ...


class Console:
    """Standard output and standard error, as --json and --quiet ask for."""

    def __init__(self, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet

    def say(self, text: str) -> None:
        """A message, on standard error."""
        if not self.quiet:
            print(printable(text), file=sys.stderr, flush=True)

    def fail(self, error: FourfoldError) -> int:
        """Tell an error. Returns: its exit code."""
        red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
        print(f"{red}fourfold: {error}{plain}", file=sys.stderr)
        if self.json:
            print(json.dumps({"error": type(error).__name__, "message": str(error), "exit_code": error.exit_code}))
        return error.exit_code

    def result(self, document: Any, *lines: str) -> None:
        """A result: the document with --json, else the lines."""
        if self.json:
            print(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            print(printable("\n".join(lines)))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
        """A table for people, on standard output: drawn on a terminal, tab-separated in a pipe."""
        texts = [[printable(_text(value)) for value in row] for row in rows]
        columns = [printable(column) for column in columns]
        if not sys.stdout.isatty():
            print("\n".join("\t".join(row) for row in [list(columns), *texts]))
            return
        from rich.console import Console as Rich
        from rich.markup import escape  # a file may be named [bold]
        from rich.table import Table

        table = Table(title=title or None, title_justify="left", header_style="bold")
        for i, column in enumerate(columns):
            numeric = any(isinstance(row[i], int | float) for row in rows) and all(
                isinstance(row[i], int | float | None) for row in rows
            )
            table.add_column(escape(column), justify="right" if numeric else "left")
        for row in texts[:LONGEST]:
            table.add_row(*map(escape, row))
        Rich().print(table)
        if len(texts) > LONGEST:
            self.say(f"… and {len(texts) - LONGEST} more; --json gives all")

    def frame(self, frame: "pl.DataFrame", columns: Sequence[str]) -> None:
        """Rows of a data frame: all of it as JSON records, or some columns as a table."""
        if self.json:
            self.result(frame.to_dicts())
        else:
            self.table(columns, frame.select(columns).rows())


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
