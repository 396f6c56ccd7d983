"""Keeps layers float until a metric is as good as asked for."""

import contextlib
import json
import logging
import math
import os
import tempfile
from typing import Callable, Dict, FrozenSet, Iterator, List, NamedTuple, Sequence, Tuple, TypeVar

from ..arithmetic.noise import decibel
from ..data.batches import first_examples
from ..errors import ConfigError
from ..network.batch_sizes import BatchSizes
from ..network.graph import Graph
from ..network.identity import graph_hash
from ..passes.annotate import leave_float
from .adapters import as_metric
from .metrics import Metric
from .running import EvalData, Reference, Runner
from .search import Found, smallest
from .sensitivity import layers_of, measure
from .state import SearchState

_log = logging.getLogger(__name__)

#: What is delivered: a QuantizedModel, which gets an attribute `accuracy`.
_Model = TypeVar("_Model")

#: Examples on which the noise of each layer is measured; the float network runs over them once per layer.
NOISE_EXAMPLES = 16
#: Options that change nothing about what is measured.
_BESIDE = ("max_drop", "min_metric", "search_state", "progress", "metric")


class Evaluation(NamedTuple):
    """One look at the metric: which layers were float, and what it was."""

    float_layers: Tuple[str, ...]
    metric: float


class Control(NamedTuple):
    """What accuracy control did; `model.accuracy`.

    Attributes:
        metric, unit: name of the metric and what it is in.
        worst: the worst value that was accepted.
        float_metric: of the float network.
        int8_metric: of the network with nothing kept float for accuracy.
        final_metric: of the network that came out.
        float_layers: layers (heads of units) kept float, those that hurt most first.
        minimal: whether each of them was tried in int8 again, alone, and is needed.
        ranking: (layer, SQNR in dB of the last layers' results where it alone is int8), those that hurt most first.
            Empty where nothing had to stay float.
        evaluations: every look at the metric beside that of float, in order.
        repeated: how many of them came from `search_state` and were not measured again.
    """

    metric: str
    unit: str
    worst: float
    float_metric: float
    int8_metric: float
    final_metric: float
    float_layers: Tuple[str, ...]
    minimal: bool
    ranking: Tuple[Tuple[str, float], ...]
    evaluations: Tuple[Evaluation, ...]
    repeated: int

    def summary(self) -> str:
        """One line."""
        unit = f" {self.unit}" if self.unit else ""
        kept = f"{len(self.float_layers)} layers" if len(self.float_layers) != 1 else "1 layer"
        return (
            f"{self.metric}: float {self.float_metric:.4g}{unit}, all int8 {self.int8_metric:.4g}{unit}, with {kept} "
            f"kept float {self.final_metric:.4g}{unit}; {len(self.evaluations)} evaluations"
        )

    def to_json(self) -> str:
        """Everything as a JSON object; infinities become null."""
        content = self._asdict()
        content["evaluations"] = [evaluation._asdict() for evaluation in self.evaluations]
        return json.dumps(_finite(content), indent=1)


