// The C functions through which MXNet calls operators.
//
// lib_api.cc of MXNet has them too, but copies every attribute into a hash map and every shape and context name into
// new containers at each call, lets exceptions cross the boundary, and does not tell an unknown rank from a scalar.
// Those of its functions that are defined here are renamed while lib_api.cc is compiled (see setup.py).
#include <mxnet/lib_api.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>

#include "../core/check.h"
#include "../core/check_nan.h"
#include "../core/profile.h"
#include "../core/scratch.h"
#include "../core/sizes.h"
#include "../cpu/threads.h"
#include "errors.h"
#include "node.h"
#include "register.h"
#ifdef MXQ_CUDA
#include "../cuda/host_side.h"
#endif

namespace mxq {
namespace {

using mxnet::ext::CustomStatefulOp;
using mxnet::ext::MX_FAIL;
using mxnet::ext::MX_SUCCESS;

// Nothing thrown by `body` gets past here. The error names the operator and, once `node` is set, the node.
template <class Body>
int guarded(const OpEntry& entry, const NodePtr& node, Body body) noexcept {
  clear_error();
  try {
    std::string text = "unknown error";
    try {
      body();
      return MX_SUCCESS;
    } catch (const std::bad_alloc&) {
      text = "out of memory";
    } catch (const std::exception& e) {
      text = e.what();
    } catch (...) {
    }
    set_error(entry.name, node ? node->label : entry.name, text);
  } catch (...) {  // no memory for the text: MXNet still names the operator
  }
  return MX_FAIL;
}

// One node of one executor. Cheap: all that is costly lives in the caches.
class State : public CustomStatefulOp {
 public:
  explicit State(BoundPtr b) : bound(std::move(b)) { ignore_warn = true; }

  mxnet::ext::MXReturnValue Forward(std::vector<mxnet::ext::MXTensor>*, std::vector<mxnet::ext::MXTensor>*,
                                    const mxnet::ext::OpResource&) override {
    return MX_FAIL;  // never called: _opCallFStatefulCompute below is what MXNet uses
  }

  BoundPtr bound;
  std::shared_ptr<void> slot;
};

bool same_types(const std::vector<TensorType>& known, const int64_t* const* dims, const int* ndims, const int* types,
                int count) {
  if (static_cast<int>(known.size()) != count) return false;
  for (int i = 0; i < count; ++i) {
    const TensorType& type = known[i];
    if (static_cast<int>(type.dtype) != types[i] || static_cast<int>(type.shape.size()) != ndims[i]) return false;
    if (ndims[i] && std::memcmp(type.shape.data(), dims[i], ndims[i] * sizeof(int64_t)) != 0) return false;
  }
  return true;
}

const char* name_of(Device device) { return device == Device::kGpu ? "gpu" : "cpu"; }

Device device_of(const char* name) {
#ifdef MXQ_CUDA
  if (std::strcmp(name, "gpu") == 0) return Device::kGpu;
  MXQ_CHECK(std::strcmp(name, "cpu") == 0, "the context is " << name << "; expected cpu or gpu");
#else
  MXQ_CHECK(std::strcmp(name, "cpu") == 0, "the context is " << name << "; expected cpu");
#endif
  return Device::kCpu;
}

void check_dense(const char* what, Device device, int count, const char* const* names, const int* storage) {
  const char* const expected = name_of(device);
  for (int i = 0; i < count; ++i) {
    MXQ_CHECK(std::strcmp(names[i], expected) == 0,
              what << " " << i << " is on " << names[i] << "; expected " << expected);
    MXQ_CHECK(storage[i] == 0, what << " " << i << " is sparse; expected dense");
  }
}

// Takes the frame that the last call left, or makes one; leaves it for the next call.
class FrameLease {
 public:
  explicit FrameLease(const BoundNode& bound) : bound_(bound), frame_(bound.spare.exchange(nullptr)) {
    if (frame_) return;
    frame_ = new Frame;
    for (const TensorType& type : bound.in) frame_->in.push_back({nullptr, type, 0});
    for (const TensorType& type : bound.out) frame_->out.push_back({nullptr, type, 0});
  }
  ~FrameLease() { delete bound_.spare.exchange(frame_); }
  Frame* operator->() { return frame_; }

