"""What was spent on tensors whose rounding made much of the noise, as plain data."""

from typing import NamedTuple, Optional, Tuple


class FinerTensor(NamedTuple):
    """A tensor that is read with more than 8 bits.

    Attributes:
        name: node that computes it, with ``:index`` behind it for outputs after the first.
        share: its part in the noise of the int8 network, as estimated, 0 to 1.
        cost: additional time, as estimated, or weights where these are more, as a part of all that the network has.
        readers: layers that read it in two parts; others read it as float.
    """

    name: str
    share: float
    cost: float
    readers: Tuple[str, ...]


class Precision(NamedTuple):
    """What `precision_budget` was spent on; `model.precision`.

    Attributes:
        budget: share of the network's time and of its weights that might be added; three times what was given to a
            network that stays far from float.
        examples: calibration examples that noise was measured on.
        before, after: mean SQNR in dB of the outputs, before and after (of the last layers where outputs select or
            their heads train); None where nothing was measured.
        tensors: what is finer now, those with the largest share first; empty where nothing was worth it.
        reason: why nothing was spent; '' where something was.
    """

    budget: float
    examples: int
    before: Optional[float]
    after: Optional[float]
    tensors: Tuple[FinerTensor, ...]
    reason: str

    @property
    def spent(self) -> float:
        """Share of the network's time or weights that was added."""
        return sum(tensor.cost for tensor in self.tensors)

    def summary(self) -> str:
        """One line.

        >>> tensor = FinerTensor("gap", 0.8, 0.0, ())
        >>> Precision(0.05, 4, 21.5, 28.0, (tensor,), "").summary()
        'more than 8 bits for gap (80 % of the noise): 21.5 dB, now 28.0 dB, for 0.0 % more time or weights'
        >>> Precision(0.05, 4, 36.0, None, (), "it is near float").summary()
        '8 bits everywhere: it is near float'
        """
        if not self.tensors:
            return f"8 bits everywhere: {self.reason}"
        names = ", ".join(f"{t.name} ({100 * t.share:.0f} % of the noise)" for t in self.tensors)
        return (
            f"more than 8 bits for {names}: {self.before:.1f} dB, now {self.after:.1f} dB, "
            f"for {100 * self.spent:.1f} % more time or weights"
        )
