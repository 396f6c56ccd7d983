// Typed, checked access to the string attributes of a node. Every error names operator, attribute, value and what is
// accepted.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tensor.h"

namespace mxq {

class Attrs {
 public:
  Attrs(std::string op_name, std::map<std::string, std::string> values);

  const std::string& op_name() const { return op_name_; }
  bool has(const std::string& key) const;
  // A missing key without a default is an error.
  int64_t get_int(const std::string& key) const;
  int64_t get_int(const std::string& key, int64_t fallback) const;
  bool get_bool(const std::string& key, bool fallback) const;  // True/False/1/0
  double get_float(const std::string& key) const;              // finite
  double get_float(const std::string& key, double fallback) const;
  float get_scale(const std::string& key) const;  // finite and > 0, as float32
  float get_scale(const std::string& key, float fallback) const;
  int get_zero_point(const std::string& key, DType dtype) const;  // 0 where absent; in range of dtype
  std::string get_choice(const std::string& key, const std::string& fallback,
                         std::initializer_list<const char*> accepted) const;
  std::string get_string(const std::string& key, const std::string& fallback) const;
  std::vector<int64_t> get_tuple(const std::string& key,
                                 const std::vector<int64_t>& fallback) const;  // "(1, 2)", "[1,2]"
  std::vector<double> get_floats(const std::string& key, const std::vector<double>& fallback) const;
  DType get_dtype(const std::string& key, const std::string& fallback,
                  std::initializer_list<const char*> accepted) const;  // "int8", "uint8", "int32", "float32"

  // Marks a key as known although the operator itself does not read it.
  void accept(const std::string& key) const { asked_.insert(key); }
  // Throws Error naming the first attribute that nothing has asked for, with the nearest one that was. Keys that start
  // with "__" are MXNet's own and are left alone. Call it after the operator has read what it needs.
  void check_all_read() const;

  // Throws Error about this operator: "mxq_conv 'conv1': attribute stride=(0, 0): each must be 1 or more".
  [[noreturn]] void fail(const std::string& key, const std::string& accepted) const;

 private:
  std::string op_name_;
  std::map<std::string, std::string> values_;
  mutable std::set<std::string> asked_;  // a record of reads, so the readers stay const
};

}  // namespace mxq