 private:
  const BoundNode& bound_;
  Frame* frame_;
};

struct ScratchLease {
  Scratch* scratch;
  ~ScratchLease() {
    try {
      scratch->reset();
    } catch (...) {  // keeping less memory than wanted is no error
    }
  }
};

Shape read_shape(const unsigned* dims, int ndim) {
  Shape shape(dims, dims + ndim);
  for (int64_t& d : shape) {
    if (d == UINT_MAX) d = -1;  // MXNet's unknown dimension, cast to unsigned on its way here
  }
  return shape;
}

bool is_known(const Shape& shape) {
  for (int64_t d : shape) {
    if (d < 0) return false;
  }
  return true;
}

// Shapes in memory that MXNet releases with _opCallFree.
void write_shapes(const std::vector<Shape>& shapes, unsigned*** dims, int** ndims) {
  const size_t n = shapes.size() ? shapes.size() : 1;
  *ndims = static_cast<int*>(std::malloc(n * sizeof(int)));
  *dims = static_cast<unsigned**>(std::malloc(n * sizeof(unsigned*)));
  if (!*ndims || !*dims) throw std::bad_alloc();
  for (size_t i = 0; i < shapes.size(); ++i) {
    (*ndims)[i] = static_cast<int>(shapes[i].size());
    (*dims)[i] = static_cast<unsigned*>(std::malloc((shapes[i].size() + 1) * sizeof(unsigned)));
    if (!(*dims)[i]) throw std::bad_alloc();
    for (size_t j = 0; j < shapes[i].size(); ++j) {
      MXQ_CHECK(shapes[i][j] < UINT_MAX, "dimension " << shapes[i][j] << " is larger than MXNet can pass on");
      (*dims)[i][j] = static_cast<unsigned>(shapes[i][j]);
    }
  }
}

}  // namespace
}  // namespace mxq

using namespace mxq;  // NOLINT: the functions below have to live outside

