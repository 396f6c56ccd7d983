#include "profile.h"

#include <mutex>
#include <sstream>
#include <unordered_map>
#include <vector>

namespace mxq {

std::atomic<bool> profiling{false};

namespace {

struct Row {
  std::string owner;
  ProfileEntry entry;
  int64_t calls;
  double sum, least;
};

struct Rows {
  std::mutex mutex;
  std::vector<Row> rows;  // in the order of the first call
  std::unordered_map<std::string, size_t> index;
};

// Never destroyed: MXNet's threads may run an operator while the process exits.
Rows& rows() {
  static auto* r = new Rows;
  return *r;
}

std::string shape_of(const TensorType& type) {
  std::string text;
  for (int64_t d : type.shape) text += (text.empty() ? "" : ", ") + std::to_string(d);
  return text;
}

std::string quoted(const std::string& text) {
  static const char* kHex = "0123456789abcdef";
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += std::string("\\") + c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += std::string("\\u00") + kHex[c >> 4] + kHex[c & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string to_json() {
  Rows& all = rows();
  std::lock_guard<std::mutex> lock(all.mutex);
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << "[";
  const char* between = "";
  for (const Row& row : all.rows) {
    out << between << "{\"owner\": " << quoted(row.owner) << ", \"name\": " << quoted(row.entry.name)
        << ", \"op\": " << quoted(row.entry.op) << ", \"implementation\": " << quoted(row.entry.implementation)
        << ", \"dtype\": \"" << name_of(row.entry.out.dtype) << "\", \"shape\": [" << shape_of(row.entry.out)
        << "], \"macs\": " << row.entry.macs << ", \"calls\": " << row.calls << ", \"microseconds\": " << row.sum
        << ", \"least\": " << row.least << "}";
    between = ",\n ";
  }
  out << "]";
  return out.str();
}

}  // namespace

void record(const std::string& owner, const ProfileEntry& entry, double microseconds) {
  const char separator = '\0';
  const std::string key = owner + separator + entry.name + separator + shape_of(entry.out);
  Rows& all = rows();
  std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.index.emplace(key, all.rows.size());
  if (found.second) all.rows.push_back({owner, entry, 0, 0.0, microseconds});
  Row& row = all.rows[found.first->second];
  ++row.calls;
  row.sum += microseconds;
  if (microseconds < row.least) row.least = microseconds;
}

}  // namespace mxq

// Forgets earlier times and starts.
extern "C" void mxq_profile_start() noexcept {
  mxq::Rows& all = mxq::rows();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.rows.clear();
  all.index.clear();
  mxq::profiling = true;
}

extern "C" void mxq_profile_stop() noexcept { mxq::profiling = false; }

// The rows as JSON. The text stays valid until the same thread calls again. Null where there is no memory for it.
extern "C" const char* mxq_profile_rows() noexcept {
  try {
    thread_local std::string text;
    text = mxq::to_json();
    return text.c_str();
  } catch (...) {
    return nullptr;
  }
}
