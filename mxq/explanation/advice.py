"""What to do about what an explanation shows."""

import math
from typing import NamedTuple, Optional, Sequence

from ..costs.result import Layer

#: Layers dominate if at most so many make this share of the noise.
FEW, MUCH = 4, 0.5
#: SQNR in dB from which a network is near float.
NEAR = 30.0


class Advice(NamedTuple):
    """Text, and lines to paste."""

    text: str
    lines: Sequence[str]


def advice(explanation) -> Optional[Advice]:
    """The layers to keep float where a few dominate, else more bits for all; None where effects were not measured.

    What is gained counts the effects of layers as independent, as `Layer.share` does.
    """
    if not explanation.layers or any(layer.share is None for layer in explanation.layers):
        return None
    least = min((output.sqnr for output in explanation.outputs), default=math.inf)
    near = "Near float: nothing has to be done. If more is wanted: " if least >= NEAR else ""
    chosen, share = _dominating(explanation)
    if not chosen:
        return Advice(
            f"{near or 'All have to be finer: '}no few layers make most of the noise. 11 bits for all "
            "that layers read cost about twice the multiplications; a larger budget is spent where it counts most.",
            ('mxq.quantize_model(..., preset="best")', "mxq.quantize_model(..., precision_budget=0.3)"),
        )
    names = [layer.name for layer in chosen]
    gain = "all of it" if share > 0.999 else f"about {-10 * math.log10(1 - share):.1f} dB"
    who = f"{len(names)} layers make" if len(names) > 1 else "one layer makes"
    text = f"{near}{who} {100 * share:.0f} % of the noise. Kept float, {gain} would be gained."
    quoted = ", ".join(f'"{name}"' for name in names)
    return Advice(
        text[0].upper() + text[1:],
        (f"mxq.quantize_model(..., excluded_sym_names=[{quoted}])", f"mxq quantize ... --exclude {' '.join(names)}"),
    )


def _dominating(explanation) -> "tuple[Sequence[Layer], float]":
    """The worst layers that make much of the noise together, and how much; none where these are many."""
    nodes = {node.node for node in explanation.nodes}
    share = 0.0
    worst = explanation.worst(min(FEW, len(explanation.layers) - 1))
    for count, layer in enumerate(worst, 1):
        if layer.name not in nodes:
            break
        share += layer.share
        if share >= MUCH:
            return worst[:count], share
    return (), 0.0
