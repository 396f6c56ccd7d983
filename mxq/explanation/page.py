"""An explanation as one HTML page: styles, script and pictures are inside it, nothing is fetched."""

import os
from html import escape
from typing import List, Optional

from ..costs.result import Layer, Prediction, Tensor
from ..report import Finding
from . import svg, text
from .advice import advice


def page(explanation) -> str:
    """The whole page."""
    sections = [
        ("summary", "Summary", _summary(explanation)),
        ("todo", "What to do", _todo(explanation)),
        ("help", "How to read this", _help(explanation)),
        ("findings", "Before quantization", _findings(explanation)),
        ("along", "SQNR along the network", _along(explanation)),
        ("layers", "Layers, worst first", _layers(explanation)),
        ("tensors", "Tensors and their ranges", _tensors(explanation)),
        ("examples", "Examples", _examples(explanation)),
        ("nodes", "Every node", _nodes(explanation)),
    ]
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-h"><h2 id="{key}-h">{title}</h2>{content}</section>'
        for key, title, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(explanation.title)}: int8 beside float</title><style>{asset('page.css')}</style></head>"
        f'<body><a class="skip" href="#summary">Skip to the content</a><header><h1>{escape(explanation.title)}</h1>'
        '<p class="soft">An int8 network beside the float network it was made from.</p>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main>{body}</main>'
        f"<script>{asset('page.js')}</script></body></html>\n"
    )


def asset(name: str) -> str:
    """The text of a file beside this one."""
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


# -- sections ----------------------------------------------------------------------------------------------------------


def _summary(explanation) -> str:
    report = explanation.report()
    rest = f"{report.count('folded')} folded, {report.count('float')} float"
    cards = [("nodes", f"{report.count('int8')} int8", rest)]
    for output in explanation.outputs:
        largest = f"largest error {output.max_error:.3g}"
        cards.append((f"SQNR of {output.name}", text.decibels(output.sqnr, " dB"), largest))
    classes = explanation.classes
    if classes is not None:
        flips = f"{classes.flips} of {explanation.examples} differ"
        cards.append(("same top-1 class", text.percent(classes.agreement), flips))
        if classes.correct_float is not None:
            right = f"{text.percent(classes.correct_float)} → {text.percent(classes.correct_int8)}"
            cards.append(("right, float → int8", right, f"{classes.lost} lost, {classes.won} won"))
    cards += explanation.facts
    told = "".join(
        f"<div><dt>{escape(a)}</dt><dd>{escape(b)}<small>{escape(c)}</small></dd></div>" for a, b, c in cards
    )
    measured = f"Outputs and classes over {explanation.examples} examples"
    if explanation.layers:
        measured += f", layers over the first {explanation.layer_examples} of them"
    if explanation.summed is not None:
        measured += f", their effects over {explanation.effect_examples}"
        measured += f". The effects of all layers on their own add up to {text.decibels(explanation.summed, ' dB')}"
    return f'<dl class="cards">{told}</dl><p class="soft">{measured}.</p>'


def _todo(explanation) -> str:
    found = advice(explanation)
    if found is None:
        return ""
    lines = "".join(f"<code>{escape(line)}</code>" for line in found.lines)
    return f"<p>{escape(found.text)}</p><pre>{lines}</pre>"


def _findings(explanation) -> str:
    warnings, infos = explanation.findings.warnings, [f for f in explanation.findings if f.severity == "info"]
    told = "".join(map(_finding, warnings))
    if infos:
        told += f"<details><summary>{len(infos)} to know</summary>{''.join(map(_finding, infos))}</details>"
    return told


def _finding(finding: Finding) -> str:
    return (
        f'<div class="finding {finding.severity}"><strong>{finding.severity}</strong> {escape(finding.node)}: '
        f"{escape(finding.value)}; {escape(finding.advice)}.</div>"
    )


def _along(explanation) -> str:
    if not explanation.layers:
        return ""
    key = "".join(f'<li><svg viewBox="0 0 24 14" aria-hidden="true">{mark}</svg> {name}</li>' for mark, name in svg.KEY)
    return (
        f'<div class="chart scroll" tabindex="0" role="region" aria-label="SQNR along the network">'
        f'{svg.along(explanation.layers)}</div><ul class="key">{key}</ul>'
    )


