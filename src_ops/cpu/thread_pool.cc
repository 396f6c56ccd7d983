#include "thread_pool.h"

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <climits>
#include <memory>
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

// Later than that, and off its processor meanwhile, a thread has held up a caller.
constexpr int64_t kLate = 200 * kMicrosecond;
// A thread whose callers wait for more than a sixteenth of the time that it works stays away: so long at first, and
// longer each time that it was not worth it to come back.
constexpr int64_t kWorth = 16;
constexpr int64_t kFirstRest = 20 * kMillisecond, kLongestRest = 1000 * kMillisecond;
constexpr int64_t kRemembered = 128 * kMillisecond;  // of work, at most

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

void stay_away(int64_t nanoseconds) {
  const timespec length{nanoseconds / (1000 * kMillisecond), nanoseconds % (1000 * kMillisecond)};
  nanosleep(&length, nullptr);
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

// What a thread is worth to callers.
class Worth {
 public:
  // After work of so many nanoseconds whose caller waited `late` of them for this thread. Returns how long to stay
  // away.
  int64_t rest_after(int64_t worked, int64_t late) {
    gained_ = std::min(gained_ + worked - late, kRemembered);
    if (gained_ == kRemembered) rest_ = kFirstRest;
    if (late < kLate) return 0;
    const int64_t before = interruptions_;
    interruptions_ = interruptions();
    if (interruptions_ == before) return 0;  // it had a large piece
    gained_ -= kWorth * late;
    if (gained_ > 0) return 0;
    gained_ = 0;
    const int64_t rest = rest_;
    rest_ = std::min(2 * rest_, kLongestRest);
    return rest;
  }

  void back() { interruptions_ = interruptions(); }

 private:
  int64_t gained_ = 0, rest_ = kFirstRest, interruptions_ = interruptions();
};

// Keeps the calling thread off the processor of a caller: with busy neighbours on the others the system puts both on
// one, and they take turns.
class Place {
 public:
  // False where there is no other one.
  bool stay_off(int processor) {
    if (processor != sched_getcpu()) return true;
    cpu_set_t current;
    if (sched_getaffinity(0, sizeof(current), &current) != 0) return true;  // more processors than fit
    if (!CPU_EQUAL(&current, &set_)) allowed_ = current;                    // by the host
    set_ = allowed_;
    CPU_CLR(processor, &set_);
    return CPU_COUNT(&set_) > 0 && sched_setaffinity(0, sizeof(set_), &set_) == 0;
  }

 private:
  cpu_set_t set_{}, allowed_{};
};

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
    processor_.store(sched_getcpu(), std::memory_order_relaxed);
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

  int processor() const { return processor_.load(std::memory_order_relaxed); }  // of the caller

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
  std::atomic<int> places_{0}, processor_{0};
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
    if (made_.load(std::memory_order_acquire) >= std::min(wanted, most_.load())) return made_ > 0;
    std::lock_guard<std::mutex> lock(mutex_);
    sigset_t all, before;  // signals are the host's threads'
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (int i = made_; i < wanted; made_ = ++i) {
        std::thread([this, i] { serve(i + 1); }).detach();  // they sleep, or are ended, while the process exits
      }
    } catch (const std::system_error&) {  // the system gives no more of them
      most_ = made_.load();
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return made_ > 0;
  }

  void serve(int share) {
    use_threads_here(1);
    Worth worth;
    Place place;
    for (;;) {
      const uint32_t post = posts_.load();
      bool worked = false;
      for (Slot& slot : slots_) {
        if (!slot.is_open()) continue;
        if (!place.stay_off(slot.processor())) {
          stay_away(kLongestRest);
          continue;
        }
        if (!slot.enter()) continue;
        const int64_t begin = now();
        slot.help(share);
        const int64_t late = slot.leave(), rest = worth.rest_after(now() - begin, late);
        worked = true;
        if (!rest) continue;
        stay_away(rest);
        worth.back();
      }
      if (worked || look_for([&] { return posts_.load(std::memory_order_relaxed) != post; })) continue;
      sleeping_.fetch_add(1);
      sleep_while(posts_, post);
      sleeping_.fetch_sub(1);
    }
  }

  Slot slots_[kSlots];
  std::atomic<uint32_t> posts_{0};  // calls so far: what threads without work look at
  std::atomic<int> sleeping_{0}, made_{0}, most_{INT_MAX};
  std::mutex mutex_;
};

std::atomic<ThreadPool*> current{nullptr};

// Never destroyed: MXNet's threads may run an operator while the process exits.
ThreadPool& pool() {
  ThreadPool* found = current.load(std::memory_order_acquire);
  if (found) return *found;
  // A child of fork() has none of these threads, and locks as they were: it makes a pool of its own.
  static const int once = pthread_atfork(nullptr, nullptr, [] { current.store(nullptr); });
  static_cast<void>(once);
  auto made = std::make_unique<ThreadPool>();
  return current.compare_exchange_strong(found, made.get()) ? *made.release() : *found;
}

}  // namespace

void run_on_threads(const Work& work) { pool().run(work); }

}  // namespace mxq
