"""Finding, loading and explaining the native library, each case in a process of its own."""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from importlib import metadata
from unittest import mock

import mxq
from mxq.errors import LibraryError
from mxq.native import library as native

PACKAGE = os.path.dirname(mxq.__file__)
#: The parts of the package that loading needs: copied, they fail or work without the rest.
LOADER = ("native/__init__.py", "native/library.py", "native/nan.py", "native/operator_threads.py", "errors.py")


def python(code: str, path: str = os.path.dirname(PACKAGE), env=None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **(env or {})},
        cwd=tempfile.gettempdir(),
        timeout=900,
    )


def output_of(code: str, **options) -> str:
    done = python(code, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


def copy_of_loader(folder: str, version: str = mxq.__version__) -> str:
    """A package named mxq in `folder` that loads the operators and does nothing else; returns its folder."""
    package = os.path.join(folder, "mxq")
    for part in ("lib", "native"):
        os.makedirs(os.path.join(package, part))
    for name in LOADER:
        shutil.copy(os.path.join(PACKAGE, name), os.path.join(package, name))
    with open(os.path.join(package, "version.py"), "w") as f:
        f.write(f"__version__ = {version!r}\n")
    with open(os.path.join(package, "__init__.py"), "w") as f:
        f.write("from .native import load, library_path\nload()\n")
    return package


def test_importing_registers_once():
    code = "import mxq, mxq.native; mxq.native.load(); mxq.native.load(); import mxnet as mx; print(mx.sym.mxq_lut)"
    assert "<function mxq_lut" in output_of(code)


def test_the_library_loads_without_the_package():
    code = (
        f"import sys, mxnet as mx; mx.library.load({mxq.library_path()!r}); assert 'mxq' not in sys.modules\n"
        "print(mx.nd.mxq_quantize_v2(mx.nd.ones(3), min_calib_range=-1, max_calib_range=1).asnumpy().tolist())"
    )
    assert "[127, 127, 127]" in output_of(code, path="")


def test_importing_after_loading_by_hand():
    code = (
        f"import mxnet as mx; mx.library.load({mxq.library_path()!r}, verbose=False); import mxq\n"
        "print(mx.nd.mxq_quantize_v2(mx.nd.ones(3), min_calib_range=-1, max_calib_range=1).asnumpy().tolist())"
    )
    assert "[127, 127, 127]" in output_of(code)


def test_a_missing_library():
    with tempfile.TemporaryDirectory() as folder:
        copy_of_loader(folder)
        done = python("import mxq", path=folder)
    assert done.returncode == 1
    for part in ("LibraryError", "looked for", "libmxq_cpu.so", "found there: nothing", "build it:"):
        assert part in done.stdout, done.stdout


def test_a_file_that_is_no_library():
    with tempfile.TemporaryDirectory() as folder:
        package = copy_of_loader(folder)
        with open(os.path.join(package, "lib", "libmxq_cpu.so"), "w") as f:
            f.write("not ELF")
        done = python("import mxq", path=folder)
    assert done.returncode == 1
    assert "LibraryError" in done.stdout and "does not load" in done.stdout and "build it:" in done.stdout, done.stdout


def test_a_library_of_another_version():
    with tempfile.TemporaryDirectory() as folder:
        package = copy_of_loader(folder, version="9.9.9")
        shutil.copy(mxq.library_path(), os.path.join(package, "lib"))
        done = python("import mxq", path=folder)
    assert done.returncode == 1
    for part in ("LibraryError", "looked for: version 9.9.9", f"found: version {mxq.__version__}", "build it:"):
        assert part in done.stdout, done.stdout


def test_another_mxnet():
    done = python("import mxnet; mxnet.__version__ = '1.8.0'; import mxq")
    assert done.returncode == 1
    assert "LibraryError" in done.stdout and "1.9.1" in done.stdout and "found 1.8.0" in done.stdout, done.stdout


def test_onednn_is_found_through_its_wheel():
    native._preload_onednn("libmxq_cpu.so")
    with open("/proc/self/maps") as f:
        assert native.ONEDNN_LIBRARY in f.read()


def test_onednn_is_not_installed():
    with mock.patch.object(native.metadata, "distribution", side_effect=metadata.PackageNotFoundError("x")):
        try:
            native._preload_onednn("libmxq_cpu.so")
        except LibraryError as error:
            assert "looked for: libdnnl.so.3" in str(error) and "pip install onednn-cpu-gomp==2023.2.0" in str(error)
            return
    raise AssertionError("expected a LibraryError")


OTHER_LIBRARY = """
#include <mxnet/lib_api.h>
using namespace mxnet::ext;
MXReturnValue parse(const std::unordered_map<std::string, std::string>&, int* in, int* out) {
  *in = *out = 1;
  return MX_SUCCESS;
}
MXReturnValue types(const std::unordered_map<std::string, std::string>&, std::vector<int>* in, std::vector<int>* out) {
  (*out)[0] = (*in)[0];
  return MX_SUCCESS;
}
MXReturnValue shapes(const std::unordered_map<std::string, std::string>&, std::vector<std::vector<unsigned>>* in,
                     std::vector<std::vector<unsigned>>* out) {
  (*out)[0] = (*in)[0];
  return MX_SUCCESS;
}
MXReturnValue forward(const std::unordered_map<std::string, std::string>&, std::vector<MXTensor>* in,
                      std::vector<MXTensor>* out, const OpResource&) {
  for (int64_t i = 0; i < in->at(0).size(); ++i) {
    if (in->at(0).data<float>()[i] < 0) {
      MX_ERROR_MSG << "negative";
      return MX_FAIL;
    }
    out->at(0).data<float>()[i] = in->at(0).data<float>()[i] * 2;
  }
  return MX_SUCCESS;
}
REGISTER_OP(other_double).setForward(forward, "cpu").setParseAttrs(parse).setInferType(types).setInferShape(shapes);
MXReturnValue initialize(int) { return MX_SUCCESS; }
"""


def test_beside_another_extension_library():
    import mxnet as mx

    if not shutil.which("g++"):
        raise unittest.SkipTest("no g++ to build another extension library with")
    root = os.path.dirname(mx.__file__)
    with tempfile.TemporaryDirectory() as folder:
        source, library = os.path.join(folder, "other.cc"), os.path.join(folder, "libother.so")
        with open(source, "w") as f:
            f.write(OTHER_LIBRARY)
        include = os.path.join(root, "include")
        lib_api = os.path.join(root, "src", "lib_api.cc")
        subprocess.check_call(["g++", "-shared", "-fPIC", "-O0", "-w", "-I", include, source, lib_api, "-o", library])
        both = """
x = mx.nd.ones(3)
print(mx.nd.other_double(x).asnumpy().tolist())
print(mx.nd.mxq_quantize_v2(x, min_calib_range=-1, max_calib_range=1).asnumpy().tolist())
try: mx.nd.other_double(-x).asnumpy()
except mx.MXNetError as e: assert "negative" in str(e)
try: mx.nd.mxq_quantize_v2(x, out_type="x")
except mx.MXNetError as e: assert "out_type=x" in str(e) and "negative" not in str(e)
print("both work")
"""
        load = f"mx.library.load({library!r}, verbose=False)\n"
        for code in (f"import mxnet as mx\n{load}import mxq\n{both}", f"import mxnet as mx\nimport mxq\n{load}{both}"):
            text = output_of(code)
            assert "[2.0, 2.0, 2.0]" in text and "[127, 127, 127]" in text and "both work" in text, text


def test_info():
    described = native.info()
    assert described["versions"]["mxq"] == mxq.__version__
    assert described["versions"]["onednn"] == described["versions"]["onednn_compiled"] == "3.2.0"
    assert described["library"] == mxq.library_path() and os.path.exists(described["library"])
    for names in described["ops"].values():
        assert names[-1] == "ref"
    import mxnet as mx

    for op in described["ops"]:
        assert hasattr(mx.nd, op) and hasattr(mx.sym, op)


def test_info_command():
    run = [sys.executable, "-m", "mxq", "info"]
    env = {**os.environ, "PYTHONPATH": os.path.dirname(PACKAGE)}
    text = subprocess.check_output(run, env=env, text=True)
    for part in ("MXNet", "1.9.1", "oneDNN", "3.2.0", mxq.library_path(), "mxq_quantize_v2"):
        assert part in text, text
    described = json.loads(subprocess.check_output(run + ["--json"], env=env, text=True))
    assert described["ops"] == native.info()["ops"]


def test_every_row_of_the_op_table_is_defined():
    root = os.path.join(os.path.dirname(PACKAGE), "src_ops")
    if not os.path.isdir(root):
        raise unittest.SkipTest("the sources are not here")
    with open(os.path.join(root, "op_table.inc")) as f:
        rows = [line[len("MXQ_OP(") : line.index(")")].split(", ") for line in f if line.startswith("MXQ_OP(")]
    assert sorted(name for name, _ in rows) == sorted(native.info()["ops"])
    defined = ""
    for path in glob.glob(os.path.join(root, "ops", "*.cc")):
        with open(path) as f:
            defined += f.read()
    for _, stem in rows:
        assert f"OpEntry {stem}_entry()" in defined, f"op_table.inc names {stem}, but no file in ops/ defines its entry"


def test_the_naive_engine():
    code = (
        "import mxq, mxnet as mx\n"
        "q = mx.nd.mxq_quantize_v2(mx.nd.ones((2, 3)), min_calib_range=-1, max_calib_range=1)\n"
        "try: mx.nd.mxq_quantize_v2(mx.nd.ones(2) / 0)[0].asnumpy()\n"
        "except mx.MXNetError as e: assert 'finite' in str(e)\n"
        "print(mx.nd.mxq_dequantize(q, scale=2).asnumpy().sum())"
    )
    assert "1524.0" in output_of(code, env={"MXNET_ENGINE_TYPE": "NaiveEngine"})
