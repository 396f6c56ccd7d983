// What every oneDNN implementation needs, and the run of a convolution or matrix product made of it.
#pragma once

#include <dnnl.hpp>
#include <functional>
#include <string>
#include <vector>

#include "../ops/conv.h"

namespace mxq {
namespace onednn {

dnnl::engine& engine();
dnnl::stream& stream();  // of this thread
dnnl::memory::data_type type_of(DType dtype);

// oneDNN adds two or four 8-bit products in int16, which saturates, on processors without dot-product instructions.
bool has_dot_product(std::string* why_not);

// Scales and zero points the primitive takes at run time, and the post-operations of the stage.
// `scale_mask`: the weight dimension(s) that scales run along.
dnnl::primitive_attr stage_attr(const OutputStage& stage, DType residual, int scale_mask);

// While it lives, oneDNN works in this thread alone. Primitives are made and run so: threads of ours share out its work
// (thread_pool.h), which OpenMP would split in equal parts and wait for the slowest.
class OneOpenMpThread {
 public:
  OneOpenMpThread();
  ~OneOpenMpThread();
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  const int before_;
};

// A primitive and the descriptors its arguments need.
struct Primitive {
  dnnl::primitive primitive;
  dnnl::memory::desc src, weights_plain, weights, bias, dst, scratchpad;
};

// A part of a layer, which one thread computes at a time.
struct Part {
  size_t primitive, block;
  int64_t src, dst;  // elements from the first
};

// Output channels of parts, packed together.
struct Block {
  int64_t first, channels;
  size_t primitive;  // one that reads them
};

struct Linear {
  std::vector<Primitive> primitives;
  std::vector<Block> blocks;
  std::vector<Part> parts;
};

// float32 post-processing of int32 output is not exact: refuses what needs it.
bool int32_is_exact(const OutputStage& stage, std::string* why_not);

// A kernel of what `make` gives for the threads that there are, else for one; null and the reason where it gives none.
// It may throw dnnl::error.
using MakeLinear = std::function<Linear(int64_t threads, std::string* why_not)>;
KernelPtr make_kernel(const LinearOp& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                      const MakeLinear& make, std::string* why_not);

}  // namespace onednn
}  // namespace mxq
