// The loops run over whole blocks of rows: each row stands in a frame with `reach` zeros on both sides, which change no
// sum, and what is computed between the rows is not read.
#include "../ops/lrn.h"

#include <algorithm>
#include <vector>

#include "../core/qmath.h"
#include "isa.h"
#include "parallel.h"

namespace mxq {
namespace {

#define MXQ_INLINE __attribute__((always_inline)) inline

constexpr int64_t kBlock = 2048;  // three arrays of so many floats stay in the first-level cache

struct Terms {
  int64_t channels, reach, frame;  // frame: from one row to the next
  float exponent, knorm, weight, multiplier;
  DType in_type, out_type;
  float in_zero_point, out_zero_point, lo, hi;
};

struct Scratch {
  float *values, *squares, *results;
};

template <class T>
MXQ_INLINE void read_rows(const T* src, int64_t rows, const Terms& t, float* __restrict values,
                          float* __restrict squares) {
  for (int64_t r = 0; r < rows; ++r, src += t.channels, values += t.frame, squares += t.frame) {
    for (int64_t c = 0; c < t.channels; ++c) {
      const float v = static_cast<float>(src[c]) - t.in_zero_point;
      values[c] = v;
      squares[t.reach + c] = v * v;
    }
  }
}

// kReach above 0 is a window that the compiler knows; kThreeQuarters the exponent.
template <int64_t kReach, bool kThreeQuarters>
MXQ_INLINE void normalize(const float* __restrict values, const float* __restrict squares, float* __restrict results,
                          int64_t n, const Terms& t) {
  if (kReach == 0) {
    std::copy(squares, squares + n, results);
    for (int64_t j = 1; j <= 2 * t.reach; ++j) {
      for (int64_t i = 0; i < n; ++i) results[i] += squares[i + j];
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    float sum = kReach > 0 ? squares[i] : results[i];
    for (int64_t j = 1; j <= 2 * kReach; ++j) sum += squares[i + j];
    const float weighted = t.weight * sum, u = t.knorm + weighted, scaled = values[i] * t.multiplier;
    results[i] = scaled * (kThreeQuarters ? minus_three_quarters(u) : any_power(u, t.exponent));
  }
}

MXQ_INLINE void write_bytes(const float* __restrict results, int64_t rows, const Terms& t, uint8_t* __restrict dst) {
  for (int64_t r = 0; r < rows; ++r, results += t.frame, dst += t.channels) {
    for (int64_t c = 0; c < t.channels; ++c) {
      float v = results[c] + t.out_zero_point;
      // Clamping before rounding gives the same as after, as both ends are integers; a NaN compares false: smallest.
      v = v > t.lo ? v : t.lo;
      v = v < t.hi ? v : t.hi;
      dst[c] = static_cast<uint8_t>(bits_of(v + kRoundToBits));
    }
  }
}

MXQ_INLINE void block_of_rows(const void* src, void* dst, int64_t rows, const Terms& t, const Scratch& s) {
  if (t.in_type == DType::kInt8) {
    read_rows(static_cast<const int8_t*>(src), rows, t, s.values, s.squares);
  } else if (t.in_type == DType::kUint8) {
    read_rows(static_cast<const uint8_t*>(src), rows, t, s.values, s.squares);
  } else {
    read_rows(static_cast<const float*>(src), rows, t, s.values, s.squares);
  }
  const int64_t n = (rows - 1) * t.frame + t.channels;
  if (t.exponent != -0.75f) {
    normalize<0, false>(s.values, s.squares, s.results, n, t);
  } else if (t.reach == 2) {
    normalize<2, true>(s.values, s.squares, s.results, n, t);
  } else {
    normalize<0, true>(s.values, s.squares, s.results, n, t);
  }
  if (t.out_type != DType::kFloat32) {
    write_bytes(s.results, rows, t, static_cast<uint8_t*>(dst));
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(s.results + r * t.frame, t.channels, static_cast<float*>(dst) + r * t.channels);
  }
}

using Loop = void (*)(const void* src, void* dst, int64_t rows, const Terms& t, const Scratch& s);

void loop_default(const void* src, void* dst, int64_t rows, const Terms& t, const Scratch& s) {
  block_of_rows(src, dst, rows, t, s);
}
__attribute__((target("avx2"))) void loop_avx2(const void* src, void* dst, int64_t rows, const Terms& t,
                                               const Scratch& s) {
  block_of_rows(src, dst, rows, t, s);
}
// Arithmetic alone, so twice the width is twice the speed.
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) void loop_avx512(
    const void* src, void* dst, int64_t rows, const Terms& t, const Scratch& s) {
  block_of_rows(src, dst, rows, t, s);
}

class CpuLrn : public Kernel {
 public:
  CpuLrn(const LrnOp& op, const TensorType& in) {
    const Isa isa = cpu_isa();
    loop_ = isa == Isa::kAvx512 ? loop_avx512 : isa == Isa::kAvx2 ? loop_avx2 : loop_default;
    const int64_t channels = in.shape.back(), reach = std::min(op.reach, std::max<int64_t>(channels - 1, 0));
    const DType type = op.out.dtype;
    terms_ = {channels,
              reach,
              channels + 2 * reach,
              op.exponent,
              op.knorm,
              op.weight,
              op.multiplier,
              in.dtype,
              type,
              static_cast<float>(op.in_zero_point),
              static_cast<float>(op.out.zero_point),
              static_cast<float>(qmin(type)),
              static_cast<float>(qmax(type))};
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext*) const override {
    if (in[0].size() == 0) return;
    const int64_t channels = terms_.channels, rows = in[0].size() / channels;
    const int64_t block = std::max<int64_t>(kBlock / terms_.frame, 1), size = block * terms_.frame;
    const int64_t from = channels * size_of(in[0].dtype()), to = channels * size_of(out[0].dtype());
    // The arithmetic takes about as long as touching 16 bytes.
    parallel_for(rows, channels * 16, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(3 * size);
      const Scratch parts{scratch.data(), scratch.data() + size, scratch.data() + 2 * size};
      for (int64_t r = begin; r < end; r += block) {
        loop_(in[0].as<char>() + r * from, out[0].as<char>() + r * to, std::min(block, end - r), terms_, parts);
      }
    });
  }

 private:
  Terms terms_;
  Loop loop_;
};

}  // namespace

KernelPtr cpu_lrn(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<CpuLrn>(static_cast<const LrnOp&>(op), in[0]);
}

}  // namespace mxq