_LAYER_COLUMNS = (
    ("layer", ""),
    ("share", "n"),
    ("effect", "n"),
    ("local", "n"),
    ("inputs", "n"),
    ("weights", "n"),
    ("accumulated", "n"),
    ("reads", ""),
    ("beyond", "n"),
)


def _layers(explanation) -> str:
    if not explanation.layers:
        return "<p>Nothing became int8; the list of nodes says why.</p>"
    largest = max((layer.share or 0.0) for layer in explanation.layers) or 1.0
    rows = [_layer_row(layer, explanation, largest) for layer in explanation.worst()]
    heads = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in _LAYER_COLUMNS)
    return (
        _tools("layers-table", [("Filter layers", "name", None)])
        + '<div class="scroll tall" tabindex="0" role="region" aria-label="Layers">'
        '<table class="sortable" id="layers-table"><caption>SQNR in dB</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _layer_row(layer: Layer, explanation, largest: float) -> str:
    read = [explanation.tensor(name) for name in layer.inputs]
    inputs = [tensor for tensor in read if tensor is not None]  # the rest is read as float
    links = ", ".join(f'<a href="#{_id(tensor.name)}">{escape(tensor.name)}</a>' for tensor in inputs)
    beyond = max((tensor.saturated for tensor in inputs), default=0.0)
    fused = ", ".join(name for name in layer.nodes if name != layer.name)
    share = ""
    if layer.share is not None:
        width = 4 * layer.share / largest
        share = f'<span class="bar" style="width:{width:.2f}em" aria-hidden="true"></span> {text.percent(layer.share)}'
    cells = [
        f'<th scope="row" class="name">{escape(layer.name)}<br><small>{escape(layer.op)}'
        f"{' with ' + escape(fused) if fused else ''}</small></th>",
        _number(layer.share, share),
        *(_number(v, text.decibels(v)) for v in (layer.effect, layer.local, layer.local_inputs, layer.local_weights)),
        _number(layer.accumulated, text.decibels(layer.accumulated)),
        f'<td class="name">{links}</td>',
        _number(beyond, text.percent(beyond)),
    ]
    return f'<tr data-item data-name="{escape(" ".join(layer.nodes))}">{"".join(cells)}</tr>'


def _tensors(explanation) -> str:
    if not explanation.tensors:
        return ""
    orders = [
        ("order", "in the network's order"),
        ("sqnr", "worst SQNR first"),
        ("inside", "most beyond the range first"),
    ]
    figures = [_tensor_figure(number, tensor) for number, tensor in enumerate(explanation.tensors)]
    return (
        "<p>Counts of the float values on a logarithmic axis. Shaded is what the integers express; values beyond it "
        "saturate at its ends.</p>"
        + _tools("tensors-grid", [("Filter tensors", "text", None)], orders)
        + f'<div class="grid" id="tensors-grid">{"".join(figures)}</div>'
    )


def _tensor_figure(number: int, tensor: Tensor) -> str:
    kind = escape(tensor.dtype) if tensor.bits == 8 else f"{tensor.bits} bits"
    how = f"{kind}, range found at run time"
    if tensor.scale is not None:
        how = f"{kind}, scale {tensor.scale:.4g}" + (f", zero point {tensor.zero_point}" if tensor.zero_point else "")
    calibrated = f", in calibration {text.interval(tensor.calibrated)}" if tensor.calibrated else ""
    readers = ", ".join(tensor.readers[:4]) + (
        f" and {len(tensor.readers) - 4} more" if len(tensor.readers) > 4 else ""
    )
    return (
        f'<figure id="{_id(tensor.name)}" data-item data-order="{number}" data-sqnr="{_sortable(tensor.sqnr)}" '
        f'data-inside="{-tensor.saturated:.9f}"><h3>{escape(tensor.name)}</h3>{svg.histogram(tensor)}'
        f"<figcaption>{how}; used {text.interval(tensor.used)}, seen {text.interval(tensor.seen)}"
        f"{calibrated}; "
        f"{text.percent(tensor.saturated)} beyond; SQNR {text.decibels(tensor.sqnr, ' dB')}; "
        f"read by {escape(readers)}</figcaption></figure>"
    )


def _examples(explanation) -> str:
    if not explanation.predictions:
        return ""
    figures = "".join(map(_example, explanation.predictions))
    return (
        "<p>Examples whose top-1 class differs, then those where float's two best classes are closest.</p>"
        f'<div class="grid pictures">{figures}</div>'
    )


def _example(found: Prediction) -> str:
    image = f'<img src="{escape(found.picture)}" alt="example {found.example}">' if found.picture else ""
    verdict = '<p class="flip">differs</p>' if found.flipped else '<p class="right">same</p>'
    label = f"<br>label: {escape(found.label)}" if found.label is not None else ""
    return (
        f"<figure>{image}<div><h3>example {found.example}</h3>{verdict}<figcaption>"
        f"float: {escape(found.float_class)} ({found.float_score:.4g})<br>"
        f"int8: {escape(found.int8_class)} ({found.int8_score:.4g}){label}<br>margin in float {found.margin:.3g}"
        "</figcaption></div></figure>"
    )


def _nodes(explanation) -> str:
    rows = "".join(
        f'<tr data-item data-precision="{escape(node.precision)}"><th scope="row" class="name">{escape(node.node)}</th>'
        f"<td>{escape(node.op)}</td><td>{escape(node.precision)}</td><td>{escape(node.reason)}</td></tr>"
        for node in explanation.nodes
    )
    choices = ["int8", "folded", "float"]
    return (
        _tools("nodes-table", [("Filter nodes", "text", None), ("Show", "precision", choices)])
        + '<div class="scroll tall" tabindex="0" role="region" aria-label="Nodes">'
        '<table class="sortable" id="nodes-table">'
        '<thead><tr><th scope="col">node</th><th scope="col">operator</th><th scope="col">is</th>'
        f'<th scope="col">because</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


_HELP = (
    (
        "SQNR",
        "Signal-to-quantization-noise ratio: 20 dB is an error of a tenth, 40 dB of a hundredth. Higher is better.",
    ),
    (
        "local",
        "Only this layer has integers as inputs and weights, the rest of the network is float; measured at its output "
        "before that is rounded for the next layer. Inputs and weights: only these, which says which of the two it is.",
    ),
    (
        "effect",
        "The same measured at the network's outputs (the mean over several): what this layer alone costs. Share is its "
        "part in the sum over all layers: about so much of the noise is gone if it stays float. What is only moved, as "
        "by pooling, counts for the layer that moves it and for those that read it.",
    ),
    (
        "accumulated",
        "The layer's output in the int8 network, as the next layers read it, beside the float network's: everything "
        "before it is in there.",
    ),
    (
        "range",
        "Used is what the integers express, seen the smallest and largest value on these examples. Values beyond the "
        "range saturate; few of them are the price of finer steps for all others.",
    ),
    (
        "equalized",
        "Channels were brought to similar ranges before: inner tensors are those of the equalized float network, which "
        "computes the same.",
    ),
)


def _help(explanation) -> str:
    terms = "".join(f"<dt>{name}</dt><dd>{told}</dd>" for name, told in _HELP)
    return f'<details><summary>SQNR, local, effect, share, accumulated</summary><dl class="help">{terms}</dl></details>'


# -- pieces ------------------------------------------------------------------------------------------------------------


def _tools(target: str, filters: List[tuple], orders: Optional[List[tuple]] = None) -> str:
    parts = []
    for label, by, choices in filters:
        if choices is None:
            parts.append(f'<label>{label} <input type="search" data-filter="{by}" data-target="{target}"></label>')
        else:
            options = '<option value="">all</option>' + "".join(f"<option>{choice}</option>" for choice in choices)
            parts.append(f'<label>{label} <select data-filter="{by}" data-target="{target}">{options}</select></label>')
    if orders:
        options = "".join(f'<option value="{key}">{name}</option>' for key, name in orders)
        parts.append(f'<label>Order <select data-sort data-target="{target}">{options}</select></label>')
    return f'<div class="tools">{"".join(parts)}<output aria-live="polite"></output></div>'


def _number(value: Optional[float], shown: str) -> str:
    return f'<td class="n" data-v="{"" if value is None else _sortable(value)}">{shown}</td>'


def _sortable(value: float) -> str:
    return "999" if value == float("inf") else "-999" if value == float("-inf") else f"{value:.6g}"


def _id(name: str) -> str:
    return "t-" + "".join(c if c.isalnum() else f"_{ord(c):x}_" for c in name)
