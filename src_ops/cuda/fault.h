// What a kernel finds wrong with the values that it was given: a scale that is no scale, data that is not finite.
//
// No operator waits for the GPU, so the call that launched the kernel has returned by then. The finding is left in
// memory that both sides see, and the next operator that runs on a GPU raises it, with the name of the node it is
// about.
#pragma once

#include <string>

#include "device.h"

namespace mxq {
namespace cuda {

enum class Found : int {
  kNothing,
  kWeightScale,
  kMultiplier,
  kScale,
  kShift,
  kSlope,
  kNotFinite,
  kRangeOfSums,
  kRange
};

struct Fault {
  int claimed;  // by the first thread that found something
  int what;     // Found; written last
  int who;      // the node
  int at;
  float value;
};

// Where the kernels of one node report to.
struct FaultSink {
  Fault* fault;
  int who;
};
FaultSink fault_of(const RunContext& context);

// The text of what was found since the last call, empty in the normal case. Does not wait for the GPU.
std::string take_fault();

#if defined(__CUDACC__) || defined(MXQ_EMULATED)
__device__ inline void report(const FaultSink& sink, Found what, int at, float value) {
  Fault* const fault = sink.fault;
  if (atomicCAS(&fault->claimed, 0, 1) != 0) return;
  fault->who = sink.who;
  fault->at = at;
  fault->value = value;
  __threadfence_system();
  *static_cast<volatile int*>(&fault->what) = static_cast<int>(what);
}
#endif

}  // namespace cuda
}  // namespace mxq
