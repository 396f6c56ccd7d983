#include "thread_pool.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <mutex>
#include <system_error>
#include <thread>

#include "threads.h"

namespace mxq {
namespace {

constexpr int kSlots = 16;   // calls that share work at the same time; others work alone
constexpr int kShares = 64;  // more threads share these
constexpr int64_t kMicrosecond = 1000, kMillisecond = 1000 * kMicrosecond;

// How long a thread looks for work, or for the end of it, before it sleeps: what lies between operators of a network,
// and between forwards of a loop, but little of what a neighbour could use.
constexpr int64_t kLooking = 100 * kMicrosecond;

// Later than that, and off its processor meanwhile, a thread has held up a caller, and rests.
constexpr int64_t kLate = 200 * kMicrosecond;
constexpr int64_t kFirstRest = 20 * kMillisecond, kLongestRest = 1000 * kMillisecond;

int64_t now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 * kMillisecond + t.tv_nsec;
}

// Times that the system took the processor away from this thread.
int64_t interruptions() {
  rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

void sleep_while(std::atomic<uint32_t>& word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake(std::atomic<uint32_t>& word, int threads) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, threads, nullptr, nullptr, 0);
}

// True as soon as `done()` is, false where that takes too long.
template <class Done>
bool look_for(Done done) {
  for (int64_t end = 0;;) {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      _mm_pause();
    }
    const int64_t time = now();
    if (end == 0) end = time + kLooking;
    if (time > end) return false;
  }
}

struct alignas(64) Share {
  std::atomic<int64_t> next;
  int64_t end;
};

// The work of one call. Slots are never freed: a thread may look at one whose call is over.
class alignas(64) Slot {
 public:
  bool take() { return !taken_.load(std::memory_order_relaxed) && !taken_.exchange(true, std::memory_order_acquire); }
  void give_back() { taken_.store(false, std::memory_order_release); }

  void open(const Work& work) {
    work_ = work;
    shares_ = std::min(work.threads, kShares);
    for (int i = 0; i < shares_; ++i) {
      share_[i].next.store(work.items * i / shares_, std::memory_order_relaxed);
      share_[i].end = work.items * (i + 1) / shares_;
    }
    places_.store(work.threads - 1, std::memory_order_relaxed);
    gate_.fetch_or(kOpen, std::memory_order_release);
  }

  // What others do not do, from share `own` on.
  void help(int own) {
    for (int i = 0; i < shares_; ++i) {
      Share& share = share_[(own + i) % shares_];
      for (int64_t begin = share.next.load(std::memory_order_relaxed); begin < share.end;) {
        const int64_t end = std::min(share.end, begin + std::max(work_.piece, (share.end - begin) / 2));
        if (!share.next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
        work_.run(work_.body, begin, end);
        begin = share.next.load(std::memory_order_relaxed);
      }
    }
  }

  // Returns when nobody is inside any more.
  void close() {
    closed_at_.store(now(), std::memory_order_relaxed);
    if (!inside(gate_.fetch_and(~kOpen, std::memory_order_acq_rel))) return;
    const auto empty = [&] { return !inside(gate_.load(std::memory_order_acquire)); };
    if (look_for(empty)) return;
    for (uint32_t seen = gate_.fetch_or(kWaited) | kWaited; inside(seen); seen = gate_.load()) sleep_while(gate_, seen);
    gate_.fetch_and(~kWaited, std::memory_order_acquire);
  }

  bool is_open() const { return gate_.load(std::memory_order_relaxed) & kOpen; }

  bool enter() {
    if (!is_open()) return false;
    if (gate_.fetch_add(1, std::memory_order_acquire) & kOpen && places_.fetch_sub(1, std::memory_order_relaxed) > 0) {
      return true;
    }
    leave();
    return false;
  }

  // How many nanoseconds ago the caller had nothing left to do but wait for this thread; 0 where that is not so.
  int64_t leave() {
    const int64_t closed_at = is_open() ? 0 : closed_at_.load(std::memory_order_relaxed);
    const uint32_t before = gate_.fetch_sub(1, std::memory_order_acq_rel);
    if (before & kWaited && inside(before) == 1) wake(gate_, 1);
    return closed_at && inside(before) == 1 ? now() - closed_at : 0;
  }

 private:
  static constexpr uint32_t kOpen = 1u << 31, kWaited = 1u << 30;
  static uint32_t inside(uint32_t gate) { return gate & (kWaited - 1); }

  std::atomic<uint32_t> gate_{0};  // open, waited for at the end, and how many threads are inside
  std::atomic<bool> taken_{false};
  std::atomic<int> places_{0};
  std::atomic<int64_t> closed_at_{0};
  int shares_ = 0;
  Work work_{};
  Share share_[kShares];
};

class ThreadPool {
 public:
  void run(const Work& work) {
    Slot* slot = nullptr;
    for (int i = 0; i < kSlots && !slot; ++i) {
      if (slots_[i].take()) slot = &slots_[i];
    }
    const OneThread alone;  // of what is inside
    if (!slot || !grow(work.threads - 1)) {
      work.run(work.body, 0, work.items);
      if (slot) slot->give_back();
      return;
    }
    slot->open(work);
    posts_.fetch_add(1);
    if (sleeping_.load() > 0) wake(posts_, work.threads - 1);
    slot->help(0);
    slot->close();
    slot->give_back();
  }

