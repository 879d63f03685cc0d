"""An audit as one HTML page that needs nothing else: no script, no font, no picture from elsewhere."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.audit import Audit
from ..data.audit.told import Spread
from ..data.dataset import Dataset, Examples
from ..data.finding import Finding, Spot
from ..data.schema import Schema, as_floats
from ..storage import write_file

LARGEST = 256  # pixels of a picture's side; larger ones are made smaller
SEEN = 112  # pixels that a side takes on the page
PLOT = (224, 84)  # pixels of a line plot, width and height
POINTS = 224  # of a line, at most
LINES = 12  # of a plot, at most
EXCERPT = 300  # characters of a text
SHOWN = 3  # numbers of an example, at most
BLOCKS = " ▁▂▃▄▅▆▇█"  # of a histogram in a line of text

# The policy forbids whatever a name might smuggle in, should escaping ever fail.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --page: #f6f7f9; --card: #fff; --line: #e1e5ea;
  --fatal: #b42318; --warning: #a15c07; --note: #2f6bb3 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #98a2b3; --page: #12161c; --card: #1b2129;
  --line: #2c3440; --fatal: #ff8378; --warning: #f2b457; --note: #7db4f0 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 960px; margin: 0 auto; padding: 32px 20px 64px }
h1 { font-size: 24px; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 17px; margin: 36px 0 10px }
p { margin: 4px 0 }
.soft { color: var(--soft) }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px }
table { border-collapse: collapse; width: 100% }
th, td { padding: 6px 14px; text-align: left; border-top: 1px solid var(--line); overflow-wrap: anywhere }
tr:first-child > * { border-top: 0 }
th { font-weight: 600 }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
article { background: var(--card); border: 1px solid var(--line); border-left: 4px solid; border-radius: 8px;
  padding: 12px 16px; margin: 12px 0 }
.badge { font-weight: 700; font-size: 12px; letter-spacing: .06em; text-transform: uppercase; margin-right: 8px }
article.fatal { border-left-color: var(--fatal) } .fatal .badge { color: var(--fatal) }
article.warning { border-left-color: var(--warning) } .warning .badge { color: var(--warning) }
article.note { border-left-color: var(--note) } .note .badge { color: var(--note) }
ul { margin: 8px 0 0; padding-left: 18px; overflow-wrap: anywhere; font-size: 13px }
.groups { display: flex; flex-wrap: wrap; gap: 12px; margin-top: 12px }
.group { display: flex; gap: 8px; padding: 8px; border: 1px solid var(--line); border-radius: 6px }
figure { margin: 0 }
blockquote { margin: 0; max-width: 36em; overflow-wrap: anywhere; white-space: pre-wrap; font-size: 13px }
figcaption { font-size: 12px; color: var(--soft); text-align: center; overflow-wrap: anywhere; max-width: 224px }
img { display: block; object-fit: contain; background: var(--line) }
.small { image-rendering: pixelated }
svg { display: block; background: var(--page) }
polyline { fill: none; stroke: var(--note); stroke-width: 1.3; stroke-linejoin: round }
rect { fill: var(--note) }
"""


def write_page(audit: Audit, dataset: Dataset, path: Path) -> None:
    """Write the audit of `dataset` to an HTML file, with the pictures or lines of the examples that it shows.

    Raises: StorageError if it cannot be written.
    """
    body = [
        f'<p class="soft">{_text(_verdict(audit))}</p>',
        "<h2>What is here</h2>",
        _table([], figures(audit)),
        "<h2>Examples</h2>",
        _table(*counts(audit)),
        *_numbers(audit),
        "<h2>Findings</h2>",
        *(_article(finding, dataset) for finding in audit.findings),
    ]
    if not audit.findings:
        body.append("<p>Nothing is wrong that this audit looks for.</p>")
    title = _text(f"Audit of {audit.source}")
    write_file(path, PAGE.format(title=title, style=STYLE, body="\n".join(body)))


