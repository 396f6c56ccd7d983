"""An explanation as a table for the terminal."""

from typing import List, Optional

from ..costs.result import Layer, Tensor


def decibels(value: Optional[float], unit: str = "") -> str:
    """For people: '34.2' with the unit behind it, 'exact', or '' where nothing was measured."""
    if value is None:
        return ""
    return "exact" if value == float("inf") else f"{value:.1f}{unit}"


def percent(share: Optional[float]) -> str:
    """For people: '12.3 %', '< 0.01 %', '0', or '' where nothing was measured."""
    if share is None:
        return ""
    if not share:
        return "0"
    return "< 0.01 %" if share < 1e-4 else f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"


def interval(ends) -> str:
    """For people: '-1.23 to 4.5', or 'at run time'."""
    return "at run time" if ends is None else f"{ends[0]:.4g} to {ends[1]:.4g}"


def outcome(explanation) -> List[str]:
    """Lines that say what the network as a whole does."""
    lines = [explanation.report().summary()]
    for output in explanation.outputs:
        lines.append(
            f"{output.name}: SQNR {decibels(output.sqnr, ' dB')} over {explanation.examples} examples, largest error "
            f"{output.max_error:.3g}"
        )
    if explanation.summed is not None:
        lines.append(f"the effects of all layers on their own add up to {decibels(explanation.summed, ' dB')}")
    classes = explanation.classes
    if classes is not None:
        lines.append(
            f"same top-1 class: {percent(classes.agreement)}, {classes.flips} of {explanation.examples} differ"
        )
        if classes.correct_float is not None:
            lines.append(
                f"right: float {percent(classes.correct_float)}, int8 {percent(classes.correct_int8)}; "
                f"{classes.lost} lost, {classes.won} won"
            )
    return lines


HEADINGS = tuple("layer operator local inputs weights effect share accumulated range seen beyond".split())


def table(explanation) -> str:
    """The network, its int8 operators (those that cost most first), and what stayed float."""
    rows = [HEADINGS] + [_row(layer, explanation.tensor(layer.inputs[0])) for layer in explanation.worst()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = [*outcome(explanation), ""]
    for row in rows if explanation.layers else ():
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    if explanation.layers:
        lines += ["", "SQNR in dB; range, seen and beyond (share of values outside) of the first input"]
    lines += [str(finding) for finding in explanation.findings.warnings]
    floats = explanation.report().floats()
    lines += [f"float: {node.node} ({node.op}): {node.reason}" for node in floats]
    return "\n".join(lines).rstrip()


def _row(layer: Layer, tensor: Optional[Tensor]) -> tuple:
    ratios = (layer.local, layer.local_inputs, layer.local_weights, layer.effect)
    return (
        layer.name,
        layer.op,
        *(decibels(value) for value in ratios),
        percent(layer.share),
        decibels(layer.accumulated),
        interval(tensor.used) if tensor else "",
        interval(tensor.seen) if tensor else "",
        percent(tensor.saturated) if tensor else "",
    )
