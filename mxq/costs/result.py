"""What an explanation holds, as plain data."""

from typing import Dict, List, NamedTuple, Optional, Tuple


class Histogram(NamedTuple):
    """Counts of values in bins of equal width between `lo` and `hi`."""

    lo: float
    hi: float
    counts: Tuple[int, ...]


class Tensor(NamedTuple):
    """A value that becomes integers.

    Attributes:
        name: node that computes it, with ``:index`` behind it for outputs after the first.
        dtype: 'int8' or 'uint8'.
        bits: 8, or 11 where readers multiply two 8-bit parts of it.
        scale, zero_point: ``real = scale * (q - zero_point)``; None where the range is found at run time.
        used: the real numbers of the smallest and the largest integer; None like `scale`.
        seen: smallest and largest value of the float network on these examples.
        calibrated: the same in calibration; None where there was none.
        saturated: share of values beyond `used`.
        sqnr: dB, the rounded tensor beside the float one.
        readers: the layers that read its integers.
        histogram: of the float values.
    """

    name: str
    dtype: str
    bits: int
    scale: Optional[float]
    zero_point: Optional[int]
    used: Optional[Tuple[float, float]]
    seen: Tuple[float, float]
    calibrated: Optional[Tuple[float, float]]
    saturated: float
    sqnr: float
    readers: Tuple[str, ...]
    histogram: Histogram


class Layer(NamedTuple):
    """One int8 operator. Ratios are in dB; infinite where nothing is lost.

    Attributes:
        name: its first node.
        op: the MXNet operator of that node.
        nodes: all nodes that became this operator.
        inputs: names of the tensors that it reads, as integers or (with 11 bits) some as float.
        output: name of the tensor that it computes.
        local: SQNR of its output with its inputs and its weights as integers, the rest of the network float.
        local_inputs: the same with its inputs only.
        local_weights: the same with its weights only; None without weights.
        effect: SQNR of the network's outputs with this layer as in `local`; None if not measured.
        share: this layer's part in the sum of the effects of all layers, as noise power; None like `effect`.
        accumulated: SQNR of its output in the int8 network, as those see it who read it.
    """

    name: str
    op: str
    nodes: Tuple[str, ...]
    inputs: Tuple[str, ...]
    output: str
    local: float
    local_inputs: float
    local_weights: Optional[float]
    effect: Optional[float]
    share: Optional[float]
    accumulated: float


class Output(NamedTuple):
    """An output of the network: SQNR in dB and the largest absolute error of the int8 network."""

    name: str
    sqnr: float
    max_error: float


class Classes(NamedTuple):
    """Top-1 classes of the output `output`, which looks like class scores: (examples, classes).

    Attributes:
        agreement: share of examples with the same class in both networks.
        flips: how many have not.
        correct_float, correct_int8: share with the class of the label; None without labels.
        lost, won: flips from right to wrong and from wrong to right; None without labels.
    """

    output: str
    agreement: float
    flips: int
    correct_float: Optional[float]
    correct_int8: Optional[float]
    lost: Optional[int]
    won: Optional[int]


class Prediction(NamedTuple):
    """One example with both predictions.

    Attributes:
        example: its number in the data.
        picture: PNG as a data URI; None if the example is no image.
        label: name of its class, if labels were given.
        float_class, int8_class: names.
        float_score, int8_score: the scores of these classes, each by its own network.
        margin: float's score of its class less that of the second; a flip with a small one is no surprise.
    """

    example: int
    picture: Optional[str]
    label: Optional[str]
    float_class: str
    int8_class: str
    float_score: float
    int8_score: float
    margin: float

    @property
    def flipped(self) -> bool:
        return self.float_class != self.int8_class


class Measured(NamedTuple):
    """Everything that was measured; see Explanation."""

    examples: int
    layer_examples: int
    effect_examples: int
    outputs: List[Output]
    classes: Optional[Classes]
    layers: List[Layer]
    tensors: List[Tensor]
    predictions: List[Prediction]


Settings = Dict[str, object]
