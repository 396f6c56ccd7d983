#include "packed_weights.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "../core/cache.h"

namespace mxq {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 30;  // VGG-16, the largest common network, has 0.14e9 weights
constexpr size_t kMaxArrays = 16384;           // a hundred bytes each
constexpr size_t kWhole = 32 << 10;            // tensors up to this size are hashed whole
constexpr size_t kChunk = 64;
constexpr size_t kQuickChunks = 8;

inline uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}

// Eight independent lanes, so that the multiplications overlap.
uint64_t hash_bytes(const char* p, size_t n, uint64_t seed) {
  constexpr int kLanes = 8;
  uint64_t lane[kLanes];
  for (int i = 0; i < kLanes; ++i) lane[i] = seed + i;
  for (; n >= sizeof(lane); p += sizeof(lane), n -= sizeof(lane)) {
    uint64_t v[kLanes];
    std::memcpy(v, p, sizeof(v));
    for (int i = 0; i < kLanes; ++i) lane[i] = mix(lane[i], v[i]);
  }
  for (; n > 0; ++p, --n) lane[0] = mix(lane[0], static_cast<unsigned char>(*p));
  for (int i = 1; i < kLanes; ++i) lane[0] = mix(lane[0], lane[i]);
  return lane[0];
}

// `chunks` parts of 64 bytes from the first to the last byte, or everything where it is no more than `whole`.
uint64_t fingerprint(const Tensor* t, size_t chunks, size_t whole, uint64_t seed) {
  if (!t) return seed;
  const size_t n = t->size() * size_of(t->dtype());
  const char* p = t->as<const char>();
  if (n <= std::max(whole, chunks * kChunk)) return hash_bytes(p, n, seed);
  uint64_t h = seed;
  for (size_t i = 0; i < chunks; ++i) h = hash_bytes(p + (n - kChunk) * i / (chunks - 1), kChunk, h);
  return h;
}

uint64_t fingerprint(const LayerParams& params, size_t chunks, size_t whole) {
  uint64_t h = fingerprint(params.weight, chunks, whole, 1);
  h = fingerprint(params.weight_scale, chunks, whole, h);
  h = fingerprint(params.bias, chunks, whole, h);
  return fingerprint(params.slope, chunks, whole, h);
}

constexpr int kParams = 4;

struct Identity {
  const void* data[kParams];
  uint64_t version[kParams];
  bool operator==(const Identity& o) const {
    return std::equal(data, data + kParams, o.data) && std::equal(version, version + kParams, o.version);
  }
};

Identity identify(const LayerParams& params) {
  Identity id{};
  const Tensor* tensors[kParams] = {params.weight, params.weight_scale, params.bias, params.slope};
  for (int i = 0; i < kParams; ++i) {
    if (!tensors[i]) continue;
    id.data[i] = tensors[i]->data;
    id.version[i] = tensors[i]->version;
  }
  return id;
}

// Arrays that have been seen, by where they are, whose they are and what can be read of them in a hurry.
struct ArrayKey {
  Identity id;
  uint64_t fingerprint;
  bool operator==(const ArrayKey& o) const { return fingerprint == o.fingerprint && id == o.id; }
};

struct ArrayHash {
  size_t operator()(const ArrayKey& key) const {
    uint64_t h = key.fingerprint;
    for (int i = 0; i < kParams; ++i) h = mix(mix(h, reinterpret_cast<uint64_t>(key.id.data[i])), key.id.version[i]);
    return h;
  }
};

// What they hold: a hash of every byte.
using Content = uint64_t;

struct PackedKey {
  std::string format;
  Content content;
  bool operator==(const PackedKey& o) const { return content == o.content && format == o.format; }
};

struct PackedHash {
  size_t operator()(const PackedKey& key) const { return mix(key.content, std::hash<std::string>()(key.format)); }
};

// Never destroyed: MXNet's threads may run an operator while the process exits.
LruCache<ArrayKey, Content, ArrayHash>& contents() {
  static auto* c = new LruCache<ArrayKey, Content, ArrayHash>(kMaxArrays);
  return *c;
}

LruCache<PackedKey, Packed, PackedHash>& cache() {
  static auto* c = new LruCache<PackedKey, Packed, PackedHash>(kMaxBytes);
  return *c;
}

