#include "tuning.h"

#include <time.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>

#include "../core/check.h"
#include "../core/huge_pages.h"
#include "../core/measured.h"
#include "../core/scratch.h"
#include "machine.h"
#include "packed_weights.h"
#include "parallel.h"

namespace mxq {
namespace {

constexpr double kClose = 1.5;              // estimates that are measured, at most so far from the best
constexpr double kClearly = 1.03;           // what must be gained for another choice than by estimate
constexpr int64_t kLeastMacs = 10'000'000;  // less takes too little time for all of a network to matter
// Microseconds of a process, so that the first result comes early. With a file this happens once for many processes.
constexpr double kBudget = 40e3, kBudgetWithFile = 2e6;
constexpr double kSlowest = 20e3;        // products in a microsecond, to know before whether there is time
constexpr size_t kMostBytes = 64 << 20;  // of tensors that are made up
constexpr int kRounds = 2;
constexpr size_t kMostRows = 4096;

struct Time {
  std::string implementation;
  double microseconds;
};

struct Memory {
  std::mutex mutex;
  std::map<std::string, std::vector<Time>> rows;  // by what ran
  double spent = 0;
  std::string file;
  bool off = false, loaded = false;
};

// Never destroyed: MXNet's threads may run an operator while the process exits.
Memory& known() {
  static auto* k = new Memory;
  return *k;
}

double thread_microseconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e6 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_nsec);
}

// A row of the file: what ran, then pairs of an implementation and its microseconds, with tabs between them.
std::string row_text(const std::string& what, const std::vector<Time>& times) {
  std::ostringstream out;
  out << what;
  for (const Time& t : times) out << '\t' << t.implementation << '\t' << t.microseconds;
  out << '\n';
  return out.str();
}

bool read_row(const std::string& line, std::string* what, std::vector<Time>* times) {
  std::istringstream in(line);
  std::string name, number;
  if (!std::getline(in, *what, '\t') || what->empty()) return false;
  while (std::getline(in, name, '\t')) {
    char* end = nullptr;
    if (!std::getline(in, number, '\t')) return false;
    const double value = std::strtod(number.c_str(), &end);
    const auto letter = [](unsigned char c) { return std::isalnum(c) || c == '_'; };
    if (number.empty() || *end || !(value > 0) || std::isinf(value) || name.empty() ||
        !std::all_of(name.begin(), name.end(), letter)) {
      return false;
    }
    times->push_back({name, value});
  }
  return times->size() > 1;
}

// With the lock.
void load(Memory* k) {
  if (k->loaded) return;
  const char* value = std::getenv("MXQ_TUNING");
  const std::string file = value ? value : "";
  k->off = file == "off";
  if (!file.empty() && !k->off) {
    std::map<std::string, std::vector<Time>> rows;
    std::ifstream in(file);
    std::string line;
    for (int number = 1; std::getline(in, line) && rows.size() < kMostRows; ++number) {
      std::string what;
      std::vector<Time> times;
      MXQ_CHECK(read_row(line, &what, &times),
                "environment variable MXQ_TUNING=" << file << ": line " << number
                                                   << " of this file is no measurement. Name a file that mxq wrote, or "
                                                      "one that does not exist yet");
      rows[what] = times;
    }
    k->rows = std::move(rows);
    k->file = file;
  }
  k->loaded = true;
}

// With the lock.
void append(const Memory& k, const std::string& text) {
  if (k.file.empty()) return;
  std::ofstream out(k.file, std::ios::app);
  out << text << std::flush;
  MXQ_CHECK(out.good(), "environment variable MXQ_TUNING=" << k.file << ": this file cannot be written");
}

// What the time depends on, with the processor.
std::string describe(const std::string& name, const Measured& op, const TensorType& data) {
  std::ostringstream text;
  text << cpu_name() << ": " << name << " of " << name_of(data.dtype) << " ";
  for (size_t i = 0; i < data.shape.size(); ++i) text << (i ? "x" : "") << data.shape[i];
  text << ", " << op.work();
  return text.str();
}

std::string printable(const std::string& text) {  // inside of a JSON string
  std::string kept;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') kept += c;
  }
  return kept;
}

size_t choose(const std::vector<Time>& times, const std::vector<const Implementation*>& order) {
  size_t best = order.size();
  double least = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    for (const Time& t : times) {
      if (t.implementation != order[i]->name) continue;
      if (best == order.size() || t.microseconds * kClearly < least) best = i, least = t.microseconds;
    }
  }
  return best == order.size() ? 0 : best;
}

