"""Runs ncnn's files in ncnn, one example after the other."""

from typing import Dict, List, Mapping, Sequence

import numpy as np

from ...errors import ConfigError

#: Options under which float is float32.
_FLOAT16 = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_vulkan_compute")


def ncnn_package():
    """The module ``ncnn``. Raises ConfigError where it is not installed."""
    try:
        import ncnn
    except ImportError as error:
        raise ConfigError(f"running ncnn's files needs the package ncnn: pip install 'mxq[ncnn]' ({error})") from error
    return ncnn


class NcnnFile:
    """A network of ncnn, loaded.

    Args:
        prefix: of the .param and the .bin file.
        options: ncnn's, such as ``{'use_winograd_convolution': False}``.

    Raises ConfigError for files that ncnn does not load.
    """

    def __init__(self, prefix: str, options: Mapping[str, bool] = None):
        self._ncnn = ncnn_package()
        self._net = self._ncnn.Net()
        self._net.opt.num_threads = 1
        for name, value in {**dict.fromkeys(_FLOAT16, False), **(options or {})}.items():
            setattr(self._net.opt, name, value)
        if self._net.load_param(f"{prefix}.param") or self._net.load_model(f"{prefix}.bin"):
            raise ConfigError(f"ncnn does not load {prefix}.param and {prefix}.bin")
        self.inputs: List[str] = list(self._net.input_names())
        self.outputs: List[str] = list(self._net.output_names())

    def run(self, arrays: Mapping[str, np.ndarray], names: Sequence[str] = None) -> Dict[str, np.ndarray]:
        """The values of blobs, by default the outputs; examples are the first axis of arrays and results."""
        wanted = list(self.outputs if names is None else names)
        found: List[List[np.ndarray]] = []
        for i in range(len(next(iter(arrays.values())))):
            extractor = self._net.create_extractor()
            extractor.set_light_mode(names is None)  # which frees inner blobs behind their readers
            for name, array in arrays.items():
                mat = self._ncnn.Mat(np.ascontiguousarray(array[i], np.float32)).clone()
                if extractor.input(name, mat):
                    raise ConfigError(f"ncnn takes no array of shape {array.shape[1:]} for {name!r}")
            rows = []
            for name in wanted:
                status, mat = extractor.extract(name)
                if status:
                    raise ConfigError(f"ncnn cannot compute {name!r} (status {status})")
                rows.append(np.array(mat))
            found.append(rows)
        return {name: np.stack([rows[j] for rows in found]) for j, name in enumerate(wanted)}
