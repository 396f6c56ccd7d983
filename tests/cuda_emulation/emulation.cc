// Fibers, barriers and asynchronous copies of the emulated GPU (see cuda_runtime.h here).
#include <cuda_runtime.h>
#include <sys/mman.h>

#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

// Saves the callee-saved registers and the stack pointer of the one, and goes on with the other.
extern "C" void mxq_emulation_switch(void** from, void* to);
asm(R"(
.text
.globl mxq_emulation_switch
.type mxq_emulation_switch, @function
mxq_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mxq_emulation_switch, .-mxq_emulation_switch
)");

namespace emulation {

Thread* now = nullptr;

struct Meeting {
  int arrived = 0;
  unsigned generation = 0;
};

struct Warp {
  Meeting meeting;
  void* arguments[32] = {};
  int alive = 0;
};

namespace {

constexpr size_t kStack = 128 << 10;

struct Copy {
  void* to;
  const void* from;
  int bytes;
};

struct Fiber : Thread {
  void* stack_pointer;
  bool done;
  const Meeting* waits_for;
  unsigned generation;
  std::vector<Copy> uncommitted;
  std::deque<std::vector<Copy>> groups;
};

struct Machine {
  std::mutex mutex;  // a kernel at a time
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  Meeting block;
  int alive = 0;
  void* scheduler = nullptr;
  char* stacks = nullptr;
  size_t stack_count = 0;
  const std::function<void()>* kernel = nullptr;
  bool late, down;

  Machine() {
    auto is = [](const char* name, const char* value) {
      const char* given = std::getenv(name);
      return given && std::strcmp(given, value) == 0;
    };
    late = !is("MXQ_EMULATED_COPIES", "early");
    down = is("MXQ_EMULATED_ORDER", "down");
  }
};

Machine& machine() {
  static auto* m = new Machine;
  return *m;
}

Fiber* fiber() { return static_cast<Fiber*>(now); }

void give_way() { mxq_emulation_switch(&fiber()->stack_pointer, machine().scheduler); }

void release(Meeting* meeting) {
  meeting->arrived = 0;
  ++meeting->generation;
}

void wait_for(Meeting* meeting) {
  fiber()->waits_for = meeting;
  fiber()->generation = meeting->generation;
  give_way();
  fiber()->waits_for = nullptr;
}

void make(const std::vector<Copy>& copies) {
  for (const Copy& copy : copies) std::memcpy(copy.to, copy.from, copy.bytes);
}

void body() {
  (*machine().kernel)();
  Fiber* self = fiber();
  for (const auto& group : self->groups) make(group);
  self->groups.clear();
  self->uncommitted.clear();
  self->done = true;
  Machine& m = machine();
  if (--m.alive > 0 && m.block.arrived == m.alive) release(&m.block);
  --self->warp->alive;
  give_way();
  std::abort();  // never resumed
}

void run_block(Machine& m, dim3 grid, dim3 block, dim3 at, std::vector<char>* shared) {
  const unsigned threads = block.x * block.y * block.z;
  std::memset(shared->data(), 0xCD, shared->size());
  char* base = shared->data() + (128 - reinterpret_cast<uintptr_t>(shared->data()) % 128) % 128;
  m.warps.assign((threads + 31) / 32, Warp());
  m.block = Meeting();
  m.alive = threads;
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& f = m.fibers[i];
    f.thread = dim3(i % block.x, i / block.x % block.y, i / (block.x * block.y));
    f.block = at;
    f.block_size = block;
    f.grid_size = grid;
    f.warp = &m.warps[i / 32];
    f.lane = i % 32;
    f.dynamic_shared = base;
    ++f.warp->alive;
    f.done = false;
    f.waits_for = nullptr;
    void** top = reinterpret_cast<void**>(m.stacks + (i + 1) * kStack);
    *--top = nullptr;                         // keeps the stack aligned as after a call
    *--top = reinterpret_cast<void*>(&body);  // where the first switch returns to
    for (int k = 0; k < 6; ++k) *--top = nullptr;
    f.stack_pointer = top;
  }
  while (m.alive > 0) {
    bool moved = false;
    for (unsigned k = 0; k < threads; ++k) {
      Fiber& f = m.fibers[m.down ? threads - 1 - k : k];
      if (f.done || (f.waits_for && f.waits_for->generation == f.generation)) continue;
      moved = true;
      now = &f;
      mxq_emulation_switch(&m.scheduler, f.stack_pointer);
    }
    if (!moved) {
      std::fprintf(stderr, "emulated GPU: the threads of a block wait for each other for ever\n");
      std::abort();
    }
  }
  now = nullptr;
}

}  // namespace

void barrier() {
  Machine& m = machine();
  if (++m.block.arrived == m.alive) {
    release(&m.block);
  } else {
    wait_for(&m.block);
  }
}

void warp_meets(void* mine, const std::function<void(void**)>& all) {
  Warp* warp = now->warp;
  warp->arguments[now->lane] = mine;
  if (++warp->meeting.arrived == warp->alive) {
    all(warp->arguments);
    release(&warp->meeting);
  } else {
    wait_for(&warp->meeting);
  }
}

void copy_async(void* to, const void* from, int bytes) {
  if (machine().late) {
    fiber()->uncommitted.push_back({to, from, bytes});
  } else {
    std::memcpy(to, from, bytes);
  }
}

void commit_copies() {
  fiber()->groups.push_back(std::move(fiber()->uncommitted));
  fiber()->uncommitted.clear();
}

void wait_copies(int pending) {
  auto& groups = fiber()->groups;
  while (static_cast<int>(groups.size()) > pending) {
    make(groups.front());
    groups.pop_front();
  }
}

void run(dim3 grid, dim3 block, size_t shared, const std::function<void()>& kernel) {
  Machine& m = machine();
  std::lock_guard<std::mutex> lock(m.mutex);
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) {
    std::fprintf(stderr, "emulated GPU: %zu threads, grid %u x %u x %u\n", threads, grid.x, grid.y, grid.z);
    std::abort();
  }
  if (m.stack_count < threads) {
    if (m.stacks) munmap(m.stacks, m.stack_count * kStack);
    void* p =
        mmap(nullptr, threads * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    m.stacks = static_cast<char*>(p);
    m.stack_count = threads;
    m.fibers.resize(threads);
  }
  std::vector<char> memory(shared + 256);
  m.kernel = &kernel;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) run_block(m, grid, block, dim3(x, y, z), &memory);
    }
  }
}

}  // namespace emulation

// What the emulated chip claims to be; MXQ_EMULATED_CHIP=75 makes it one without asynchronous copies and large tiles.
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const char* chip = std::getenv("MXQ_EMULATED_CHIP");
  const int capability = chip ? std::atoi(chip) : 80;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = capability / 10;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = capability % 10;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = capability >= 80 ? 160 << 10 : 64 << 10;
      break;
  }
  return cudaSuccess;
}
