#include "../cpu/threads.h"

// Sets how many threads the functions beside this use, for what the calling thread calls from now on, and returns what
// was set; 0: as operators do. mxq/native/threads.py.
extern "C" int mxq_use_threads(int count) noexcept { return mxq::use_threads_here(count < 0 ? 0 : count); }
