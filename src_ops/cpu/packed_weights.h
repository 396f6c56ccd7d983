// Weights in the layout a kernel wants, made once and kept in a bounded cache that belongs to the process.
//
// The key holds everything that the packed form depends on: the kernel's format, the node's content_id, the weight's
// shape and a hash of every byte of all parameters, so that copies of a network share what is packed.
//
// Address and version do not tell an array from another one that was freed and allocated anew at its address, and no
// sample of its bytes does. They are proof only where somebody holds the array: MXNet holds the parameters of a state
// that it keeps from one forward to the next (executors, static_alloc with static_shape). Anywhere else every byte is
// hashed at every call, about 0.1 ms per megabyte. Regions, whose packed parameters carry a digest, need not:
// region_params.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../core/op.h"
#include "../ops/output_stage.h"

namespace mxq {

// Of all packed weights that the process keeps for later calls; those in use are kept in any case. VGG-16, the largest
// common network, has 0.14e9 weights.
constexpr size_t kMaxPackedBytes = size_t{1} << 30;

struct Packed {
  virtual ~Packed() = default;
  ChannelTerms terms;
  int64_t max_abs_sum = 0;  // largest SUM |w| of an output channel
  size_t bytes = 0;         // of the packed weights
  bool declined = false;    // these are none: another kernel runs, and has its slot in kept_beside()
};
using PackedPtr = std::shared_ptr<const Packed>;

// Everything but the parameters that the packed form depends on, as a key: the layout and parts of the stage.
std::string packed_format(const OutputStage& stage, const std::string& layout);

// Finds the packed weights, or calls make() and keeps the result. ctx->slot holds those of the last call, ctx->known
// says what that proves.
PackedPtr find_packed(const std::string& format, const LayerParams& params, RunContext* ctx,
                      const std::function<std::shared_ptr<Packed>()>& make);

// While it lives, what this thread packs is of made-up parameters: it is kept in the slot only.
class Trial {
 public:
  Trial();
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
};

// A place in ctx->slot, behind the packed weights found there, for what a kernel wants to keep besides: null without a
// slot, empty at first and whenever other weights were found. Kernels of other shapes may have used it.
std::shared_ptr<void>* kept_beside(RunContext* ctx);

// Bytes of the packed weights that a slot holds.
size_t packed_bytes(const std::shared_ptr<void>& slot);

// A hash of every byte of these tensors.
uint64_t hash_of(const std::vector<Tensor>& tensors, const std::vector<int>& which);

// Terms, largest sum and an account of bytes, the same for every layout.
void describe_packed(const OutputStage& stage, const LayerParams& params, size_t bytes, Packed* packed);

// True where no data of this type can overflow the int32 accumulator.
bool fits_int32(const Packed& packed, DType data_type, int zero_point);

}  // namespace mxq