// Memory for a tensor, with a value that no kernel refuses.
Tensor made_up(const TensorType& type, std::vector<std::shared_ptr<char>>* memory) {
  const size_t bytes = num_elements(type.shape) * size_of(type.dtype);
  memory->push_back(allocate_pages(bytes + 64));
  Tensor t;
  t.data = memory->back().get();
  t.type = type;
  if (type.dtype == DType::kFloat32) {
    std::fill_n(t.as<float>(), bytes / sizeof(float), 1.0f / 64);
  } else {
    std::memset(t.data, type.dtype == DType::kInt32 ? 0 : 1, bytes);
  }
  return t;
}

// Times of those that apply and are close; empty where that is not to be known.
std::vector<Time> measure(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                          const std::vector<const Implementation*>& order) {
  const OneThread alone;
  std::vector<const Implementation*> which;
  std::vector<KernelPtr> kernels;
  double enough = 0;
  for (const Implementation* each : order) {
    const double speed = each->speed(op, in);
    if (speed < enough) break;
    std::string why_not;
    KernelPtr kernel = each->make(op, in, out, &why_not);
    if (!kernel) continue;
    if (kernels.empty()) enough = speed / kClose;
    which.push_back(each);
    kernels.push_back(std::move(kernel));
  }
  if (kernels.size() < 2) return {};
  std::vector<std::shared_ptr<char>> memory;
  std::vector<Tensor> ins, outs;
  for (const TensorType& type : in) ins.push_back(made_up(type, &memory));
  for (const TensorType& type : out) outs.push_back(made_up(type, &memory));
  Scratch scratch;
  std::vector<std::shared_ptr<void>> slots(kernels.size());
  RunContext context;
  context.workspace = [&scratch](size_t bytes) { return scratch.take(bytes); };
  const Trial trial;
  std::vector<Time> times;
  for (int round = 0; round <= kRounds; ++round) {  // the first one packs weights
    for (size_t i = 0; i < kernels.size(); ++i) {
      context.slot = &slots[i];
      const double begin = thread_microseconds();
      kernels[i]->run(ins, outs, &context);
      const double time = thread_microseconds() - begin;
      scratch.reset();
      if (round == 0) {
        // In a network such weights come from memory, here they would from the cache.
        if (packed_bytes(slots[i]) > cpu_cache_bytes() / 4) return {};
        times.push_back({which[i]->name, 1e12});
      } else {
        times[i].microseconds = std::min(times[i].microseconds, std::max(time, 1e-3));
      }
    }
  }
  return times;
}

}  // namespace

size_t fastest(const std::string& name, const Op& op, const std::vector<TensorType>& in,
               const std::vector<TensorType>& out, const std::vector<const Implementation*>& order) {
  const double macs = static_cast<double>(op.macs(in));
  const auto* measured = dynamic_cast<const Measured*>(&op);
  size_t bytes = 0;
  for (const auto* types : {&in, &out}) {
    for (const TensorType& type : *types) bytes += num_elements(type.shape) * size_of(type.dtype);
  }
  if (order.size() < 2 || !measured || macs < kLeastMacs || bytes > kMostBytes) return 0;
  Memory& k = known();
  const std::string what = describe(name, *measured, in[0]);
  {
    std::lock_guard<std::mutex> lock(k.mutex);
    load(&k);
    if (k.off) return 0;
    const auto found = k.rows.find(what);
    if (found != k.rows.end()) return choose(found->second, order);
    const double budget = k.file.empty() ? kBudget : kBudgetWithFile;
    if (k.rows.size() >= kMostRows || k.spent + macs / kSlowest * (kRounds + 1) > budget) return 0;
  }
  const double begin = thread_microseconds();
  std::vector<Time> times;
  try {
    times = measure(op, in, out, order);
  } catch (const std::exception&) {  // scales that made-up parameters do not go with; no memory
  }
  std::lock_guard<std::mutex> lock(k.mutex);
  k.spent += thread_microseconds() - begin;
  if (times.empty()) return 0;
  if (k.rows.emplace(what, times).second) append(k, row_text(what, times));
  return choose(times, order);
}

std::string tuning_as_json() {
  Memory& k = known();
  std::lock_guard<std::mutex> lock(k.mutex);
  std::ostringstream out;
  try {
    load(&k);
  } catch (const Error& error) {
    return "{\"error\": \"" + printable(error.what()) + "\"}";
  }
  const char* between = "";
  out << "[";
  for (const auto& row : k.rows) {
    out << between << "{\"what\": \"" << printable(row.first) << "\", \"microseconds\": {";
    const char* comma = "";
    for (const Time& t : row.second) {
      out << comma << "\"" << t.implementation << "\": " << t.microseconds;
      comma = ", ";
    }
    out << "}}";
    between = ", ";
  }
  out << "]";
  return out.str();
}

}  // namespace mxq
