#include "attrs.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>

#include "check.h"
#include "qmath.h"

namespace mxq {
namespace {

// Whole-string parsing that no locale of the host program can change.
template <class T>
bool parse_number(const std::string& text, T* value) {
  std::istringstream in(text);
  in.imbue(std::locale::classic());
  in >> *value;
  return !in.fail() && (in >> std::ws).eof();
}

std::string join(std::initializer_list<const char*> words) {
  std::string text;
  for (const char* word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

// "(1, 2)", "[1,2]", "(3,)", "()" or a bare "3" -> its items.
bool split_items(const std::string& text, std::vector<std::string>* items) {
  std::string body;
  for (char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c))) body += c;
  }
  if (body.empty()) return false;
  const char open = body.front(), close = body.back();
  if ((open == '(' && close == ')') || (open == '[' && close == ']')) {
    body = body.substr(1, body.size() - 2);
    if (!body.empty() && body.back() == ',') body.pop_back();
    if (body.empty()) return true;
  }
  std::istringstream in(body);
  for (std::string item; std::getline(in, item, ',');) items->push_back(item);
  return body.back() != ',';
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t previous = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = previous;
    }
  }
  return row[b.size()];
}

}  // namespace

Attrs::Attrs(std::string op_name, std::map<std::string, std::string> values)
    : op_name_(std::move(op_name)), values_(std::move(values)) {}

bool Attrs::has(const std::string& key) const {
  asked_.insert(key);
  return values_.count(key) != 0;
}

void Attrs::fail(const std::string& key, const std::string& accepted) const {
  auto it = values_.find(key);
  throw Error(op_name_ + ": attribute " + key + (it == values_.end() ? " is missing" : "=" + it->second) + ": " +
              accepted);
}

int64_t Attrs::get_int(const std::string& key) const {
  if (!has(key)) fail(key, "an integer is required");
  int64_t value = 0;
  if (!parse_number(values_.at(key), &value)) fail(key, "an integer is accepted");
  return value;
}

int64_t Attrs::get_int(const std::string& key, int64_t fallback) const { return has(key) ? get_int(key) : fallback; }

bool Attrs::get_bool(const std::string& key, bool fallback) const {
  if (!has(key)) return fallback;
  const std::string& text = values_.at(key);
  if (text == "True" || text == "true" || text == "1") return true;
  if (text == "False" || text == "false" || text == "0") return false;
  fail(key, "accepted are True, False, 1 and 0");
}

double Attrs::get_float(const std::string& key) const {
  if (!has(key)) fail(key, "a finite number is required");
  double value = 0;
  if (!parse_number(values_.at(key), &value) || !std::isfinite(value)) fail(key, "a finite number is accepted");
  return value;
}

double Attrs::get_float(const std::string& key, double fallback) const { return has(key) ? get_float(key) : fallback; }

float Attrs::get_scale(const std::string& key) const {
  const float scale = static_cast<float>(get_float(key));
  if (!(scale >= std::numeric_limits<float>::min()) || !std::isfinite(scale)) {
    fail(key, "a scale must be a finite normal float32 greater than 0");
  }
  return scale;
}

float Attrs::get_scale(const std::string& key, float fallback) const { return has(key) ? get_scale(key) : fallback; }

int Attrs::get_zero_point(const std::string& key, DType dtype) const {
  const int64_t value = get_int(key, 0);
  const bool is_8bit = dtype == DType::kInt8 || dtype == DType::kUint8;
  const int lo = is_8bit ? qmin(dtype) : 0, hi = is_8bit ? qmax(dtype) : 0;
  if (value < lo || value > hi) {
    fail(key, "a zero point of " + std::string(name_of(dtype)) + " must lie in [" + std::to_string(lo) + ", " +
                  std::to_string(hi) + "]");
  }
  return static_cast<int>(value);
}

std::string Attrs::get_choice(const std::string& key, const std::string& fallback,
                              std::initializer_list<const char*> accepted) const {
  if (!has(key)) return fallback;
  const std::string& text = values_.at(key);
  for (const char* choice : accepted) {
    if (text == choice) return text;
  }
  fail(key, "accepted are " + join(accepted));
}

std::string Attrs::get_string(const std::string& key, const std::string& fallback) const {
  return has(key) ? values_.at(key) : fallback;
}

std::vector<int64_t> Attrs::get_tuple(const std::string& key, const std::vector<int64_t>& fallback) const {
  if (!has(key)) return fallback;
  std::vector<std::string> items;
  bool ok = split_items(values_.at(key), &items);
  std::vector<int64_t> out(items.size());
  for (size_t i = 0; ok && i < items.size(); ++i) ok = parse_number(items[i], &out[i]);
  if (!ok) fail(key, "a tuple of integers such as (1, 2) is accepted");
  return out;
}

std::vector<double> Attrs::get_floats(const std::string& key, const std::vector<double>& fallback) const {
  if (!has(key)) return fallback;
  std::vector<std::string> items;
  bool ok = split_items(values_.at(key), &items);
  std::vector<double> out(items.size());
  for (size_t i = 0; ok && i < items.size(); ++i) ok = parse_number(items[i], &out[i]) && std::isfinite(out[i]);
  if (!ok) fail(key, "a tuple of finite numbers such as (0.5, 1.0) is accepted");
  return out;
}

DType Attrs::get_dtype(const std::string& key, const std::string& fallback,
                       std::initializer_list<const char*> accepted) const {
  const std::string text = get_choice(key, fallback, accepted);
  for (DType dtype : {DType::kInt8, DType::kUint8, DType::kInt32, DType::kFloat32}) {
    if (text == name_of(dtype)) return dtype;
  }
  fail(key, "accepted are " + join(accepted));
}

void Attrs::check_all_read() const {
  for (const auto& item : values_) {
    if (item.first.compare(0, 2, "__") == 0 || asked_.count(item.first)) continue;
    std::string nearest, all;
    size_t best = std::string::npos;
    for (const std::string& known : asked_) {
      const size_t distance = edit_distance(item.first, known);
      if (distance < best) {
        best = distance;
        nearest = known;
      }
      all += (all.empty() ? "" : ", ") + known;
    }
    fail(item.first,
         "unknown, or without effect beside the other attributes; nearest is " + nearest + "; accepted are " + all);
  }
}

}  // namespace mxq
