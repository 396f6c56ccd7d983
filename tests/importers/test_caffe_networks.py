"""Whole Caffe networks: old forms, layers of training, detectors."""

import tempfile

import numpy as np
from parameterized import parameterized

import mxq

from .caffe_files import BLOBS, GOOD, check, dims, floats, head, layer, opencv, run, write
from .test_caffe import CASES, X


def test_arrays_in_old_and_other_forms():
    text, blobs = CASES["inner_product"]
    check(head(*X.shape) + text, blobs, {"data": X}, legacy=True)
    with tempfile.TemporaryDirectory() as folder:
        plain, double = (mxq.load(write(folder, head(*X.shape) + text, blobs, double=d)) for d in (False, True))
    np.testing.assert_array_equal(run(plain, {"data": X}), run(double, {"data": X}))


def test_the_first_version_of_layers():
    text = """
        name: "old" input: "data" input_dim: 2 input_dim: 6 input_dim: 9 input_dim: 7
        layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 1 blobs_lr: 2
                 convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
        layers { name: "r" type: RELU bottom: "c" top: "c" }
        layers { name: "f" type: INNER_PRODUCT bottom: "c" top: "f" inner_product_param { num_output: 3 } }
        layers { name: "p" type: SOFTMAX bottom: "f" top: "p" }
    """
    blobs = {"c": [floats(2, 4, 6, 3, 3), floats(3, 4)], "f": [floats(4, 3, 140), floats(5, 3)]}
    check(text, blobs, {"data": X}, v1=True, legacy=True)


def test_layers_of_training_are_left_out():
    text = (
        'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } }'
        + head(*X.shape)
        + layer("ReLU", "y", "data")
        + 'layer { name: "a" type: "Accuracy" bottom: "y" bottom: "label" top: "a" include { phase: TEST } }'
    )
    with tempfile.TemporaryDirectory() as folder:
        model = mxq.load(write(folder, text, {}))
    assert model.outputs == ("y",) and list(model.shapes) == ["data"]


RELU = 'layer { name: "r" type: "ReLU" bottom: "s" top: "y" RULE }'


@parameterized.expand(
    [
        ("a_stage", "include { stage: 'deploy' }", "", False),
        ("the_stage_of_the_file", "include { stage: 'deploy' }", "state { stage: 'deploy' }", True),
        ("not_a_stage", "include { phase: TEST not_stage: 'deploy' }", "", True),
        ("a_level", "include { min_level: 1 }", "", False),
        ("either_phase", "include { phase: TRAIN } include { phase: TEST }", "", True),
        ("not_when_tested", "exclude { phase: TEST }", "", False),
        ("not_when_trained", "exclude { phase: TRAIN }", "", True),
    ]
)
def test_rules_say_which_layers_are_there(_name, rule, state, there):
    text = state + head(*X.shape) + layer("Sigmoid", "s", "data") + RELU.replace("RULE", rule)
    with tempfile.TemporaryDirectory() as folder:
        assert mxq.load(write(folder, text, {})).outputs == (("y",) if there else ("s",))


def test_what_is_silenced_is_no_output():
    text = head(*X.shape) + layer("Split", "s", "data", tops="a b") + layer("ReLU", "y", "a")
    with tempfile.TemporaryDirectory() as folder:
        model = mxq.load(write(folder, text + 'layer { name: "n" type: "Silence" bottom: "b" }', {}))
    assert model.outputs == ("y",)


def test_dropout_that_training_does_not_scale():
    text = head(*X.shape) + layer("Dropout", "y", "data", "dropout_param { dropout_ratio: 0.3 scale_train: false }")
    with tempfile.TemporaryDirectory() as folder:
        found = run(mxq.load(write(folder, text, {})), {"data": X})[0]
    np.testing.assert_allclose(found, np.float32(0.7) * X, rtol=1e-6)


VARIANCES = "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2"
PRIORS = f"prior_box_param {{ min_size: 4 max_size: 9 aspect_ratio: 2 {VARIANCES} }}"


def detector(keep: int, top: int) -> str:
    """Boxes of two sizes of maps, three classes."""
    text = head(1, 3, 24, 32)
    for name, stride in (("a", 8), ("b", 16)):
        size = f"kernel_size: {stride} stride: {stride}"
        text += layer("Convolution", name, "data", f"convolution_param {{ num_output: 4 {size} }}")
        for part, outputs in (("loc", 16), ("conf", 12)):
            conv = f"convolution_param {{ num_output: {outputs} kernel_size: 1 }}"
            text += layer("Convolution", f"{name}_{part}", name, conv)
            order = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
            text += layer("Permute", f"{name}_{part}_perm", f"{name}_{part}", order)
            text += layer("Flatten", f"{name}_{part}_flat", f"{name}_{part}_perm", "flatten_param { axis: 1 }")
        text += layer("PriorBox", f"{name}_prior", f"{name} data", PRIORS)
    text += layer("Concat", "loc", "a_loc_flat b_loc_flat", "concat_param { axis: 1 }")
    text += layer("Concat", "conf", "a_conf_flat b_conf_flat", "concat_param { axis: 1 }")
    text += layer("Concat", "prior", "a_prior b_prior", "concat_param { axis: 2 }")
    text += layer("Reshape", "conf_r", "conf", f"reshape_param {{ shape {{ {dims((0, -1, 3))} }} }}")
    text += layer("Softmax", "conf_s", "conf_r", "softmax_param { axis: 2 }") + layer("Flatten", "conf_f", "conf_s")
    nms = f"nms_param {{ nms_threshold: 0.4 top_k: {top} }}"
    param = f"num_classes: 3 share_location: true background_label_id: 0 {nms} code_type: CENTER_SIZE "
    param += f"keep_top_k: {keep} confidence_threshold: 0.35"
    return text + layer("DetectionOutput", "out", "loc conf_f prior", f"detection_output_param {{ {param} }}")


@parameterized.expand([("all", 100, 100), ("few", 5, 8)])
def test_detections(_name, keep, top):
    blobs = {}
    for seed, (name, size) in enumerate((("a", 8), ("b", 16))):
        blobs[name] = [floats(seed, 4, 3, size, size), floats(seed + 2, 4)]
        blobs[f"{name}_loc"] = [floats(seed + 4, 16, 4, 1, 1) * 0.1, floats(seed + 6, 16)]
        blobs[f"{name}_conf"] = [floats(seed + 8, 12, 4, 1, 1) * 0.1, floats(seed + 10, 12)]
    x = floats(5, 1, 3, 24, 32)
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, detector(keep, top), blobs)
        model = mxq.load(path)
        theirs = opencv(path, {"data": x}, ["out"])[0].reshape(-1, 7)[:, 1:]
    theirs = theirs[theirs[:, 1] > 0]  # rows of zeros follow
    rows = run(model, {"data": x})[0][0]
    rows = rows[rows[:, 1] >= 0]
    assert len(rows) == len(theirs) and len(rows) > 3
    order = [np.lexsort((r[:, 2], -r[:, 1])) for r in (rows, theirs)]
    np.testing.assert_allclose(rows[order[0]], theirs[order[1]], rtol=1e-4, atol=1e-5)


def test_a_network_that_was_loaded_is_quantized():
    with tempfile.TemporaryDirectory() as folder:
        model = mxq.load(write(folder, head(1, 3, 8, 8) + GOOD.split("\n", 1)[1] + layer("ReLU", "y", "conv"), BLOBS))
    int8 = mxq.quantize_model(model.symbol, model[1:], floats(3, 16, 3, 8, 8), batch_size=8)
    assert int8.report.count("int8") == 2
