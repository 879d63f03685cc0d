"""`fourfold compress`: data as codes in a small file."""

from dataclasses import dataclass, field

from .arguments import Computing, DataPlace, ModelPlace
from .console import Console, Output
from .write import require_suffix


@dataclass(frozen=True, kw_only=True)
class Compress:
    """Write data as an autoencoder's codes in a small file, and tell what is lost."""

    model: ModelPlace
    data: DataPlace
    out: str = "codes.ffz"
    """The file to write, .ffz."""
    bits: int = 8
    """Bits a number of a code, 1 to 8."""
    device: Computing = "auto"
    output: Output = field(default_factory=Output)

    def __call__(self, console: Console) -> None:
        """Write the file, and compare it with as many principal components."""
        path = require_suffix(self.out, {".ffz": "codes"})
        from ..api import load
        from ..compress import compare, compress
        from ..errors import DataError, UsageError
        from ..storage import write_file

        model = load(self.model, self.device)
        examples = model.read(self.data)
        content = compress(model, examples, self.bits)
        try:
            dataset = model.own_data()
        except (DataError, UsageError) as error:
            console.say(f"the components are fitted on the data themselves, which favours them: {error}")
            dataset = None
        figures = compare(model, examples, content, dataset)
        write_file(path, content)
        told = f"{path}: {figures['bytes']:,} bytes for {figures['original_bytes']:,}, 1 : {figures['ratio']:.1f}"
        console.result({"out": str(path), **figures}, told, figures["verdict"])
