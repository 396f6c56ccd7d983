"""Layers of Caffe's SSD branch: Normalize, PriorBox, DetectionOutput.

Boxes of a PriorBox depend on shapes alone: they are numbers in the file that comes out. DetectionOutput becomes, class
by class, what it does: boxes decoded, scores above the threshold, the best `top_k`, non-maximum suppression; then the
best `keep_top_k` of all classes. Its rows are (class, score, xmin, ymin, xmax, ymax), of -1 where there is nothing, for
every image; Caffe's have the image's number in front and no empty rows.
"""

import math
from typing import List

import numpy as np

from .builder import Table
from .caffe_net import Layer, Net

DETECTION = Table()

_PRIOR = (
    "min_size", "max_size", "aspect_ratio", "flip", "clip", "variance", "img_size", "img_h", "img_w", "step", "step_h",
    "step_w", "offset",
)  # fmt: skip
_OUTPUT = (
    "num_classes", "share_location", "background_label_id", "nms_param", "code_type", "variance_encoded_in_target",
    "keep_top_k", "confidence_threshold", "clip", "save_output_param", "visualize", "visualize_threshold",
)  # fmt: skip


@DETECTION.of("Normalize")
def normalize(net: Net, it: Layer) -> None:
    param = it.param("norm_param", ("across_spatial", "scale_filler", "channel_shared", "eps"))
    x = net.bottom(it)
    mode = "instance" if param.one("across_spatial", True) else "channel"
    attrs = {"mode": mode, "eps": param.one("eps", 1e-10)}
    value = net.emit(it, "L2Normalization", [x.value], attrs, x.shape, "_unit")
    channels = x.channels
    count = 1 if param.one("channel_shared", True) else channels
    shape = (1, count) + (1,) * (len(x.shape) - 2)
    scale = net.weight(it, 0, shape, "scale")
    net.write(it, net.emit(it, "broadcast_mul", [value, scale], {}, x.shape), x.shape)


