"""What `quantize` says: the int8 network beside the float one it was made of."""

import argparse
import os
from typing import Any, Dict, List, Optional, Tuple

from ..costs.result import Classes, Output
from ..data.files import Examples
from ..evaluation import Network, Share, Speed, columns, compare, int8_share, measure_speed
from ..evaluation.answers import graph_of
from ..explanation.text import percent
from ..network.files import params_path
from . import arguments
from .arguments import Result, decibels

#: Layers are measured on few examples, so that the page costs less than a quarter of the calibration.
LAYER_EXAMPLES, EFFECT_EXAMPLES = 4, 2
#: Turns and seconds of each network: a glance; `mxq benchmark` measures.
ROUNDS, SECONDS = 5, 0.08


def beside_float(
    args: argparse.Namespace,
    model,
    files: Tuple[str, Optional[str]],
    compared: Optional[Examples],
    calibration: Optional[Examples],
    others: bool,
) -> Result:
    """The table, as text and for programs; the page too, where it is asked for.

    Args:
        model: what quantize_model returned; it is saved already.
        files: symbol and parameters of the float network.
        compared: examples to compare on; None: nothing is run.
        calibration: examples that it was calibrated with.
        others: whether these two have nothing in common.
    """
    speed = None if args.no_speed else _speed(args, model, files)
    outputs, classes, examples, note = _answers(args, model, compared, speed)
    found = {
        "out": args.out,
        "nodes": {name: model.report.count(name) for name in ("int8", "folded", "float")},
        "megabytes": _megabytes(files, args.out),
        "calibrated": None if calibration is None else calibration.total,
        "compared": examples,
        "compared_are_others": others,
        "outputs": [{**output._asdict(), "sqnr": decibels(output.sqnr)} for output in outputs],
        "classes": None if classes is None else classes._asdict(),
        "int8_multiplications": int8_share(model)._asdict(),
    }
    if speed is not None:
        found["speed"] = {"batch_size": 1, "float_ms": speed[0].ms, "int8_ms": speed[1].ms, "ratio": speed[1]._asdict()}
    table = columns(_rows(found, outputs, classes, int8_share(model), speed))
    lines = [_told(model, found, others), "", table, ""]
    lines += [f"note: {text}" for text in (note, *(speed[2] if speed else ())) if text]
    lines.append(f"wrote {args.out}-symbol.json and {args.out}-0000.params")
    for path in (args.report, args.save_table, args.save_statistics):
        lines += [f"wrote {path}"] if path else []
    floats = model.report.floats()
    if floats:
        lines.append(f"float: {_floats(floats)}")
    found["float_nodes"] = [row._asdict() for row in floats]
    return Result(found, "\n".join(lines))


def _answers(args, model, compared: Optional[Examples], speed) -> Tuple[List[Output], Optional[Classes], int, str]:
    """Outputs and classes of the int8 network beside float; the page is written where they are measured."""
    if compared is None:
        if args.report:
            raise arguments.UsageError("--report needs examples to compare on: DATA or --eval")
        return [], None, 0, ""
    networks = [Network("float", model.floats), Network("int8", graph_of(model))]
    if not args.report:
        answers = compare(
            networks, lambda _: compared.data, labels=compared.labels, folders=compared.folders, total=compared.total
        )
        int8 = answers.networks[1]
        return [*int8.outputs], int8.classes, answers.examples, answers.note or int8.note
    from ..evaluation.answers import usable_labels
    from ..explanation import explain
    from ..explanation.explanation import Fact

    labels, note = usable_labels(networks[0], compared)
    explanation = explain(
        model,
        compared.data,
        labels=labels,
        images=compared.images,
        class_names=arguments.lines(args.classes),
        layer_examples=LAYER_EXAMPLES,
        effect_examples=EFFECT_EXAMPLES,
        title=os.path.basename(args.out),
    )
    if speed is not None:
        explanation.facts.append(Fact("one example", f"{speed[1].ms:.2f} ms", f"{speed[1]} as fast as float"))
    explanation.to_html(args.report)
    return explanation.outputs, explanation.classes, explanation.examples, note


def _megabytes(files: Tuple[str, Optional[str]], out: str) -> Dict[str, float]:
    symbol, params = files
    other = symbol.endswith((".onnx", ".caffemodel", ".tflite"))
    before = symbol if other else params_path(symbol, params)
    return {"float": os.path.getsize(before) / 1e6, "int8": os.path.getsize(f"{out}-0000.params") / 1e6}


def _speed(args, model, files) -> Optional[Tuple[Speed, Speed, List[str]]]:
    """Both networks in turns at batch 1, the float one as MXNet fuses it."""
    sym, arrays = arguments.float_network(*files)
    from ..api import read_network

    networks = [Network("float", read_network(sym, arrays)), Network("int8", graph_of(model))]
    shapes = {name: shape for (name, _), shape in model.floats.shapes.items()}
    names = networks[0].data_names
    if not all(name in shapes for name in names):
        return None
    from ..network.batch_sizes import BatchSizes

    wanted = {name: (1, *shapes[name][1:]) for name in names}
    if BatchSizes(networks[0].graph).refusal(wanted) is not None:
        wanted = {name: shapes[name] for name in names}
    bound = [network.bound(wanted) for network in networks]
    found = measure_speed([one.step for one in bound], ROUNDS, SECONDS)
    return found[0], found[1], [f"float is {one.note}" for one in bound[:1] if one.note]


def _rows(found: Dict[str, Any], outputs, classes: Optional[Classes], share: Share, speed) -> List[tuple]:
    size = found["megabytes"]
    ratio = f"{size['int8'] / size['float']:.2f} of float"
    rows: List[tuple] = [("", "float", "int8", "")]
    rows.append(("parameters, MB", f"{size['float']:.1f}", f"{size['int8']:.1f}", ratio))
    if classes is not None:
        if classes.correct_float is not None:
            changed = f"{classes.lost} lost, {classes.won} won"
            rows.append(("class of the label", percent(classes.correct_float), percent(classes.correct_int8), changed))
        differ = f"{classes.flips} of {found['compared']} differ"
        rows.append(("class of float", "", percent(classes.agreement), differ))
    for output in outputs:
        told = "exact" if output.sqnr == float("inf") else f"{output.sqnr:.1f}"
        rows.append((f"SQNR of {output.name}, dB", "", told, f"largest error {output.max_error:.3g}"))
    if speed is not None:
        rows.append(("one example, ms", f"{speed[0].ms:.2f}", f"{speed[1].ms:.2f}", str(speed[1])))
    if share.percent is not None:
        more = f"{share.total / 1e6:.0f} million" + (f", {share.unknown} operators not counted" * bool(share.unknown))
        rows.append(("multiplications in int8", "", f"{share.percent:.1f} %", more))
    return rows


def _told(model, found: Dict[str, Any], others: bool) -> str:
    counted = f"{found['nodes']['int8']} nodes int8, {found['nodes']['folded']} folded, {found['nodes']['float']} float"
    if found["calibrated"] is not None:
        counted += f"; calibrated with {found['calibrated']} examples"
    if found["compared"]:
        counted += f", compared on {found['compared']} {'others' if others else 'of them'}"
    finer = model.precision
    return counted + (f"\n{finer.summary()}" if finer is not None and finer.tensors else "")


def _floats(rows) -> str:
    """Nodes that stayed float, by reason."""
    reasons: Dict[str, List[str]] = {}
    for row in rows:
        reasons.setdefault(row.reason, []).append(row.node)
    told = []
    for reason, names in reasons.items():
        told.append(f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {reason}")
    return "\n       ".join(told)
