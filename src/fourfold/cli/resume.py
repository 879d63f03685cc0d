"""`fourfold resume`: a training that was stopped goes on."""

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import Positional, arg

from .console import Console, Output
from .train import tell


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a training that was stopped, to the same bits as if it had not been."""

    run: Positional[Annotated[str, arg(metavar="RUN", help="The folder that `fourfold train` made.")]]
    data: str | None = None
    """Where the data are now, if they have moved."""
    epochs: int | None = None
    """More epochs than were asked for; where the learning rate depends on them that is refused."""
    allow_data_change: bool = False
    """Go on although the data have changed; history and card will tell."""
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Train on, with progress, and tell the test figures and where the run lies."""
        from ..api import go_on
        from ..report.progress import Progress

        with Progress(console.quiet) as progress:
            model = go_on(self.run, self.data, self.epochs, self.allow_data_change, [progress])
        tell(console, model)
