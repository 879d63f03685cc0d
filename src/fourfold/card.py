"""The card of a model: its README, for whoever finds the folder."""

from typing import Any

from .data.schema import Schema
from .modelfile import Description

WORDS = {
    "classify": "tells apart",
    "regress": "tells numbers of",
    "tag": "tells tags of",
    "label": "tells the class of every step of",
    "detect": "tells what is not normal among",
    "forecast": "tells what follows the histories in",
    "reconstruct": "makes short codes of",
    "generate": "makes new pictures like",
    "write": "goes on with",
}
USES = {
    "classify": "fourfold predict . INPUT…",
    "regress": "fourfold predict . INPUT…",
    "tag": "fourfold predict . INPUT…",
    "label": "fourfold predict . INPUT…",
    "detect": "fourfold detect . INPUT…",
    "forecast": "fourfold predict .\nfourfold predict . HISTORY",
    "reconstruct": "fourfold encode . DATA\nfourfold reconstruct . INPUT…",
    "generate": "fourfold generate . -n 64 --out pictures.png",
    "write": 'fourfold generate . --prompt "…" --temperature 0.8',
}


def card(description: Description, parameters: int) -> str:
    """The card in Markdown."""
    settings, origin = description.settings, description.origin
    examples = ", ".join(f"{count:,} {name}" for name, count in origin.examples.items())
    return "\n".join(
        [
            f"# {description.family}, {settings['preset']}",
            "",
            f"A network that {WORDS[settings['task']]} {describe(description.example)}. {parameters:,} parameters, "
            f"trained with Fourfold {origin.versions['fourfold']} on {origin.created}.",
            "",
            "```",
            USES[settings["task"]],
            "```",
            "",
            "## Figures",
            "",
            *_table(description.metrics),
            "",
            "The test split took no part in training and chose nothing."
            if "test" in description.metrics
            else "There was no test split: nothing here tells how it does on new data.",
            "",
            *_temperature(description.temperature),
            "## Training",
            "",
            f"- data: {origin.data} ({examples}), SHA-256 {origin.fingerprint}",
            f"- {origin.epochs} epochs, {origin.seconds:.1f} s on {origin.device}; weights of epoch {origin.epoch}",
            "- settings: " + ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None),
            "- versions: " + ", ".join(f"{name} {version}" for name, version in origin.versions.items()),
            "",
            *(["## What happened on the way", "", *(f"- {note}" for note in origin.notes), ""] if origin.notes else []),
        ]
    )


def describe(schema: Schema) -> str:
    """Examples in words, such as "28×28 grey pictures, 10 classes"."""
    noun = schema.aim.removesuffix("s") if schema.names and len(schema.names) == 1 else schema.aim
    classes = f", {len(schema.names)} {noun}" if schema.names else ""
    if schema.kind == "image":
        channels, height, width = schema.shape
        return f"{height}×{width} {'colour' if channels == 3 else 'grey'} pictures{classes}"
    if schema.kind == "table":
        return f"rows of {schema.shape[0]} columns{classes}"
    assert schema.lengths is not None
    shortest, longest = schema.lengths
    length = f"length {longest}" if shortest == longest else f"lengths {shortest} to {longest}"
    if schema.kind == "text":
        return f"texts of pieces ({schema.reading.vocabulary}), {length}{classes}"
    if schema.kind == "sound":
        return f"sounds at {schema.reading.rate:,} Hz as {schema.shape[0]} log-mel bands, {length} frames{classes}"
    return f"series of {schema.shape[0]} channel{'s' if schema.shape[0] > 1 else ''}, {length}{classes}"


def _temperature(temperature: float) -> list[str]:
    """What a classifier's probabilities went through, if anything."""
    if temperature == 1:
        return []
    return [
        f"Probabilities are softmax(logits / {temperature:.4g}): the validation split asked for this temperature after "
        "training. Figures are from before it; it changes no class.",
        "",
    ]


def _table(metrics: dict[str, dict[str, Any]]) -> list[str]:
    figures = {split: _single(judged) for split, judged in metrics.items()}
    names = list(dict.fromkeys(name for split in figures.values() for name in split))
    rows = [[split, *(split_figures.get(name, "") for name in names)] for split, split_figures in figures.items()]
    return [f"| {' | '.join(row)} |" for row in (["split", *names], ["---"] * (len(names) + 1), *rows)]


def _single(judged: dict[str, Any]) -> dict[str, str]:
    """The figures that are single numbers, as text."""
    return {
        name: f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        for name, value in judged.items()
        if isinstance(value, int | float)
    }
