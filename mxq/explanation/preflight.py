"""mxq.preflight: every check at once, nothing quantized."""

from typing import List

from ..api import read_network
from ..arguments import check_names
from ..calib import collect
from ..data.batches import Batch, first_examples
from ..errors import CalibrationError
from ..flow import make_plan
from ..network.params import without_data
from ..options import Options
from ..report.activations import activations
from ..report.finding import Finding, Findings
from ..report.network import before_calibration
from ..report.parameters import parameters
from ..report.preprocessing import unchecked
from .fusion import fusion

#: Examples that run through the whole network.
EXAMPLES = 32


def preflight(sym, params=None, data=None, **options) -> Findings:
    """Looks for what would spoil an int8 network, before there is one.

    >>> findings = mxq.preflight("resnet-symbol.json", "resnet-0000.params", images)  # doctest: +SKIP
    >>> print(findings)  # doctest: +SKIP

    | check | what it looks for |
    |---|---|
    | preprocessing | channel order, mean or scale that do not fit what the first BatchNorm remembers of training |
    | nonfinite | NaN or infinity in parameters or in what the network computes |
    | denormal | parameters below the smallest normal float32 |
    | constant | weights that are all equal, tensors that are the same everywhere |
    | dead | channels without weights, or that are never active |
    | batchnorm | BatchNorms that could not fold |
    | outlier | tensors whose largest value lies far above all but one in a thousand |
    | fusion | outputs that MXNet's own fusion of float operators changes, on one example (here alone) |

    quantize_model makes the same other checks on its calibration data and logs errors and warnings; all are in
    ``model.findings``. Here 32 examples run through the whole network.

    Args:
        sym, params: as for quantize_model.
        data: calibration data; without it only parameters are checked.
        options: those of quantize_model, such as mean, std, excluded_sym_names.

    Returns:
        Findings: a list of Finding (severity, check, node, value, advice), the worst first; `unchecked` says what could
            not be looked at.

    Raises:
        ConfigError, GraphError, CalibrationError: as quantize_model.
    """
    check_names("preflight", options, Options._fields)
    chosen = Options(**options)
    without = ["what the network computes, and how its data was prepared: no data was given"] if data is None else []
    graph = without_data(read_network(sym, params), chosen.data_names, chosen.label_names or ())
    found = parameters(graph)
    if any(finding.severity == "error" for finding in found):
        return Findings(found, without)  # no network of such numbers can be planned or run
    plan = make_plan(graph, data, chosen)
    more, examples = before_calibration(graph, plan, chosen)
    found += more
    if examples is not None and plan.tensors:
        first, _ = first_examples(examples, EXAMPLES, whole=chosen.sub_batch is None)
        found += _activations(plan, first, chosen)
        if not any(finding.severity == "error" for finding in found):
            found += fusion(plan.network, first[0])
        seen = sum(batch.n_valid for batch in first)
        without += [why for why in (unchecked(graph, name, seen) for name in first[0].arrays) if why]
    return Findings(found, without)


def _activations(plan, examples: List[Batch], options) -> List[Finding]:
    try:
        statistics = collect(
            plan.floats,
            plan.tensors,
            examples,
            ctx=options.ctx,
            progress=options.progress,
            num_examples=sum(batch.n_valid for batch in examples),
            sub_batch=options.sub_batch,
        )
    except CalibrationError as error:
        return [Finding("error", "nonfinite", "network", str(error), "the network cannot be calibrated on this data")]
    return activations(statistics, plan.constants)
