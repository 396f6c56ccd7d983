"""A script written for MXNet's module works after its import line alone was changed."""

import subprocess
import sys
import tempfile

from parameterized import parameterized

from ..realdata import REPO

SCRIPT = """
import logging
import sys
import mxnet as mx
@@import@@

folder = sys.argv[1]
logging.basicConfig()
logger = logging.getLogger("script")
logger.setLevel(logging.INFO)
mx.random.seed(0)
np.random.seed(0)  # numpy comes with the star import, as cpu and DataIter do
ctx = cpu()

data = mx.sym.Variable("data")
x = mx.sym.Convolution(data, kernel=(3, 3), num_filter=8, no_bias=True, name="conv0")
x = mx.sym.BatchNorm(x, fix_gamma=False, name="bn0")
x = mx.sym.Activation(x, act_type="relu", name="relu0")
x = mx.sym.Convolution(x, kernel=(3, 3), num_filter=8, name="conv1")
x = mx.sym.Activation(x, act_type="relu", name="relu1")
x = mx.sym.Flatten(mx.sym.Pooling(x, global_pool=True, pool_type="avg", kernel=(1, 1), name="pool"), name="flatten0")
sym = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, num_hidden=10, name="fc"), name="softmax")
images = np.random.normal(size=(32, 3, 16, 16)).astype("float32")
batches = mx.io.NDArrayIter(images, np.zeros(32), batch_size=8, label_name="softmax_label")
assert isinstance(batches, DataIter)

module = Module(symbol=sym, context=ctx)
module.bind(batches.provide_data, batches.provide_label, for_training=False)
module.init_params(mx.init.Xavier(rnd_type="gaussian", magnitude=2))
arg_params, aux_params = module.get_params()
reference = module.predict(batches).asnumpy()
batches.reset()

sym_sg = sym.get_backend_symbol("MKLDNN_QUANTIZE") if "fused" in sys.argv else sym
qsym, qarg_params, qaux_params = quantize_model_mkldnn(
    sym=sym, arg_params=arg_params, aux_params=aux_params, data_names=["data"], label_names=["softmax_label"], ctx=ctx,
    excluded_sym_names=["flatten0"], excluded_op_names=None, calib_mode="naive", calib_data=batches,
    num_calib_examples=16, quantized_dtype="auto", logger=logger)
mx.model.save_checkpoint(folder + "/quantized", 0, qsym, qarg_params, qaux_params)

loaded = mx.model.load_checkpoint(folder + "/quantized", 0)
module = mx.mod.Module(symbol=loaded[0], context=ctx)
module.bind(batches.provide_data, batches.provide_label, for_training=False)
module.set_params(loaded[1], loaded[2])
batches.reset()
found = module.predict(batches).asnumpy()
assert abs(found - reference).max() < 0.05, abs(found - reference).max()

qsym, qarg_params, aux_params, collector = quantize_graph(
    sym=sym_sg, arg_params=arg_params, aux_params=aux_params, ctx=ctx, calib_mode="naive", quantized_dtype="auto",
    logger=logger)
module = mx.mod.Module(symbol=sym_sg, context=ctx)
module.bind(batches.provide_data, batches.provide_label, for_training=False)
module.set_params(arg_params, aux_params)
module._exec_group.execs[0].set_monitor_callback(collector.collect, monitor_all=True)
batches.reset()
for batch in batches:
    module.forward(batch, is_train=False)
assert collector.min_max_dict
qsym, qarg_params, aux_params = calib_graph(
    qsym=qsym, arg_params=arg_params, aux_params=aux_params, collector=collector, calib_mode="naive",
    quantized_dtype="auto", logger=logger)
module = mx.mod.Module(symbol=qsym, context=ctx)
module.bind(batches.provide_data, batches.provide_label, for_training=False)
module.set_params(qarg_params, aux_params)
batches.reset()
found = module.predict(batches).asnumpy()
assert abs(found - reference).max() < 0.05, abs(found - reference).max()

net = mx.gluon.nn.HybridSequential()
net.add(mx.gluon.nn.Conv2D(8, 3, activation="relu"), mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Dense(10))
net.initialize(ctx=ctx)
loader = mx.gluon.data.DataLoader(mx.gluon.data.ArrayDataset(mx.nd.array(images), mx.nd.zeros(32)), batch_size=8)
reference = net(mx.nd.array(images)).asnumpy()
qnet = quantize_net_v2(net, quantized_dtype="auto", calib_data=loader, calib_mode="naive", num_calib_examples=16,
                       ctx=ctx, logger=logger)
qnet.hybridize(static_alloc=True, static_shape=True)
found = qnet(mx.nd.array(images)).asnumpy()
assert abs(found - reference).max() < 0.1 * abs(reference).max()
"""
#: MXNet's own module runs the script too: what is tested is a script that was right before.
THEIRS = "from mxnet.contrib.quantization import *"
OURS = "from mxq.contrib.quantization import *"


@parameterized.expand([(THEIRS, "fused"), (OURS, "fused"), (OURS, "plain")])
def test_script_runs(line, how):
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SCRIPT.replace("@@import@@", line), folder, how]
        done = subprocess.run(command, cwd=REPO, capture_output=True, timeout=900)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-3000:]
