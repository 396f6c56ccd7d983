"""The engines that are compared: what they are called, where their code is, what they need."""

import os
from typing import Dict, NamedTuple, Optional, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
#: Packages that do not go with MXNet's NumPy live in an environment of their own; ci/peers.sh makes it.
PEERS = os.environ.get("MXQ_PEERS", os.path.join(REPO, ".venv-peers"))


class Engine(NamedTuple):
    """One way to run a network.

    Attributes:
        label: as the tables call it.
        module: the file here with ``prepare``, ``Runner`` and ``versions``.
        options: what distinguishes it from other engines of that file.
        prepared: name of the engine whose files it runs, where that is another one.
        bits: 8 or 32.
        packages: needed in the peers' environment; MXNet's environment runs those without any.
        made_by: the file here with ``prepare`` where that is another one, which MXNet's environment runs.
    """

    label: str
    module: str
    options: Dict[str, object]
    prepared: Optional[str] = None
    bits: int = 8
    packages: Tuple[str, ...] = ()
    made_by: Optional[str] = None

    def python(self, here: str) -> str:
        """The interpreter that runs it; `here` is the one of MXNet."""
        return os.path.join(PEERS, "bin", "python") if self.packages else here

    @property
    def is_ours(self) -> bool:
        """Whether its files depend on mxq's sources."""
        return self.options.get("kind") == "mxq" or self.made_by is not None


_ORT = ("onnxruntime", "onnx")
_OPENVINO = ("openvino", "nncf", "onnx")


def _delivered(label: str, module: str, target: str, packages: Tuple[str, ...] = (), **options) -> Engine:
    """mxq's int8 network in another runtime, as `mxq.deliver` writes it."""
    return Engine(label, module, {"target": target, **options}, packages=packages, made_by="engine_delivered")


ENGINES: Dict[str, Engine] = {
    "mxq": Engine("mxq", "engine_mxnet", {"kind": "mxq", "static": True}),
    "mxq-plain": Engine("mxq, plain hybridize()", "engine_mxnet", {"kind": "mxq", "static": False}, "mxq"),
    "mxq-best": Engine("mxq best", "engine_mxnet", {"kind": "mxq", "static": True, "preset": "best"}),
    "mxq-8bit": Engine("mxq, 8 bits", "engine_mxnet", {"kind": "mxq", "static": True, "precision_budget": 0.0}),
    "float": Engine("MXNet float", "engine_mxnet", {"kind": "float", "static": False}, bits=32),
    "float-fused": Engine("MXNet float, fused", "engine_mxnet", {"kind": "float", "fused": True}, "float", bits=32),
    "contrib": Engine("MXNet contrib, naive", "engine_mxnet", {"kind": "contrib", "calib_mode": "naive"}),
    "contrib-entropy": Engine("MXNet contrib, entropy", "engine_mxnet", {"kind": "contrib", "calib_mode": "entropy"}),
    "ort": Engine("ONNX Runtime, min-max", "engine_onnxruntime", {"method": "MinMax"}, packages=_ORT),
    "ort-percentile": Engine("ONNX Runtime, percentile", "engine_onnxruntime", {"method": "Percentile"}, packages=_ORT),
    "openvino": Engine("OpenVINO, NNCF mixed", "engine_openvino", {"preset": "MIXED"}, packages=_OPENVINO),
    "openvino-performance": Engine(
        "OpenVINO, NNCF performance", "engine_openvino", {"preset": "PERFORMANCE"}, packages=_OPENVINO
    ),
    "ort-float": Engine("ONNX Runtime float", "engine_onnxruntime", {}, bits=32, packages=_ORT),
    "openvino-float": Engine("OpenVINO float", "engine_openvino", {}, bits=32, packages=_OPENVINO),
    "mxq-ort": _delivered(
        "mxq in ONNX Runtime", "engine_onnxruntime", "onnxruntime", ("onnxruntime", "onnx"), precision_budget=0.0
    ),
    "mxq-openvino": _delivered("mxq in OpenVINO", "engine_openvino", "openvino", _OPENVINO, precision_budget=0.0),
    "mxq-openvino-best": _delivered("mxq best in OpenVINO", "engine_openvino", "openvino", _OPENVINO, preset="best"),
    "mxq-ncnn": _delivered("mxq in ncnn", "engine_ncnn", "ncnn"),
}


def missing(name: str) -> Optional[str]:
    """Why an engine cannot run here, in one line; None where it can."""
    engine = ENGINES[name]
    if engine.module == "engine_ncnn":
        return _missing_ncnn()
    if not engine.packages:
        return _missing_in_mxq(engine)
    if not os.path.exists(engine.python("")):
        return f"there is no environment {PEERS}; bash ci/peers.sh makes it"
    absent = [package for package in engine.packages if not _installed(package)]
    return f"{', '.join(absent)} not installed in {PEERS}; bash ci/peers.sh installs it" if absent else None


def _missing_in_mxq(engine: Engine) -> Optional[str]:
    if "preset" not in engine.options:
        return None
    from mxq.options import Options

    return None if "preset" in Options._fields else "this mxq has no presets"


def _missing_ncnn() -> Optional[str]:
    from importlib.util import find_spec

    return None if find_spec("ncnn") else "ncnn is not installed: pip install ncnn"


def _installed(package: str) -> bool:
    """Looks into the peers' environment without starting it."""
    library = os.path.join(PEERS, "lib")
    versions = os.listdir(library) if os.path.isdir(library) else []
    return any(os.path.isdir(os.path.join(library, v, "site-packages", package)) for v in versions)