def _finite(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def control(
    plan,
    options,
    calib_data,
    *,
    data_names: Sequence[str],
    ranges: Dict,
    convert: Callable[[Graph], _Model],
    quantized: Callable[[Graph], Graph],
) -> _Model:
    """The int8 network that meets the metric with the fewest float layers, its `accuracy` attached.

    Args:
        plan: mxq.flow.Plan, calibrated.
        options: mxq.options.Options.
        calib_data: what evaluates where there is no eval_data.
        data_names: the network's inputs, in the order of the data.
        ranges: calibrated ranges by tensor.
        convert: from an annotated graph to the int8 network.
        quantized: from an annotated graph to the one with quantized parameters that still runs in float.

    Raises:
        ConfigError: evaluation data or a state file that do not fit, or a metric that not even float layers meet.
    """
    return _Controller(plan, options, calib_data, data_names, ranges, convert, quantized).run()


class _Controller:
    def __init__(self, plan, options, calib_data, data_names, ranges, convert, quantized):
        self._plan, self._options = plan, options
        self._convert, self._quantized = convert, quantized
        self._metric: Metric = as_metric(options.metric)
        own = options.eval_data is not None
        if not own:
            _log.warning(
                "accuracy control evaluates on the calibration data; eval_data that calibration has not seen tells "
                "more about data to come"
            )
        number = None if own else options.num_calib_examples
        source = options.eval_data if own else calib_data
        self._data = EvalData(source, data_names, options, number, BatchSizes(plan.network))
        self._layers = layers_of(plan.annotated, options.quantize_mode)
        self._state = SearchState(options.search_state, self._identity(), ranges)
        self._evaluations: List[Evaluation] = []
        self._repeated = 0

    def run(self) -> _Model:
        with self._opened_reference() as self._reference:
            worst = self._worst(self._float_score())
            if self._accepts(self._score(frozenset()), worst):
                found, ranking = Found([], True), []
            else:
                ranking = self._ranking()
                found = smallest([layer for layer, _ in ranking], lambda kept: self._accepts(self._score(kept), worst))
        if found.layers is None:
            raise ConfigError(
                f"metric {self._metric.name!r} is {self._evaluations[-1].metric:.6g} with all {len(ranking)} layers "
                f"float, and {worst:.6g} is asked for (float: {self._state.float_score:.6g}): what is lost is not lost "
                "by int8 layers; accept a little more, or look whether the metric gives the same value each time"
            )
        decibels = dict(ranking)
        reasons = {
            layer: (
                f"kept float by accuracy control: number {list(decibels).index(layer) + 1} of {len(decibels)} in noise "
                f"(SQNR {decibels[layer]:.1f} dB with it alone in int8)"
            )
            for layer in found.layers
        }
        model = self._convert(self._without(reasons))
        model.accuracy = Control(
            metric=self._metric.name,
            unit=self._metric.unit,
            worst=worst,
            float_metric=self._state.float_score,
            int8_metric=self._state.scores[frozenset()],
            final_metric=self._state.scores[frozenset(found.layers)],
            float_layers=tuple(found.layers),
            minimal=found.minimal,
            ranking=tuple(ranking),
            evaluations=tuple(self._evaluations),
            repeated=self._repeated,
        )
        _log.info("accuracy control: %s", model.accuracy.summary())
        return model

    # -- measuring -------------------------------------------------------------------------------------------------

    def _float_score(self) -> float:
        state, before = self._state, self._state.reference
        if state.has_outputs:
            self._reference.check_first(self._data)
            return state.float_score
        runner = Runner(*self._plan.network.to_symbol())
        score = self._number(self._reference.write(self._data, runner, self._metric, show=self._options.progress))
        if before is not None and before.digest != self._reference.written.digest:
            raise ConfigError(
                f"search_state={state.path!r} belongs to a search with other eval_data; delete the file or give "
                "another path"
            )
        state.float_score, state.reference = score, self._reference.written
        state.save()
        return score

    def _score(self, kept: FrozenSet[str]) -> float:
        if kept not in self._state.scores:
            model = self._convert(self._without(dict.fromkeys(kept, "")))
            runner = Runner(model.symbol, model.arg_params, model.aux_params)
            text = f"evaluation {len(self._evaluations) + 1}, {len(kept)} layers float"
            score = self._reference.score(self._data, runner, self._metric, text, show=self._options.progress)
            self._state.scores[kept] = self._number(score)
            self._state.save()
        else:
            self._repeated += 1
        score = self._state.scores[kept]
        self._evaluations.append(Evaluation(tuple(sorted(kept)), score))
        _log.info("%d of %d layers float: %s %.6g", len(kept), len(self._layers), self._metric.name, score)
        return score

    def _ranking(self) -> List[Tuple[str, float]]:
        options = self._options
        noise = measure(
            self._plan.floats,
            self._plan.annotated,
            self._layers,
            first_examples(self._data, NOISE_EXAMPLES, whole=options.sub_batch is None)[0],
            self._quantized,
            known=self._state.noise,
            save=self._state.save,
            show=options.progress,
        )
        ranked = sorted(self._layers, key=lambda layer: -noise[layer])
        return [(layer, decibel(noise[layer])) for layer in ranked]

    def _without(self, left: Dict[str, str]) -> Graph:
        return leave_float(
            self._plan.annotated, left, mode=self._options.quantize_mode, integer_inputs=self._plan.integers
        )

    def _number(self, score: float) -> float:
        if not isinstance(score, (int, float)) or math.isnan(score):
            raise ConfigError(
                f"metric {self._metric.name!r} is {score!r}: it must be a number; do the outputs hold NaN?"
            )
        return float(score)

    # -- deciding --------------------------------------------------------------------------------------------------

    def _worst(self, float_score: float) -> float:
        if self._options.min_metric is not None:
            return float(self._options.min_metric)
        return float_score - self._options.max_drop * (1 if self._metric.higher_is_better else -1)

    def _accepts(self, score: float, worst: float) -> bool:
        margin = 1e-9 * max(abs(worst), 1.0)  # 99.5 that comes out as 99.49999999999999
        return score >= worst - margin if self._metric.higher_is_better else score <= worst + margin

    # -- keeping ---------------------------------------------------------------------------------------------------

    def _identity(self) -> Dict[str, object]:
        given = self._options._asdict()
        chosen = {name: repr(given[name]) for name in given if name not in _BESIDE and _is_plain(given[name])}
        return {
            "network": graph_hash(self._plan.floats),
            "metric": self._metric.name,
            "layers": self._layers,
            "options": chosen,
        }

    @contextlib.contextmanager
    def _opened_reference(self) -> Iterator[Reference]:
        path = self._state.outputs_path
        if path is None:
            with tempfile.TemporaryFile() as file:
                yield Reference(file)
            return
        with open(path, "r+b" if os.path.exists(path) else "w+b") as file:
            yield Reference(file, self._state.reference)


def _is_plain(value: object) -> bool:
    """Whether the text of a value is the same in every process."""
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float, bool))
