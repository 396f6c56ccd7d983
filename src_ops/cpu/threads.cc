#include "threads.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

namespace mxq {
namespace {

// More than any machine has; what OpenMP is asked for is given, and fails by ending the process.
constexpr int kMostThreads = 4096;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Processors that the scheduler may use, those that share a core counted once.
int cores_of_affinity() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return omp_get_num_procs();
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string topology = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    const std::string siblings = first_line(topology + "thread_siblings_list");
    cores.insert(siblings.empty() ? std::to_string(cpu) : siblings);
  }
  return std::max<int>(1, static_cast<int>(cores.size()));
}

// Processors' worth of time that a quota ("max 100000", "150000 100000") leaves, in whole ones; 0: no limit.
int of_quota(const std::string& quota, const std::string& period) {
  const double part = std::atof(quota.c_str()), whole = std::atof(period.c_str());
  return part > 0 && whole > 0 ? static_cast<int>(std::clamp<double>(part / whole, 1, kMostThreads)) : 0;
}

// The least quota of the control groups that the process is in (version 2, and 1 of the container's own); 0: none.
int cores_of_groups() {
  const std::string root = "/sys/fs/cgroup", v1 = root + "/cpu/cpu.cfs_";
  int least = of_quota(first_line(v1 + "quota_us"), first_line(v1 + "period_us"));
  std::ifstream groups("/proc/self/cgroup");
  std::string path;
  for (std::string line; std::getline(groups, line);) {
    if (line.compare(0, 3, "0::") == 0) path = line.substr(3);
  }
  for (;; path.resize(path.find_last_of('/'))) {
    const std::string limit = first_line(root + path + "/cpu.max");
    const size_t space = limit.find(' ');
    const int found = space == std::string::npos ? 0 : of_quota(limit.substr(0, space), limit.substr(space + 1));
    if (found && (!least || found < least)) least = found;
    if (path.find_last_of('/') == std::string::npos) return least;
  }
}

int at_start() {
  if (std::getenv("OMP_NUM_THREADS")) return omp_get_max_threads();  // MXNet leaves it
  const int cores = cores_of_affinity(), limit = cores_of_groups();
  return limit ? std::min(cores, limit) : cores;
}

std::atomic<int>& setting() {
  static std::atomic<int> count{at_start()};
  return count;
}

thread_local int here = 0;

}  // namespace

int operator_threads() { return setting(); }

bool set_operator_threads(int count) {
  if (count < 1 || count > kMostThreads) return false;
  setting() = count;
  return true;
}

int threads_here() { return here ? here : operator_threads(); }

int use_threads_here(int count) {
  std::swap(here, count);
  return count;
}

}  // namespace mxq

extern "C" int mxq_num_threads() noexcept { return mxq::operator_threads(); }

// Whether `count` is one that is accepted.
extern "C" int mxq_set_num_threads(int count) noexcept { return mxq::set_operator_threads(count); }
