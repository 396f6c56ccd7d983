#include "../ops/concat.h"
#include "byte_table.cuh"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

// One input: rows of `run` bytes, `pitch` apart in the output. In units of the word that a thread takes.
struct JoinParams {
  const uint8_t* from;
  uint8_t* to;
  unsigned run, pitch, size;
  ByteTable table;
};

template <class Word>
__global__ void copy_rows_kernel(JoinParams p) {
  const unsigned at = flat_index();
  if (at >= p.size) return;
  const int64_t to = static_cast<int64_t>(at / p.run) * p.pitch + at % p.run;
  reinterpret_cast<Word*>(p.to)[to] = __ldg(reinterpret_cast<const Word*>(p.from) + at);
}

__global__ void convert_rows_kernel(JoinParams p) {
  __shared__ uint8_t table[256];
  take_table(p.table, table);
  const unsigned at = flat_index();
  if (at < p.size) p.to[static_cast<int64_t>(at / p.run) * p.pitch + at % p.run] = table[__ldg(p.from + at)];
}

class Concat : public Kernel {
 public:
  Concat(const ConcatOp& op, const std::vector<TensorType>& in, const Shape& out) {
    const int64_t rank = static_cast<int64_t>(out.size()), axis = op.dim < 0 ? op.dim + rank : op.dim;
    int64_t outer = 1, inner = 1;
    for (int64_t i = 0; i < axis; ++i) outer *= out[i];
    for (int64_t i = axis + 1; i < rank; ++i) inner *= out[i];
    inner *= static_cast<int64_t>(size_of(op.out.dtype));  // float32 is copied as bytes
    pitch_ = out[axis] * inner;
    int64_t begin = 0;
    for (int k = 0; k < op.num_args; ++k) {
      Part part;
      part.run = in[k].shape[axis] * inner;
      part.begin = begin;
      part.size = outer * part.run;
      part.copies = op.is_copy(k, in[k].dtype);
      part.table = byte_table(in[k].dtype, [&](int q) { return part.copies ? 0 : op.converted(k, q); });
      begin += part.run;
      parts_.push_back(part);
    }
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* context) const override {
    const cudaStream_t stream = stream_of(*context);
    for (size_t k = 0; k < parts_.size(); ++k) {
      const Part& part = parts_[k];
      if (part.size == 0) continue;
      JoinParams p{in[k].as<const uint8_t>(),     out[0].as<uint8_t>() + part.begin, static_cast<unsigned>(part.run),
                   static_cast<unsigned>(pitch_), static_cast<unsigned>(part.size),  part.table};
      const uintptr_t all = reinterpret_cast<uintptr_t>(p.from) | reinterpret_cast<uintptr_t>(p.to) | p.run | p.pitch;
      const unsigned word = !part.copies ? 1 : all % 16 == 0 ? 16 : all % 4 == 0 ? 4 : 1;
      p.run /= word, p.pitch /= word, p.size /= word;
      const auto kernel = !part.copies ? convert_rows_kernel
                          : word == 16 ? copy_rows_kernel<uint4>
                          : word == 4  ? copy_rows_kernel<unsigned>
                                       : copy_rows_kernel<uint8_t>;
      launch_flat(kernel, p.size, stream, p);
    }
  }

 private:
  struct Part {
    int64_t run, begin, size;
    bool copies;
    ByteTable table;
  };
  std::vector<Part> parts_;
  int64_t pitch_;
};

}  // namespace

MXQ_CUDA_FACTORY(concat) {
  if (!fits_32_bits(in, why_not) || !fits_32_bits(out, why_not)) return nullptr;
  return std::make_shared<Concat>(static_cast<const ConcatOp&>(op), in, out[0].shape);
}

}  // namespace cuda
}  // namespace mxq