extern "C" {

MX_INT_RET _opCallParseAttrs(mxnet::ext::parseAttrs_t op_key, const char* const* keys, const char* const* vals, int num,
                             int* num_in, int* num_out) {
  const OpEntry& entry = entry_of(op_key);
  NodePtr node;
  return guarded(entry, node, [&] {
    node = find_node(entry, {keys, vals, num});
    *num_in = node->op->num_inputs();
    *num_out = node->op->num_outputs();
  });
}

MX_INT_RET _opCallInferType(mxnet::ext::inferType_t op_key, const char* const* keys, const char* const* vals, int num,
                            int* intypes, int num_in, int* outtypes, int num_out) {
  const OpEntry& entry = entry_of(op_key);
  NodePtr node;
  return guarded(entry, node, [&] {
    node = find_node(entry, {keys, vals, num});
    check_arity(*node->op, num_in, num_out);
    std::vector<DType> in(num_in), out(num_out, DType::kUnknown);
    for (int i = 0; i < num_in; ++i) in[i] = static_cast<DType>(intypes[i]);
    node->op->infer_types(&in, &out);
    for (int i = 0; i < num_in; ++i) intypes[i] = static_cast<int>(in[i]);
    for (int i = 0; i < num_out; ++i) outtypes[i] = static_cast<int>(out[i]);
  });
}

MX_INT_RET _opCallInferShape(mxnet::ext::inferShape_t op_key, const char* const* keys, const char* const* vals, int num,
                             unsigned int** inshapes, int* indims, int num_in, unsigned int*** mod_inshapes,
                             int** mod_indims, unsigned int*** outshapes, int** outdims, int num_out) {
  const OpEntry& entry = entry_of(op_key);
  NodePtr node;
  return guarded(entry, node, [&] {
    node = find_node(entry, {keys, vals, num});
    check_arity(*node->op, num_in, num_out);
    std::vector<Shape> in(num_in), out(num_out);
    for (int i = 0; i < num_in; ++i) {
      // MXNet has no way to be told "still unknown" (it reads -1 back as 4294967295), so this has to be an error.
      MXQ_CHECK(indims[i] >= 0, "the shape of input " << i << " is not known; give the shapes of all inputs of the "
                                                      << "network when it is bound or its shapes are inferred");
      in[i] = read_shape(inshapes[i], indims[i]);
      check_shape(in[i]);
    }
    node->op->infer_shapes(&in, &out);
    for (int i = 0; i < num_in; ++i) {
      MXQ_CHECK(is_known(in[i]), "a dimension of input " << i << " is not known; give the shapes of all inputs of the "
                                                         << "network when it is bound or its shapes are inferred");
    }
    for (int i = 0; i < num_out; ++i) MXQ_CHECK(is_known(out[i]), "a dimension of output " << i << " is not known");
    for (const std::vector<Shape>* shapes : {&in, &out}) {
      for (const Shape& shape : *shapes) check_shape(shape);
    }
    write_shapes(in, mod_inshapes, mod_indims);
    write_shapes(out, outshapes, outdims);
  });
}

MX_INT_RET _opCallCreateOpState(mxnet::ext::createOpState_t op_key, const char* const* keys, const char* const* vals,
                                int num, const char* dev_type, [[maybe_unused]] int dev_id, unsigned int** inshapes,
                                int* indims, int num_in, const int* intypes, void** state_op) {
  const OpEntry& entry = entry_of(op_key);
  NodePtr node;
  return guarded(entry, node, [&] {
    node = find_node(entry, {keys, vals, num});
    const Device device = device_of(dev_type);
#ifdef MXQ_CUDA
    if (device == Device::kGpu) cuda::use_device(dev_id);  // kernels are chosen for it
#endif
    *state_op = static_cast<CustomStatefulOp*>(new State(find_bound(node, device, inshapes, indims, intypes, num_in)));
  });
}

MX_INT_RET _opCallFStatefulCompute(int is_forward, void* state_op, const int64_t** inshapes, int* indims, void** indata,
                                   int* intypes, size_t* inIDs, const char** indev_type, int* /*indev_id*/, int num_in,
                                   const int64_t** outshapes, int* outdims, void** outdata, int* outtypes,
                                   size_t* outIDs, const char** outdev_type, [[maybe_unused]] int* outdev_id,
                                   int num_out, mxnet::ext::xpu_malloc_t, void*,
                                   [[maybe_unused]] mxnet::ext::xpu_malloc_t gpu_malloc,
                                   [[maybe_unused]] void* gpu_alloc, void* stream, mxnet::ext::sparse_malloc_t, void*,
                                   int* instypes, int* outstypes, void**, void**, void**, void**, int64_t*, int64_t*,
                                   int64_t*, int64_t*, void*, void*) {
  auto* state = static_cast<State*>(static_cast<CustomStatefulOp*>(state_op));
  const NodePtr& node = state->bound->node;
  return guarded(*node->entry, node, [&] {
    MXQ_CHECK(is_forward, "int8 operators have no gradient; run the network outside autograd.record()");
    const Device device = state->bound->device;
    check_dense("input", device, num_in, indev_type, instypes);
    check_dense("output", device, num_out, outdev_type, outstypes);
#ifdef MXQ_CUDA
    if (device == Device::kGpu) {
      cuda::use_device(outdev_id[0]);
      cuda::raise_fault();
    }
#endif
    BoundPtr other;  // where the executor was made for other shapes, or numbers of threads, than it now runs with
    if (state->bound->threads != operator_threads() ||
        !same_types(state->bound->in, inshapes, indims, intypes, num_in)) {
      other = find_bound(node, device, inshapes, indims, intypes, num_in);
    }
    const BoundNode& bound = other ? *other : *state->bound;
    MXQ_CHECK(same_types(bound.out, outshapes, outdims, outtypes, num_out),
              "the output arrays do not have the types and shapes that the operator gives");
    FrameLease frame(bound);
    for (int i = 0; i < num_in; ++i) {
      frame->in[i].data = indata[i];
      frame->in[i].version = inIDs[i];
    }
    for (int i = 0; i < num_out; ++i) {
      frame->out[i].data = outdata[i];
      frame->out[i].version = outIDs[i];
    }
    thread_local Scratch scratch;
    ScratchLease lease{&scratch};
    RunContext context;
    context.stream = stream;
    context.label = node->label.c_str();
    context.workspace = [s = &scratch](size_t bytes) { return s->take(bytes); };
#ifdef MXQ_CUDA
    bool given = false;
    if (device == Device::kGpu) {
      context.workspace = [&](size_t bytes) {
        MXQ_CHECK(!given, "asks for device memory twice");
        MXQ_CHECK(bytes <= INT_MAX, "needs " << bytes << " bytes of temporary device memory; MXNet gives at most 2^31");
        given = true;
        void* p = gpu_malloc(gpu_alloc, static_cast<int>(bytes));
        if (!p) throw std::bad_alloc();
        return p;
      };
    }
#endif
    context.slot = &state->slot;
    // MXNet holds the parameters of a state that it keeps from one forward to the next. Of weights that a network takes
    // as data it holds none; mxq writes a content_id where they are parameters.
    if (node->has_content_id) context.known = Known::kVersions;
    if (device == Device::kCpu && checks_nan()) check_no_nan(frame->in);
    Profile profile("");
    profile.start();
    bound.kernel->run(frame->in, frame->out, &context);
    profile.stop([&]() -> ProfileEntry {
      return {node->name, node->entry->name, bound.implementation, bound.out[0], node->op->macs(bound.in)};
    });
  });
}

}  // extern "C"
