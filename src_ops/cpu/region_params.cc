#include "region_params.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "../core/cache.h"
#include "../core/check.h"
#include "packed_weights.h"

namespace mxq {
namespace {

constexpr size_t kMaxArrays = 4096;  // a hundred bytes each

struct Array {
  const void* data;
  uint64_t version;
  Digest digest;
  bool operator==(const Array& o) const { return data == o.data && version == o.version && digest == o.digest; }
};

struct ArrayHash {
  size_t operator()(const Array& a) const {
    uint64_t start;
    std::memcpy(&start, a.digest.data(), sizeof(start));
    return start ^ std::hash<const void*>()(a.data) ^ a.version * 0x9E3779B97F4A7C15ull;
  }
};

// Arrays whose bytes gave the digest that they carry. Never destroyed: MXNet's threads may run an operator while the
// process exits.
LruCache<Array, bool, ArrayHash>& verified() {
  static auto* arrays = new LruCache<Array, bool, ArrayHash>(kMaxArrays);
  return *arrays;
}

// What the slot of a region holds: the arrays of the last call, and what they were found to contain.
struct Seen {
  std::vector<std::pair<const void*, uint64_t>> arrays;
  uint64_t content;
};

}  // namespace

RegionParams::RegionParams(const RegionOp& op, const std::vector<int>& kept)
    : has_digest_(op.has_digest), digest_(op.digest), looked_at_(kept) {
  const int last = op.num_inputs() - 1;
  if (has_digest_ && std::find(kept.begin(), kept.end(), last) == kept.end()) looked_at_.push_back(last);
  for (int i : kept) {
    if (!has_digest_ || i != last) hashed_.push_back(i);
  }
}

uint64_t RegionParams::content(const std::vector<Tensor>& in, RunContext* ctx) const {
  const bool held = ctx->slot && ctx->known == Known::kVersions;
  auto* seen = held ? static_cast<Seen*>(ctx->slot->get()) : nullptr;
  if (seen) {
    bool same = true;
    for (size_t i = 0; i < looked_at_.size(); ++i) {
      const Tensor& t = in[looked_at_[i]];
      same = same && seen->arrays[i].first == t.data && seen->arrays[i].second == t.version;
    }
    if (same) return seen->content;
  }
  if (has_digest_) check_digest(in.back());
  const uint64_t content = hash_of(in, hashed_);
  if (held) {
    auto now = std::make_shared<Seen>();
    for (int i : looked_at_) now->arrays.emplace_back(in[i].data, in[i].version);
    now->content = content;
    *ctx->slot = std::move(now);
  }
  return content;
}

void RegionParams::check_digest(const Tensor& packed) const {
  const size_t at = packed.size() - digest_.size();
  Digest carried;
  std::memcpy(carried.data(), packed.as<const char>() + at, carried.size());
  MXQ_CHECK(carried == digest_,
            "the parameters are not those that this network was made with: they have digest "
                << to_hex(carried) << ", the symbol has " << to_hex(digest_)
                << ". The symbol file (NAME-symbol.json) and the parameter file (NAME-0000.params) come from different "
                   "saves, or the parameters were never loaded: load two files that were saved together");
  verified().get(Array{packed.data, packed.version, digest_}, [&] {
    const Digest found = digest_of(packed.data, at);
    MXQ_CHECK(found == digest_, "the parameters have changed since the network was made: their bytes give digest "
                                    << to_hex(found) << ", and they carry " << to_hex(digest_)
                                    << ". Load the file again; if that does not help it is damaged, and the network "
                                       "has to be made again. To change a weight, change the float network, or "
                                       "mxq.network.regions.expand_regions of this one");
    return std::make_pair(std::make_shared<const bool>(true), size_t{1});
  });
}

}  // namespace mxq
