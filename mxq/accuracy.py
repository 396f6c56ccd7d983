"""Accuracy control: which layers must stay float for a metric to be as good as asked for.

>>> import mxq
>>> model = mxq.quantize_model(sym, params, data, metric="top1", max_drop=0.5, eval_data=held_out)  # doctest: +SKIP
>>> print(model.accuracy.summary())  # doctest: +SKIP

| metric | a number for | higher is better | unit |
|---|---|---|---|
| 'top1', 'top5' | same best class as float; best class of float among the best five | yes | % |
| 'accuracy' | the label is the best class | yes | % |
| 'cosine' | mean cosine with the outputs of float | yes | |
| 'sqnr' | signal-to-noise ratio of the outputs (with `min_metric` only) | yes | dB |
| 'detection' | F1 of boxes matched with those of float, see Detection | yes | % |
| 'miou' | mean IoU with the classes that float gives to pixels | yes | % |
"""

from .choice.adapters import BUILT_IN, as_metric
from .choice.arguments import check
from .choice.controller import Control, Evaluation, control
from .choice.detection import Detection
from .choice.metrics import Metric

__all__ = ["BUILT_IN", "Control", "Detection", "Evaluation", "Metric", "as_metric", "check", "control"]
