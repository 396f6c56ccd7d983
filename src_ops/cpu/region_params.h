// Which parameters a region was called with, found out without reading all of them at every call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../ops/region.h"

namespace mxq {

// Packed parameters that carry a digest are read in full once for each array, by address and version; afterwards their
// last 16 bytes are. Another array that lands at the address of a freed one has another digest there, unless somebody
// changed its bytes and left the digest. Of parameters without one every byte is hashed, unless MXNet holds the arrays
// (Known::kVersions).
class RegionParams {
 public:
  // `kept`: the inputs that kernels keep in a form of their own.
  RegionParams(const RegionOp& op, const std::vector<int>& kept);

  // The same number for the same contents of kept inputs. Throws where the packed parameters are not those that the
  // network was made with.
  uint64_t content(const std::vector<Tensor>& in, RunContext* ctx) const;

 private:
  void check_digest(const Tensor& packed) const;

  bool has_digest_;
  Digest digest_{};
  std::vector<int> looked_at_;  // inputs that decide about the content
  std::vector<int> hashed_;     // those without a digest
};

}  // namespace mxq
