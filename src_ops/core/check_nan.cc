#include "check_nan.h"

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "check.h"

namespace mxq {
namespace {

bool asked_for() {
  const char* text = std::getenv("MXQ_CHECK_NAN");
  return text && *text && std::strcmp(text, "0") != 0;
}

std::atomic<bool> enabled{asked_for()};

}  // namespace

bool checks_nan() { return enabled.load(std::memory_order_relaxed); }

void check_no_nan(const std::vector<Tensor>& in) {
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i].dtype() != DType::kFloat32 || in[i].row_bytes) continue;
    const float* values = in[i].as<const float>();
    for (int64_t k = 0, n = in[i].size(); k < n; ++k) {
      MXQ_CHECK(!std::isnan(values[k]),
                "input " << i << " is NaN at element " << k << " of " << n
                         << " (MXQ_CHECK_NAN is on): look at what the network is fed and at what computes this input");
    }
  }
}

}  // namespace mxq

// Turns the checked mode on or off, and returns what it was.
extern "C" int mxq_check_nan(int on) noexcept { return mxq::enabled.exchange(on != 0); }
