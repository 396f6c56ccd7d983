// What the machine is, where times and caches matter.
#pragma once

#include <cstddef>
#include <string>

namespace mxq {

// The processor's name and which of its instructions are used, as text: where it is the same, times are.
std::string cpu_name();

// Of the last-level cache.
size_t cpu_cache_bytes();

}  // namespace mxq
