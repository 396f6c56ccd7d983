// Threads that share the work of operators, and never keep the one who has the work waiting for one that did not begin.
//
// Work is cut into shares, one for each thread; a share is taken piece by piece, by its thread first and by whoever has
// nothing else to do. So the caller does all that others do not come for: a machine with busy neighbours takes longer
// by what they use, and not by the time slices (milliseconds) for which the system takes a thread off its processor.
// What is left of these is a thread that loses its processor within a piece. It then stays away for a while, longer
// each time.
#pragma once

#include <cstdint>

namespace mxq {

// One call's work. `run` does the items from `begin` to `end`; it does not throw.
struct Work {
  void (*run)(const void* body, int64_t begin, int64_t end);
  const void* body;
  int64_t items;
  int64_t piece;  // items at least that are taken at once, but for a last one
  int threads;    // at most so many work on it, the caller among them
};

// Returns when all is done. Callers of several threads may use it at once, and share its threads.
void run_on_threads(const Work& work);

}  // namespace mxq
