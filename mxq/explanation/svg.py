"""Pictures of an explanation: plain SVG, coloured by the page's style sheet."""

import math
from html import escape
from typing import List, Sequence

from ..costs.result import Layer, Tensor
from .text import decibels

WIDTH, HEIGHT = 960, 390
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 28, 110
#: So many layers have their names on the axis, and so many of their letters.
NAMED, LETTERS = 60, 16


def along(layers: Sequence[Layer]) -> str:
    """SQNR of every layer in the network's order: accumulated as a line, its own as circles, effects as squares."""
    known = [v for layer in layers for v in (layer.local, layer.effect, layer.accumulated) if v is not None]
    finite = [value for value in known if math.isfinite(value)] or [0.0]
    step = 10 if max(finite) - min(finite) < 90 else 20
    low, high = step * math.floor(min(finite) / step), step * math.ceil(max(finite) / step + 0.01)

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((index + 0.5) / len(layers))

    def y(value: float) -> float:
        value = min(max(value, low), high)  # what is exact lies on the upper border
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="along-title">'
        '<title id="along-title">SQNR in dB of every int8 operator along the network; the table has the numbers</title>'
    ]
    for value in range(low, high + 1, step):
        parts.append(f'<path class="grid-line" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value}</text>')
    parts.append(f'<text x="{LEFT}" y="14">SQNR in dB, higher is better</text>')
    for i in range(0, len(layers), math.ceil(len(layers) / NAMED)):
        name = layers[i].name
        shown = escape(name if len(name) <= LETTERS else f"{name[:5]}…{name[6 - LETTERS :]}")
        place = f"{x(i) + 4:.1f} {HEIGHT - BOTTOM + 12}"
        parts.append(
            f'<text class="name-x" transform="translate({place}) rotate(-60)" text-anchor="end">{shown}</text>'
        )
    points = " ".join(f"{x(i):.1f},{y(layer.accumulated):.1f}" for i, layer in enumerate(layers))
    parts.append(f'<polyline class="line-a" points="{points}"/>')
    for i, layer in enumerate(layers):
        told = escape(
            f"{layer.name}: local {decibels(layer.local)}, accumulated {decibels(layer.accumulated)}"
            + (f", effect {decibels(layer.effect)}" if layer.effect is not None else "")
        )
        marks = [f'<circle class="dot-a" cx="{x(i):.1f}" cy="{y(layer.accumulated):.1f}" r="2.6"/>']
        marks.append(f'<circle class="dot-b" cx="{x(i):.1f}" cy="{y(layer.local):.1f}" r="3.2"/>')
        if layer.effect is not None:
            marks.append(f'<path class="dot-c" d="M{x(i) - 2.6:.1f} {y(layer.effect) - 2.6:.1f}h5.2v5.2h-5.2z"/>')
        parts.append(f"<g><title>{told}</title>{''.join(marks)}</g>")
    return "".join(parts) + "</svg>"


#: The key to `along`: mark and what it stands for.
KEY = (
    ('<path class="line-a" d="M0 7H24"/><circle class="dot-a" cx="12" cy="7" r="3"/>', "accumulated"),
    ('<circle class="dot-b" cx="12" cy="7" r="4"/>', "local, at the layer's own output"),
    ('<path class="dot-c" d="M9 4h6v6h-6z"/>', "effect of this layer alone on the network's output"),
)


def histogram(tensor: Tensor) -> str:
    """Counts on a logarithmic axis; what integers can express is shaded, between its two ends."""
    width, height, base = 320, 118, 98
    counts = tensor.histogram.counts
    lo, hi = tensor.histogram.lo, tensor.histogram.hi
    ends = tensor.used or tensor.seen
    left, right = min(lo, ends[0]), max(hi, ends[1])
    span = (right - left) or 1.0
    left, span = left - 0.02 * span, 1.04 * span

    def x(value: float) -> float:
        return width * (value - left) / span

    most = max(counts)
    least = max(most * 1e-5, 0.5)  # what is rarer still shows, as a thin line
    bin_width = (hi - lo) / len(counts)
    path = [f"M{x(lo):.1f} {base}"]
    for index, count in enumerate(counts):
        share = math.log(max(count, least) / least) / math.log(most / least)
        level = base - max((base - 6) * share, 1.2) if count else base
        path.append(f"V{level:.4g}H{x(lo + (index + 1) * bin_width):.1f}")
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img"><title>{escape(_told(tensor))}</title>',
    ]
    if tensor.used:
        a, b = x(tensor.used[0]), x(tensor.used[1])
        parts.append(f'<rect class="inside" x="{a:.1f}" y="0" width="{b - a:.1f}" height="{base}"/>')
    parts.append(f'<path class="counts" d="{"".join(path)}V{base}Z"/>')
    for end in tensor.used or ():
        parts.append(f'<line class="edge" x1="{x(end):.1f}" x2="{x(end):.1f}" y1="0" y2="{base + 4}"/>')
    parts.append(f'<line class="grid-line" x1="0" x2="{width}" y1="{base}" y2="{base}"/>')
    parts += _labels(tensor, x, width, base + 16)
    return "".join(parts) + "</svg>"


def _labels(tensor: Tensor, x, width: int, y: float) -> List[str]:
    """The two ends of the range, apart from each other and inside the picture."""
    ends = tensor.used or tensor.seen
    texts = [f"{end:.4g}" for end in ends]
    halves = [4.2 * len(text) for text in texts]
    places = [min(max(x(end), half), width - half) for end, half in zip(ends, halves)]
    lacking = places[0] + sum(halves) + 6 - places[1]
    if lacking > 0:
        places[0] = max(halves[0], places[0] - lacking)
        places[1] = max(places[1], places[0] + sum(halves) + 6)
    return [f'<text x="{p:.1f}" y="{y}" text-anchor="middle">{t}</text>' for p, t in zip(places, texts)]


def _told(tensor: Tensor) -> str:
    seen = f"values of {tensor.name} from {tensor.seen[0]:.4g} to {tensor.seen[1]:.4g}"
    if tensor.used is None:
        return f"{seen}; the range is found at run time"
    return f"{seen}; integers express {tensor.used[0]:.4g} to {tensor.used[1]:.4g}"