def figures(audit: Audit) -> list[tuple[str, str]]:
    """What the data hold, in figures with their names."""
    shape = " × ".join(map(str, audit.shape))
    meaning = {"image": "channels × height × width", "series": "channels", "table": "columns", "sound": "bands"}
    rows: list[tuple[str, str]] = [("kind", audit.kind)]
    if audit.kind in meaning:
        rows.append(("shape", f"{shape} ({meaning[audit.kind]})"))
    if audit.lengths:
        rows.append(("lengths", "shortest {:g}, median {:g}, longest {:g}".format(*audit.lengths)))
    if audit.low is not None and audit.high is not None:
        rows.append(("values", f"{audit.low:g} to {audit.high:g}"))
    if audit.balance is not None:
        rows.append(("largest class : smallest", f"{audit.balance:.1f}"))
    if audit.constant is not None:
        noun = {"image": "pixels", "table": "columns", "sound": "bands"}.get(audit.kind, "channels")
        rows.append((f"{noun} that never change", f"{audit.constant:.1%}"))
    return rows


def counts(audit: Audit) -> tuple[list[str], list[list[str | int | None]]]:
    """How many examples each split has, in all and by class or tag: the columns and the rows."""
    parts = audit.splits.values()
    told = [part.tags or part.classes or {} for part in parts]
    rows: list[list[str | int | None]] = [["all", *(part.count for part in parts)]]
    rows += [[name, *(each.get(name) for each in told)] for name in next(filter(None, told), {})]
    return ["tag" if any(part.tags for part in parts) else "class", *audit.splits], rows


def numbers(audit: Audit) -> tuple[list[str], list[list[str]]]:
    """How the numbers that are to be learnt are spread, by split: the columns and the rows."""
    columns = ["number", "split", "lowest", "median", "highest", "mean", "deviation", "spread"]
    told = [(name, *each) for name, splits in audit.numbers.items() for each in splits.items()]
    rows = [[name, split, *_figures_of(spread), _blocks(spread.histogram)] for name, split, spread in told]
    return columns, rows


def _figures_of(spread: Spread) -> list[str]:
    return [f"{each:g}" for each in (spread.low, spread.median, spread.high, spread.mean, spread.deviation)]


def _blocks(histogram: Sequence[int]) -> str:
    """A histogram as text; where there is anything at all, it is seen."""
    top = max(histogram)
    return "".join(BLOCKS[-(-count * (len(BLOCKS) - 1) // top)] for count in histogram)


def _numbers(audit: Audit) -> list[str]:
    """The page's part on numbers, nothing where there are none: a table, and a histogram for each split."""
    if not audit.numbers:
        return []
    columns, rows = numbers(audit)
    drawn = [
        f"<figure>{_bars(spread.histogram)}<figcaption>{_text(f'{name} · {split}')}</figcaption></figure>"
        for name, splits in audit.numbers.items()
        for split, spread in splits.items()
    ]
    table = _table(columns[:-1], [row[:-1] for row in rows])
    return ["<h2>Numbers</h2>", table, f'<div class="group">{"".join(drawn)}</div>']


def _bars(histogram: Sequence[int]) -> str:
    width, height = PLOT
    step, top = (width - 8) / len(histogram), max(histogram)
    bars = [
        f'<rect x="{4 + step * place:.1f}" y="{height - tall:.1f}" width="{step - 1:.1f}" height="{tall:.1f}"/>'
        for place, tall in enumerate((height - 4) * count / top for count in histogram)
    ]
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(bars)}</svg>'


def _verdict(audit: Audit) -> str:
    tally = {"fatal": 0, "warning": 0, "note": 0}
    for finding in audit.findings:
        tally[finding.severity] += 1
    return f"fatal {tally['fatal']} · warnings {tally['warning']} · notes {tally['note']}"


def _text(value: object) -> str:
    """A value as HTML text: escaped, and what cannot be seen (or turns the line round) as its code."""
    shown = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(value))
    return html.escape("".join(shown), quote=True)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str | int | None]]) -> str:
    """A table whose first column names the rows; without a head if there are no columns."""
    lines = [_row(columns, "th")] if columns else []
    return f'<div class="scroll"><table>{"".join([*lines, *(_row(row, "td") for row in rows)])}</table></div>'


