"""``python -m mxq evaluate``: saved networks side by side, over examples with labels or without."""

import os
from typing import List

from ..evaluation import Network, columns, compare
from ..explanation.text import decibels as shown
from ..explanation.text import percent
from . import arguments
from .arguments import Result, UsageError, decibels


def add_command(commands) -> None:
    """Adds the command to argparse's sub-parsers."""
    command = commands.add_parser(
        "evaluate",
        help="run saved networks, float or int8, on the same data and compare what they answer",
        description="The first network is what the others are compared with. Networks that take uint8 pixels get them.",
    )
    command.add_argument("words", nargs="*", metavar="NETWORK [PARAMS]", help="networks, then images or arrays")
    command.usage = f"{command.prog} NETWORK [PARAMS] [NETWORK [PARAMS] ...] DATA [options]"
    arguments.add_data(command, examples=10**9, what="use so many examples")
    command.set_defaults(examples=None)
    arguments.add_json(command)
    command.set_defaults(run=_evaluate)


def _evaluate(args) -> Result:
    if len(args.words) < 2:
        raise UsageError("expected NETWORK [PARAMS] ... DATA: at least one network, and data")
    *words, path = args.words
    files = arguments.networks_in(words)
    data = {"float32": arguments.read_data(path, args, args.examples)}
    networks = [Network.open(*pair) for pair in files]
    for dtype in {network.dtype for network in networks} - set(data):
        data[dtype] = arguments.read_data(path, args, args.examples, dtype)
    _apart(networks, files)
    examples = data["float32"]
    found = compare(
        networks,
        lambda dtype: data[dtype].data,
        labels=examples.labels,
        folders=examples.folders,
        total=examples.total,
    )
    outputs = [output.name for output in found.networks[0].outputs]
    right = any(row.classes is not None and row.classes.correct_int8 is not None for row in found.networks)
    classes = any(row.classes is not None for row in found.networks)
    head = ["network", "MB"] + ["class of the label"] * right + ["class of the first"] * classes
    rows: List[list] = [head + [f"SQNR of {name}, dB" for name in outputs]]
    for network, row in zip(networks, found.networks):
        cells = [network.name, f"{network.bytes / 1e6:.1f}"]
        known = row.classes
        cells += [percent(known.correct_int8) if known is not None and known.correct_int8 is not None else ""] * right
        cells += [percent(known.agreement) if known is not None else ""] * classes
        rows.append(cells + ([shown(output.sqnr) for output in row.outputs] or [""] * len(outputs)))
    notes = [
        f"note: {text}" for text in (found.note, *(f"{r.name}: {r.note}" for r in found.networks if r.note)) if text
    ]
    text = "\n".join([f"{found.examples} examples of {path}", "", columns(rows), *notes])
    document = {
        "examples": found.examples,
        "note": found.note,
        "networks": [
            {
                "name": network.name,
                "int8": network.int8,
                "megabytes": network.bytes / 1e6,
                "classes": None if row.classes is None else row.classes._asdict(),
                "outputs": [{**output._asdict(), "sqnr": decibels(output.sqnr)} for output in row.outputs],
                "note": row.note,
            }
            for network, row in zip(networks, found.networks)
        ],
    }
    return Result(document, text)


def _apart(networks: List[Network], files) -> None:
    """Names that tell the networks apart."""
    names = [network.name for network in networks]
    for network, (symbol, params) in zip(networks, files):
        if names.count(network.name) > 1:
            network.name = params or os.path.normpath(symbol)
