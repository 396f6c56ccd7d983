#include "winograd.h"

namespace mxq {
namespace winograd {

const Loops* loops(Isa isa, bool dot) {
  switch (isa) {
    case Isa::kAvx512:
      return loops_avx512(dot);
    case Isa::kAvx2:
      return loops_avx2();
    case Isa::kDefault:
      break;
  }
  return nullptr;
}

void weights_to_points(const int* taps, int16_t* to) {
  static constexpr int kG[kInputs][kTaps] = {{1, 0, 0}, {-1, -1, -1}, {-1, 1, -1}, {1, 2, 4}, {1, -2, 4}, {0, 0, 1}};
  int half[kInputs][kTaps] = {};  // columns are done
  for (int i = 0; i < kInputs; ++i) {
    for (int x = 0; x < kTaps; ++x) {
      for (int y = 0; y < kTaps; ++y) half[i][x] += kG[i][y] * taps[y * kTaps + x];
    }
  }
  for (int i = 0; i < kInputs; ++i) {
    for (int j = 0; j < kInputs; ++j) {
      int value = 0;
      for (int x = 0; x < kTaps; ++x) value += half[i][x] * kG[j][x];
      to[i * kInputs + j] = static_cast<int16_t>(value);
    }
  }
}

}  // namespace winograd
}  // namespace mxq
