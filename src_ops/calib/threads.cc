// How many threads the functions beside this use: mxq/native/threads.py.
#include <omp.h>

// Sets it for what the calling thread calls from now on, and returns what it was. 0: leaves it.
extern "C" int mxq_use_threads(int count) noexcept {
  const int before = omp_get_max_threads();
  if (count > 0) omp_set_num_threads(count);
  return before;
}
