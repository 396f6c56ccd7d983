#include <algorithm>
#include <cstring>
#include <memory>

#include "packed_weights.h"

namespace mxq {
namespace cuda {
namespace {

constexpr int kPackThreads = 128;

// A block packs an output channel and derives its terms.
__global__ void pack_kernel(PackParams p) {
  __shared__ int sums[kPackThreads];
  const int channel = blockIdx.x;
  int8_t* const to =
      reinterpret_cast<int8_t*>(p.packed + p.layout.weight) + static_cast<int64_t>(channel) * (p.pitch ? 1 : p.depth);
  const int taps_of_kernel = p.kernel_h * p.kernel_w;
  const int8_t* const from = p.weight + static_cast<int64_t>(channel) * p.group_in * taps_of_kernel;
  int sum = 0;
  for (int k = threadIdx.x; k < p.depth; k += kPackThreads) {
    const int tap = k / p.run_padded, in_run = k % p.run_padded;
    const int step = in_run / p.inner, i = in_run % p.inner;
    // A run is one tap of the kernel, or a whole row of it.
    const int y = p.to_kernel_row ? tap : tap / p.kernel_w, x = p.to_kernel_row ? step : tap % p.kernel_w;
    int value = 0;
    if (y < p.kernel_h && x < p.kernel_w && i < p.group_in) value = from[(i * p.kernel_h + y) * p.kernel_w + x];
    to[p.pitch ? static_cast<int64_t>(k) * p.pitch : k] = static_cast<int8_t>(value);
    sum += value;
  }
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kPackThreads / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  if (channel == 0 && threadIdx.x < kLine) p.packed[threadIdx.x] = static_cast<char>(p.zero_point);
  if (threadIdx.x != 0) return;
  reinterpret_cast<int32_t*>(p.packed + p.layout.correction)[channel] =
      static_cast<int32_t>(0u - static_cast<unsigned>(p.zero_point) * static_cast<unsigned>(sums[0]));
  const int bias = p.bias ? p.bias[channel] : 0;
  reinterpret_cast<int32_t*>(p.packed + p.layout.bias_int)[channel] = bias;
  float multiplier = 0.0f, term = 0.0f;
  if (!p.is_int32) {
    const float scale = p.weight_scale[channel];
    if (!(is_finite(scale) && scale > 0)) report(p.fault, Found::kWeightScale, channel, scale);
    const double ratio = __ddiv_rn(__dmul_rn(p.in_scale, scale), p.out_scale);
    multiplier = static_cast<float>(ratio);
    if (!(is_finite(multiplier) && multiplier > 0)) report(p.fault, Found::kMultiplier, channel, scale);
    term = static_cast<float>(__dmul_rn(bias, ratio));
  }
  reinterpret_cast<float*>(p.packed + p.layout.multiplier)[channel] = multiplier;
  reinterpret_cast<float*>(p.packed + p.layout.bias)[channel] = term;
  const float slope = p.slope ? p.slope[channel] : p.leaky_slope;
  if (!is_finite(slope)) report(p.fault, Found::kSlope, channel, slope);
  reinterpret_cast<float*>(p.packed + p.layout.slope)[channel] = slope;
}

// What the packed form of a state was made from.
constexpr int kMostParams = 4;
struct Identity {
  const void* data[kMostParams];
  uint64_t version[kMostParams];
  PackedLayout layout;
  int shape[8];
  float in_scale, out_scale, leaky_slope;
};

Identity identify(const PackParams& p, const LayerParams& params) {
  Identity id;
  std::memset(&id, 0, sizeof(id));  // compared as bytes
  const Tensor* tensors[kMostParams] = {params.weight, params.weight_scale, params.bias, params.slope};
  for (int i = 0; i < kMostParams; ++i) {
    if (!tensors[i]) continue;
    id.data[i] = tensors[i]->data;
    id.version[i] = tensors[i]->version;
  }
  id.layout = p.layout;
  const int shape[] = {p.out_c, p.group_in, p.run, p.run_padded, p.inner, p.zero_point, p.is_int32, p.pitch};
  std::copy(shape, shape + 8, id.shape);
  id.in_scale = p.in_scale;
  id.out_scale = p.out_scale;
  id.leaky_slope = p.leaky_slope;
  return id;
}

// In the slot of a state.
struct Own {
  Identity id;
  int device = 0;
  void* memory = nullptr;
  int64_t bytes = 0;
  cudaStream_t stream = nullptr;
  cudaEvent_t ready = nullptr;

  ~Own() {  // errors while the process ends are nobody's concern
    if (ready) cudaEventDestroy(ready);
    if (memory) cudaFree(memory);
  }
};

}  // namespace

PackedLayout packed_layout(int out_c, int depth) {
  auto after = [](int64_t at, int64_t bytes) { return round_up<int64_t>(at + bytes, 256); };
  PackedLayout l;
  l.weight = after(0, kLine);
  l.multiplier = after(l.weight, static_cast<int64_t>(out_c) * depth);
  l.bias = after(l.multiplier, 4ll * out_c);
  l.slope = after(l.bias, 4ll * out_c);
  l.correction = after(l.slope, 4ll * out_c);
  l.bias_int = after(l.correction, 4ll * out_c);
  l.bytes = after(l.bias_int, 4ll * out_c);
  return l;
}

const char* find_packed(PackParams p, const std::vector<Tensor>& in, const OutputStage& stage,
                        const RunContext& context, char* temporary) {
  const cudaStream_t stream = stream_of(context);
  const LayerParams params = layer_params(stage, in);
  p.weight = params.weight->as<const int8_t>();
  p.weight_scale = params.weight_scale->as<const float>();
  p.bias = params.bias ? params.bias->as<const int32_t>() : nullptr;
  p.slope = params.slope ? params.slope->as<const float>() : nullptr;
  auto pack = [&](char* to) {
    p.packed = to;
    p.fault = fault_of(context);
    launch(pack_kernel, dim3(p.out_c), dim3(kPackThreads), 0, stream, p);
    return to;
  };
  if (!context.slot || context.known != Known::kVersions) return pack(temporary);
  int device = 0;
  check(cudaGetDevice(&device), "asking for the device");
  const Identity id = identify(p, params);
  auto* own = static_cast<Own*>(context.slot->get());
  const bool same = own && own->device == device && std::memcmp(&own->id, &id, sizeof(id)) == 0;
  if (!same) {
    auto fresh = std::make_shared<Own>();
    fresh->id = id;
    fresh->device = device;
    *context.slot = fresh;
    return pack(temporary);
  }
  char* memory = static_cast<char*>(own->memory);
  if (!memory) {
    check(cudaMalloc(&own->memory, p.layout.bytes), "allocating memory for packed weights");
    memory = static_cast<char*>(own->memory);
    check(cudaEventCreateWithFlags(&own->ready, cudaEventDisableTiming), "making an event");
    pack(memory);
    own->stream = stream;
    check(cudaEventRecord(own->ready, stream), "recording an event");
  } else if (own->stream != stream) {
    check(cudaStreamWaitEvent(stream, own->ready, 0), "waiting for packed weights");
  }
  return memory;
}

}  // namespace cuda
}  // namespace mxq
