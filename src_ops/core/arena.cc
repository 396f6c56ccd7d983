#include "arena.h"

#include <algorithm>
#include <numeric>

namespace mxq {

Arena arrange(const std::vector<Lifetime>& lives) {
  constexpr size_t kAlign = 64;  // a cache line, and what vector instructions like
  auto rounded = [](size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; };
  std::vector<size_t> order(lives.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lives[a].bytes > lives[b].bytes; });
  Arena arena;
  arena.offsets.assign(lives.size(), 0);
  std::vector<size_t> placed;  // by offset
  for (size_t i : order) {
    size_t at = 0;
    for (size_t other : placed) {
      const bool meets = lives[other].first <= lives[i].last && lives[i].first <= lives[other].last;
      if (!meets) continue;
      if (at + rounded(lives[i].bytes) <= arena.offsets[other]) break;
      at = std::max(at, arena.offsets[other] + rounded(lives[other].bytes));
    }
    arena.offsets[i] = at;
    arena.bytes = std::max(arena.bytes, at + rounded(lives[i].bytes));
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                   [&](size_t a, size_t b) { return arena.offsets[a] < arena.offsets[b]; }),
                  i);
  }
  return arena;
}

}  // namespace mxq
