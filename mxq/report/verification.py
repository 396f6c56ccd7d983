"""What looking at an int8 network beside the float one has shown, as plain data."""

from typing import NamedTuple, Optional, Tuple


class CheckedOutput(NamedTuple):
    """One output of the int8 network beside the same of the float network.

    Attributes:
        name: node that computes it, with ``:index`` behind it for outputs after the first.
        sqnr: signal-to-noise ratio in dB; infinite where both are equal.
        max_error: the largest absolute difference.
        decides: whether it lies behind an operator that selects (argmax, sorting, suppression of boxes): one number
            that is a little larger than another then changes all of it, and the SQNR says little.
    """

    name: str
    sqnr: float
    max_error: float
    decides: bool


class Worst(NamedTuple):
    """The int8 operator whose rounding costs the outputs most.

    Attributes:
        name, op: its first node.
        share: its part in the noise of all operators, 0 to 1.
        effect: SQNR in dB of the outputs with this operator alone in int8.
        tensor: of what it reads, the tensor that was rounded worst; None where its weights cost more.
    """

    name: str
    op: str
    share: float
    effect: float
    tensor: Optional[str]


class Verification(NamedTuple):
    """What was seen; `model.verification`.

    Attributes:
        examples: calibration examples that both networks ran on; 0 where there were none: shapes are verified alone.
        outputs: one for each output of the network.
        layers: in place of outputs that decide, results of the last layers before them, from the network with explicit
            quantization.
        worst: where one of these is poor, the operator to look at first.
    """

    examples: int
    outputs: Tuple[CheckedOutput, ...] = ()
    layers: Tuple[CheckedOutput, ...] = ()
    worst: Optional[Worst] = None

    def poor(self, least: float) -> Tuple[CheckedOutput, ...]:
        """Outputs, and layers before outputs that decide, with an SQNR below `least` dB."""
        return tuple(o for o in (*self.outputs, *self.layers) if not o.decides and not o.sqnr >= least)

    def summary(self) -> str:
        """One line.

        >>> Verification(4, (CheckedOutput("fc", 31.26, 0.1, False),)).summary()
        'SQNR on 4 calibration examples: fc 31.3 dB'
        """
        if not self.examples:
            return "not compared with float: there were no calibration examples"
        rows = [f"{o.name} {o.sqnr:.1f} dB" + (" (decides)" if o.decides else "") for o in self.outputs]
        rows += [f"before that {o.name} {o.sqnr:.1f} dB" for o in self.layers]
        return f"SQNR on {self.examples} calibration example{'s' * (self.examples > 1)}: {', '.join(rows)}"
