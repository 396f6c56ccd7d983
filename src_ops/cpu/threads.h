// How many threads operators use, whatever MXNet gives its own: MXNet tells OpenMP half of the processors it sees.
#pragma once

namespace mxq {

// As set; else what OMP_NUM_THREADS gives; else the physical cores that the process may use.
int operator_threads();

// From the next call of an operator on. False, and nothing changes, for a number that no machine has.
bool set_operator_threads(int count);

// Threads that share what the calling thread does: operator_threads(), but where this was set for the thread.
int threads_here();

// Sets it, 0 for operator_threads(), and returns what was set before.
int use_threads_here(int count);

// While it lives, this thread works alone.
class OneThread {
 public:
  OneThread() : before_(use_threads_here(1)) {}
  ~OneThread() { use_threads_here(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  const int before_;
};

}  // namespace mxq