def _row(values: Sequence[str | int | None], tag: str) -> str:
    """A row; numbers, and all heads but the first, stand on the right."""
    cells = [f"<th>{_text(values[0])}</th>"]
    for value in values[1:]:
        text = f"{value:,}" if isinstance(value, int) else "–" if value is None else value
        right = ' class="number"' if tag == "th" or not isinstance(value, str) else ""
        cells.append(f"<{tag}{right}>{_text(text)}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _article(finding: Finding, dataset: Dataset) -> str:
    shown = "".join(f"<li>{_text(example)}</li>" for example in finding.examples)
    rest = finding.count - len(finding.examples)
    groups = [] if dataset.schema.kind == "table" else [_group(group, dataset) for group in finding.places]
    return (
        f'<article class="{finding.severity}"><p><span class="badge">{finding.severity}</span>'
        f"<strong>{_text(_sentence(finding.what))}: {finding.count:,}</strong></p>"
        f'<p class="soft">{_text(_sentence(finding.mend))}.</p>'
        + (f'<div class="groups">{"".join(groups)}</div>' if groups else "")
        + (f"<ul>{shown}</ul>" if shown else "")
        + (f'<p class="soft">and {rest:,} more</p>' if shown and rest > 0 else "")
        + "</article>"
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _group(places: Sequence[Spot], dataset: Dataset) -> str:
    """Some examples side by side."""
    parts = [(dataset.splits[place.split], place.index) for place in places]
    if dataset.schema.kind == "image":
        drawn = [_picture(part.x[index]) for part, index in parts]
    elif dataset.schema.kind == "text":
        drawn = [
            f"<blockquote>{_text(part.texts[index][:EXCERPT])}</blockquote>" for part, index in parts if part.texts
        ]
    elif dataset.schema.kind == "sound":
        drawn = [_picture(_spectrum(part, index)) for part, index in parts]
    else:
        drawn = _plots([_line(part, index) for part, index in parts])
    captions = [
        _text(" · ".join([place.split, *_told(part, index, dataset.schema)]))
        for place, (part, index) in zip(places, parts, strict=True)
    ]
    both = zip(drawn, captions, strict=True)
    return f'<div class="group">{"".join(f"<figure>{d}<figcaption>{c}</figcaption></figure>" for d, c in both)}</div>'


def _told(part: Examples, index: int, schema: Schema) -> list[str]:
    """What is told of an example: its class, its tags or its first numbers; nothing of each of its steps."""
    names = schema.names
    if part.y is None or names is None or schema.aim == "labels":
        return []
    y = part.y[index]
    if schema.aim == "classes":
        return [names[int(y)]]
    if schema.aim == "tags":
        return ["|".join(names[place] for place in y.nonzero()[:, 0].tolist())]
    return [f"{name} {value:g}" for name, value in zip(names[:SHOWN], y.tolist(), strict=False)]


def _picture(x: Tensor) -> str:
    """A picture (channels, height, width) as an <img> that carries its PNG."""
    x_hwc = (as_floats(x).clip(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    picture = Image.fromarray(x_hwc[:, :, 0] if x_hwc.shape[2] == 1 else np.ascontiguousarray(x_hwc))
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, format="PNG")
    data = base64.b64encode(file.getvalue()).decode()
    kind = "small" if max(picture.size) <= SEEN else "large"
    return f'<img class="{kind}" width="{SEEN}" height="{SEEN}" alt="" src="data:image/png;base64,{data}">'


def _line(part: Examples, index: int) -> np.ndarray:
    """A series without its padding, (time, channels)."""
    length = part.x.shape[1] if part.lengths is None else int(part.lengths[index])
    return part.x[index][:length].numpy()


def _spectrum(part: Examples, index: int) -> Tensor:
    """A sound's spectrum as a grey picture (1, bands, frames), low bands below, from its quietest to its loudest."""
    bands = torch.from_numpy(_line(part, index)).T.flip(0)[None]
    return (bands - bands.min()) / (bands.max() - bands.min()).clamp(min=1e-9)


def _plots(series: Sequence[np.ndarray]) -> list[str]:
    """Series (time, channels) as line plots of the same scale."""
    low, high = min(float(x.min()) for x in series), max(float(x.max()) for x in series)
    longest = max(len(x) for x in series)
    return [_plot(x, low, (high - low) or 1.0, longest) for x in series]


def _plot(x: np.ndarray, low: float, span: float, longest: int) -> str:
    width, height = PLOT
    times = np.unique(np.linspace(0, len(x) - 1, POINTS).round().astype(int))
    across = 4 + (width - 8) * times / max(longest - 1, 1)
    lines = []
    for channel in x[times, :LINES].T:
        down = height - 4 - (height - 8) * (channel - low) / span
        points = " ".join(f"{left:.1f},{top:.1f}" for left, top in zip(across, down, strict=True))
        lines.append(f'<polyline points="{points}"/>')
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(lines)}</svg>'
