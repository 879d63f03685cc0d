"""`fourfold samples`: the data sets that ship."""

from dataclasses import asdict, dataclass, field

from .console import Console, Output


@dataclass(frozen=True, kw_only=True)
class Samples:
    """List the data sets that ship; their names may stand for DATA."""

    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Print them."""
        from ..data.samples import samples

        found = [asdict(sample) for sample in samples().values()]
        if console.json:
            console.result(found)
        else:
            columns = ("name", "what", "examples", "families", "source", "licence")
            rows = [[", ".join(v) if isinstance(v := sample[c], tuple) else v for c in columns] for sample in found]
            console.table(columns, rows)
