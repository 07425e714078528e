"""Charts as SVG text: bars and ranges on a logarithmic axis, one row per server. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 820, 130, 90, 26, 64, 40

# Readable on white and on a dark page; colours that people with colour blindness tell apart (Okabe and Ito).
_STYLE = """
text { font: 13px system-ui, 'Segoe UI', sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 } .note, .tick { fill: #57606a; font-size: 12px }
.value { font-variant-numeric: tabular-nums } .grid { stroke: #d0d7de; stroke-width: 1 }
.ours { fill: #0072b2 } .peer { fill: #9aa7b4 } .limit { fill: none; stroke: #9aa7b4; stroke-dasharray: 4 3 }
.range { stroke-width: 6; stroke-linecap: round } .range.ours { stroke: #0072b2 } .range.peer { stroke: #9aa7b4 }
.dot { stroke: #ffffff; stroke-width: 1.5 } .bold { font-weight: 600 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .note, .tick { fill: #8d96a0 } .grid { stroke: #3d444d } .dot { stroke: #0d1117 }
.ours { fill: #56b4e9 } .range.ours { stroke: #56b4e9 } }
""".strip()


@dataclass(frozen=True)
class Row:
    """A server's figures: one for a bar, several from the lowest to the highest for a range.

    `kind` is `ours`, `peer` or `limit`.
    """

    name: str
    kind: str
    values: tuple[float, ...]
    label: str


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis over whole decades, or halves of them where the figures lie close together."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "Axis":
        """An axis that holds all values; the bars begin at its low end, so that lies clearly under the lowest."""
        steps = [1, 2, 5]
        low, high = min(values) / 1.5, max(values) * 1.1
        marks = [step * 10.0**power for power in range(-6, 10) for step in steps]
        return cls(max(mark for mark in marks if mark <= low), min(mark for mark in marks if mark >= high))

    def at(self, value: float) -> float:
        """Pixels from the left of the picture."""
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        """The round values that get a line; fewer where there are many decades."""
        decades = math.log10(self.high / self.low)
        steps = (1, 2, 5) if decades <= 2.5 else (1,)
        marks = [step * 10.0**power for power in range(-6, 10) for step in steps]
        return [mark for mark in marks if self.low * 0.999 <= mark <= self.high * 1.001]


def bars(title: str, note: str, rows: Sequence[Row]) -> str:
    """A bar for each row, shortest first."""
    ordered = sorted(rows, key=lambda row: row.values[-1])
    axis = Axis.over([row.values[-1] for row in rows])
    drawn = []
    for number, row in enumerate(ordered):
        y, end = TOP + number * ROW, axis.at(row.values[-1])
        drawn.append(
            f'<rect class="{row.kind}" x="{LEFT}" y="{y + 4}" width="{end - LEFT:.1f}" height="{ROW - 8}" rx="2"/>'
        )
        drawn.append(_label(row, end + 7, y))
    return _picture(title, note, ordered, axis, drawn)


def ranges(title: str, note: str, rows: Sequence[Row]) -> str:
    """A line from each row's lowest to its highest value, with a dot at every value; the lowest tail first."""
    ordered = sorted(rows, key=lambda row: row.values[-1])
    axis = Axis.over([value for row in rows for value in row.values])
    drawn = []
    for number, row in enumerate(ordered):
        y = TOP + number * ROW
        middle, begin, end = y + ROW / 2, axis.at(row.values[0]), axis.at(row.values[-1])
        drawn.append(f'<path class="range {row.kind}" d="M{begin:.1f} {middle}H{end:.1f}" opacity=".45"/>')
        drawn += [
            f'<circle class="dot {row.kind}" cx="{axis.at(value):.1f}" cy="{middle}" r="5"/>' for value in row.values
        ]
        drawn.append(_label(row, end + 12, y))
    return _picture(title, note, ordered, axis, drawn)


def _label(row: Row, x: float, y: float) -> str:
    return f'<text class="value" x="{x:.1f}" y="{y + ROW / 2 + 4.5}">{escape(row.label)}</text>'


def _picture(title: str, note: str, rows: Sequence[Row], axis: Axis, drawn: Sequence[str]) -> str:
    bottom = TOP + len(rows) * ROW
    height = bottom + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
        f'<text class="note" x="16" y="46">{escape(note)}</text>',
    ]
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom + 4}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{tick:,g}</text>')
    for number, row in enumerate(rows):
        y = TOP + number * ROW + ROW / 2 + 4.5
        weight = ' class="bold"' if row.kind == "ours" else ""
        parts.append(f'<text{weight} x="{LEFT - 10}" y="{y}" text-anchor="end">{escape(row.name)}</text>')
    return "\n".join([*parts, *drawn, "</svg>", ""])
