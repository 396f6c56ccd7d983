// How many threads operators use, whatever MXNet gives its own: MXNet tells OpenMP half of the processors it sees.
#pragma once

namespace mxq {

// As set; else what OMP_NUM_THREADS gives; else the physical cores that the process may use.
int operator_threads();

// From the next call of an operator on. False, and nothing changes, for a number that no machine has.
bool set_operator_threads(int count);

// While it lives, OpenMP, and what asks it, has `operator_threads()` in this thread.
class OperatorThreads {
 public:
  OperatorThreads();
  ~OperatorThreads();
  OperatorThreads(const OperatorThreads&) = delete;
  OperatorThreads& operator=(const OperatorThreads&) = delete;

 private:
  const int before_;
  const bool changed_;
};

}  // namespace mxq
