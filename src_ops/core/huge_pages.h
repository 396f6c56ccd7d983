// Memory on huge pages where the system gives them: weights and activations are streamed, and with small pages every
// 4 KB of them costs a walk of the page tables.
#pragma once

#include <cstddef>
#include <memory>

namespace mxq {

// At least `bytes`, 64-byte aligned; from 1 MB on, on huge pages. Throws std::bad_alloc.
std::shared_ptr<char> allocate_pages(size_t bytes);

// A part of a block that is shared by many small ones and goes with the last of them.
std::shared_ptr<char> allocate_shared(size_t bytes);

}  // namespace mxq