@DETECTION.of("PriorBox")
def prior_box(net: Net, it: Layer) -> None:
    param = it.param("prior_box_param", _PRIOR)
    rows, columns = net.read(it).shape[2:]
    height, width = net.read(it, 1).shape[2:]
    height = param.one("img_h", param.one("img_size", height))
    width = param.one("img_w", param.one("img_size", width))
    step_h = param.one("step_h", param.one("step", 0.0)) or height / rows
    step_w = param.one("step_w", param.one("step", 0.0)) or width / columns
    sizes = _sizes(it, param)
    offset = param.one("offset", 0.5)
    y, x = np.meshgrid((np.arange(rows) + offset) * step_h, (np.arange(columns) + offset) * step_w, indexing="ij")
    centres = np.stack([x, y], axis=-1)[:, :, None, :]  # (rows, columns, 1, 2)
    half = np.float64(sizes)[None, None] / 2  # (1, 1, boxes, 2) as (width, height)
    scale = np.float64([width, height])
    boxes = np.concatenate([(centres - half) / scale, (centres + half) / scale], axis=-1)
    if param.one("clip", False):
        boxes = np.clip(boxes, 0, 1)
    variance = [float(v) for v in param.all("variance")] or [0.1]
    if len(variance) not in (1, 4):
        raise it.error(f"has {len(variance)} variances", "accepted are one or four")
    variances = np.tile(np.float64(variance * (4 // len(variance))), boxes.size // 4)
    net.write_constant(it, np.stack([boxes.reshape(-1), variances])[None].astype(np.float32))


def _sizes(it: Layer, param) -> List:
    """(width, height) of the boxes around one place, in Caffe's order."""
    ratios = [1.0]
    for ratio in map(float, param.all("aspect_ratio")):
        if ratio <= 0:
            raise it.error(f"has aspect_ratio {ratio}", "accepted are numbers above 0")
        for found in (ratio, 1 / ratio) if param.one("flip", True) else (ratio,):
            if all(abs(found - known) >= 1e-6 for known in ratios):
                ratios.append(found)
    smallest, largest = list(map(float, param.all("min_size"))), list(map(float, param.all("max_size")))
    if not smallest or min(smallest + largest) <= 0 or (largest and len(largest) != len(smallest)):
        raise it.error(f"has min_size {smallest} and max_size {largest}", "accepted are positive, as many of both")
    sizes = []
    for i, size in enumerate(smallest):
        sizes.append((size, size))
        if largest:
            sizes.append((math.sqrt(size * largest[i]),) * 2)
        sizes += [(size * math.sqrt(ratio), size / math.sqrt(ratio)) for ratio in ratios[1:]]
    return sizes


@DETECTION.of("DetectionOutput")
def detection_output(net: Net, it: Layer) -> None:
    param = it.param("detection_output_param", _OUTPUT)
    nms = param.sub("nms_param").accept(f"{it.type} {it.name!r}", ("nms_threshold", "top_k", "eta"))
    for name, given, wanted in (
        ("share_location", param.one("share_location", True), True),
        ("background_label_id", param.one("background_label_id", 0), 0),
        ("code_type", {2: "CENTER_SIZE"}.get(param.one("code_type"), param.one("code_type")), "CENTER_SIZE"),
        ("variance_encoded_in_target", param.one("variance_encoded_in_target", False), False),
        ("eta", nms.one("eta", 1.0), 1.0),
    ):
        if given != wanted:
            raise it.error(f"has {name}: {given}", f"accepted is {wanted}")
    location, confidence, prior = net.bottom(it, 0), net.bottom(it, 1), net.read(it, 2)
    classes = param.one("num_classes", 0)
    if prior.constant is None or prior.constant.shape[:2] != (1, 2):
        raise it.error(f"reads priors of shape {prior.shape}", "accepted are those of PriorBox layers, joined")
    anchors = prior.constant[0, 0].reshape(1, -1, 4)
    variances = prior.constant[0, 1].reshape(-1, 4)
    batch, count = location.shape[0], anchors.shape[1]
    if (variances != variances[0]).any():
        raise it.error("has priors of different variances", "accepted are the same four for all")
    if location.shape != (batch, count * 4) or confidence.shape != (batch, count * classes):
        raise it.error(
            f"reads {location.shape}, {confidence.shape} and {count} priors of {classes} classes",
            "their numbers must agree",
        )
    boxes_shape = (batch, count, 4)
    boxes = net.emit(it, "Reshape", [location.value], {"shape": (0, -1, 4)}, boxes_shape, "_location")
    attrs = {f"std{i}": float(v) for i, v in enumerate(variances[0])}
    inputs = [boxes, net.param(it, anchors, "anchors")]
    boxes = net.emit(it, "_contrib_box_decode", inputs, {**attrs, "format": "corner"}, boxes_shape, "_decode")
    if param.one("clip", False):
        boxes = net.emit(it, "clip", [boxes], {"a_min": 0.0, "a_max": 1.0}, boxes_shape, "_clip")
    shape = (batch, count, classes)
    scores = net.emit(it, "Reshape", [confidence.value], {"shape": (0, -1, classes)}, shape, "_scores")
    suppress = {
        "overlap_thresh": nms.one("nms_threshold", 0.3),
        "valid_thresh": param.one("confidence_threshold", -3.4e38),
        "topk": nms.one("top_k", -1),
        "coord_start": 2,
        "score_index": 1,
        "id_index": 0,
    }
    found = []
    for label in range(1, classes):
        one, row = (batch, count, 1), (batch, count, 6)
        attrs = {"axis": 2, "begin": label, "end": label + 1}
        score = net.emit(it, "slice_axis", [scores], attrs, one, f"_score{label}")
        nothing = net.emit(it, "_mul_scalar", [score], {"scalar": 0.0}, one, f"_zero{label}")
        number = net.emit(it, "_plus_scalar", [nothing], {"scalar": float(label)}, one, f"_label{label}")
        rows = net.emit(it, "Concat", [number, score, boxes], {"dim": 2, "num_args": 3}, row, f"_rows{label}")
        found.append(net.emit(it, "_contrib_box_nms", [rows], suppress, row, f"_nms{label}"))
    total = (batch, count * len(found), 6)
    rows = net.emit(it, "Concat", found, {"dim": 1, "num_args": len(found)}, total, "_all")
    keep = param.one("keep_top_k", -1)
    keep = total[1] if keep < 0 else min(keep, total[1])
    # Nothing overlaps by more than itself: this sorts by score alone.
    order = {**suppress, "overlap_thresh": 1.0, "topk": keep}
    rows = net.emit(it, "_contrib_box_nms", [rows], order, total, "_sorted")
    shape = (batch, keep, 6)
    net.write(it, net.emit(it, "slice_axis", [rows], {"axis": 1, "begin": 0, "end": keep}, shape), shape)