 private:
  // Whether there is a thread beside the caller.
  bool grow(int wanted) {
    if (made_.load(std::memory_order_acquire) >= wanted) return true;
    std::lock_guard<std::mutex> lock(mutex_);
    sigset_t all, before;  // signals are the host's threads'
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (int i = made_; i < wanted; made_ = ++i) {
        std::thread([this, i] { serve(i + 1); }).detach();  // they sleep, or are ended, while the process exits
      }
    } catch (const std::system_error&) {  // the system gives no more of them: those that are there do it
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return made_ > 0;
  }

  void serve(int share) {
    use_threads_here(1);
    int64_t seen_interruptions = interruptions(), rest = kFirstRest, rested_at = 0;
    for (;;) {
      const uint32_t post = posts_.load();
      int64_t late = 0;
      bool worked = false;
      for (Slot& slot : slots_) {
        if (!slot.enter()) continue;
        slot.help(share);
        late = std::max(late, slot.leave());
        worked = true;
      }
      if (late > kLate) {
        const int64_t count = interruptions(), time = now();
        if (count > seen_interruptions) {
          rest = time - rested_at > 8 * rest ? kFirstRest : std::min(2 * rest, kLongestRest);
          const timespec length{rest / (1000 * kMillisecond), rest % (1000 * kMillisecond)};
          nanosleep(&length, nullptr);
          rested_at = now();
        }
        seen_interruptions = interruptions();
      }
      if (worked || look_for([&] { return posts_.load(std::memory_order_relaxed) != post; })) continue;
      sleeping_.fetch_add(1);
      sleep_while(posts_, post);
      sleeping_.fetch_sub(1);
    }
  }

  Slot slots_[kSlots];
  std::atomic<uint32_t> posts_{0};  // calls so far: what threads without work look at
  std::atomic<int> sleeping_{0}, made_{0};
  std::mutex mutex_;
};

// Never destroyed: MXNet's threads may run an operator while the process exits.
std::atomic<ThreadPool*>& pool() {
  static auto* current = [] {
    // A child of fork() has none of these threads, and locks as they were.
    pthread_atfork(nullptr, nullptr, [] { pool().store(new ThreadPool); });
    return new std::atomic<ThreadPool*>(new ThreadPool);
  }();
  return *current;
}

}  // namespace

void run_on_threads(const Work& work) { pool().load(std::memory_order_acquire)->run(work); }

}  // namespace mxq