// What ctx->slot holds: the last call of this node of this executor.
struct Last {
  std::string format;
  Identity id;
  uint64_t quick;  // fingerprint of a few parts only
  PackedPtr packed;
  std::shared_ptr<void> beside;
};

}  // namespace

std::string packed_format(const OutputStage& stage, const std::string& layout) {
  std::string text;
  text.append(reinterpret_cast<const char*>(&stage.in_scale), sizeof(float));
  text.append(reinterpret_cast<const char*>(&stage.out_scale), sizeof(float));
  text += stage.out_type == DType::kInt32 ? 'i' : 'f';
  text += stage.act == Act::kPrelu ? 'p' : stage.act == Act::kLeaky ? 'l' : '-';
  if (stage.act == Act::kLeaky) text.append(reinterpret_cast<const char*>(&stage.act_alpha), sizeof(float));
  text.append(layout.c_str(), layout.size() + 1);  // with a terminating zero, so that nothing runs together
  return text + stage.content_id;
}

PackedPtr find_packed(const std::string& format, const LayerParams& params, RunContext* ctx,
                      const std::function<std::shared_ptr<Packed>()>& make) {
  constexpr size_t kChunks = 64;
  if (ctx && ctx->same_params && ctx->slot && *ctx->slot) return static_cast<const Last*>(ctx->slot->get())->packed;
  const Identity id = identify(params);
  const bool has_slot = ctx && ctx->slot;
  const uint64_t quick = has_slot ? fingerprint(params, kQuickChunks, 0) : 0;
  if (has_slot && *ctx->slot) {
    const auto& last = *static_cast<const Last*>(ctx->slot->get());
    if (last.quick == quick && last.id == id && last.format == format) return last.packed;
  }
  const uint64_t seen = mix(fingerprint(params, kChunks, kWhole), std::hash<std::string>()(format));
  const auto content = contents().get(ArrayKey{id, seen}, [&] {
    constexpr size_t kAll = std::numeric_limits<size_t>::max();
    return std::make_pair(std::make_shared<const Content>(fingerprint(params, kChunks, kAll)), size_t{1});
  });
  PackedPtr packed = cache().get(PackedKey{format, *content}, [&] {
    std::shared_ptr<Packed> made = make();
    const size_t bytes = made->bytes;
    return std::make_pair(PackedPtr(std::move(made)), bytes);
  });
  if (has_slot) *ctx->slot = std::make_shared<Last>(Last{format, id, quick, packed, nullptr});
  return packed;
}

std::shared_ptr<void>* kept_beside(RunContext* ctx) {
  if (!ctx || !ctx->slot || !*ctx->slot) return nullptr;
  return &static_cast<Last*>(ctx->slot->get())->beside;
}

uint64_t signature(const std::vector<Tensor>& tensors, const std::vector<int>& which) {
  // The parameters as the host has them are out of the caches: all reads are started before the first is waited for.
  for (int i : which) {
    const size_t n = tensors[i].size() * size_of(tensors[i].dtype());
    const char* p = tensors[i].as<const char>();
    for (size_t k = 0; k < kQuickChunks && n > kChunk; ++k)
      __builtin_prefetch(p + (n - kChunk) * k / (kQuickChunks - 1));
  }
  uint64_t h = which.size();
  for (int i : which) {
    h = mix(mix(h, reinterpret_cast<uint64_t>(tensors[i].data)), tensors[i].version);
    h = fingerprint(&tensors[i], kQuickChunks, 0, h);
  }
  return h;
}

void describe_packed(const OutputStage& stage, const LayerParams& params, size_t bytes, Packed* packed) {
  packed->terms = derive_channel_terms(stage, params);
  const int64_t channels = params.weight->shape()[0], depth = params.weight->size() / channels;
  const int8_t* w = params.weight->as<const int8_t>();
  for (int64_t o = 0; o < channels; ++o) {
    int64_t sum = 0;
    for (int64_t k = 0; k < depth; ++k) sum += std::abs(int{w[o * depth + k]});
    packed->max_abs_sum = std::max(packed->max_abs_sum, sum);
  }
  packed->bytes = bytes + 16 * channels + 256;
}

bool fits_int32(const Packed& packed, DType data_type, int zero_point) {
  return packed.max_abs_sum <= std::numeric_limits<int32_t>::max() / max_centred(data_type, zero_point);
}

}  // namespace mxq
