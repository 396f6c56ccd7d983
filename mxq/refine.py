"""From calibrated ranges to those of the network, by what each tensor's rounding makes at the outputs.

Some tensors are read with more bits (mxq.choice.budget), others have ranges with room (mxq.choice.headroom).
"""

import functools
import logging
from typing import Callable, Optional, Tuple

from .calib.choose import WEIGHING
from .calib.table import CalibTable
from .calibrate import Calibration, with_finer
from .choice import budget, headroom
from .choice.decisions import measurable
from .costs.shares import NoGradient, noise_shares
from .network.graph import Graph, input_dtypes
from .options import Options
from .report import Precision

_log = logging.getLogger(__name__)


def refine(
    plan, found: Calibration, options: Options, quantized: Callable[[CalibTable], Graph]
) -> Tuple[Optional[Precision], CalibTable]:
    """What `precision_budget` was spent on (None where nobody looked), and the table.

    Args:
        plan: mxq.flow.Plan.
        found: what calibration found, from data or statistics.
        quantized: from a table to the network with explicit quantization.
    """
    spends = options.precision_budget > 0 and options.activation_bits == 8
    widens = options.range_headroom > 0 and options.calib_mode in WEIGHING
    if not spends and not widens:
        return None, found.table
    assert found.statistics is not None  # only a table makes them unnecessary
    count = max(1, min(budget.EXAMPLES, found.statistics.num_examples // budget.PART))
    batches = found.statistics.examples.batches(count, input_dtypes(plan.floats))
    watched = measurable(plan.floats)
    qdq = quantized(found.table)

    @functools.lru_cache(maxsize=None)
    def shares():
        return noise_shares(plan.floats, qdq, watched, batches, options.ctx)

    precision, table = None, found.table
    if spends:
        precision, table = budget.spend(
            plan.floats,
            plan.annotated,
            table,
            qdq,
            batches,
            watched,
            budget=options.precision_budget,
            fixed=plan.integers,
            quantized=quantized,
            finer=lambda keys: with_finer(found, keys, options),
            shares=shares,
            ctx=options.ctx,
        )
    if widens and batches:
        try:
            table = headroom.widened(
                plan.annotated,
                table,
                shares(),
                found.statistics.extremes(),
                share=options.range_headroom,
                fixed=plan.integers,
            )
        except NoGradient as error:
            _log.info("ranges are as calibration saw them: the noise of each tensor cannot be told (%s)", error)
    return precision, table
