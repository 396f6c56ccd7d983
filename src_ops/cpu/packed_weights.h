// Weights in the layout a kernel wants, made once and kept in a bounded cache that belongs to the process.
//
// The key holds everything that the packed form depends on: the kernel's format, the node's content_id, and a hash of
// all parameters, so that copies of a network share what is packed. Hashing all of a network's weights at every
// forward would cost as much as running it, so the hash is remembered by format, content_id, address, version and a
// fingerprint of the contents. Address and version alone can be those of a freed array; the fingerprint covers small
// tensors whole and evenly spread parts of large ones. What it cannot see: an array freed and another one allocated at
// its address with the same version and content_id, that differs from it only between the parts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../core/op.h"
#include "../ops/output_stage.h"

namespace mxq {

struct Packed {
  virtual ~Packed() = default;
  ChannelTerms terms;
  int64_t max_abs_sum = 0;  // largest SUM |w| of an output channel
  size_t bytes = 0;         // of the packed weights
};
using PackedPtr = std::shared_ptr<const Packed>;

// Everything but the parameters that the packed form depends on, as a key: the layout and parts of the stage.
std::string packed_format(const OutputStage& stage, const std::string& layout);

// Finds the packed weights, or calls make() and keeps the result. Cheap (microseconds) where they are known: with
// ctx->slot, which holds those of the last call, less than one.
PackedPtr find_packed(const std::string& format, const LayerParams& params, RunContext* ctx,
                      const std::function<std::shared_ptr<Packed>()>& make);

// A place in ctx->slot, behind the packed weights found there, for what a kernel wants to keep besides: null without a
// slot, empty at first and whenever other weights were found. Kernels of other shapes may have used it.
std::shared_ptr<void>* kept_beside(RunContext* ctx);

// Address, version and a quick fingerprint of all of these tensors as one number: what tells a caller with slots of its
// own that they were filled with the same parameters.
uint64_t signature(const std::vector<Tensor>& tensors, const std::vector<int>& which);

// Terms, largest sum and an account of bytes, the same for every layout.
void describe_packed(const OutputStage& stage, const LayerParams& params, size_t bytes, Packed* packed);

// True where no data of this type can overflow the int32 accumulator.
bool fits_int32(const Packed& packed, DType data_type, int zero_point);

}  // namespace mxq
