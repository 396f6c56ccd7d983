// mxq_region: several operators as one. Their tensors live in one block of memory, nothing is dispatched between them.
//   inputs:  the data and the parameters of all operators, in the order that `graph` counts them; the last one may hold
//            many parameters, because hosts look up and check every array at every call
//   outputs: what `outputs` names
//
//   graph:      one line per operator, in an order in which inputs come first; fields between tabs:
//                 operator, name, inputs, attribute=value, ...
//               inputs between spaces: "i3" is input 3 of the region, "7" the output of line 7, "7:1" its second one.
//               "%25", "%09" and "%0A" stand for percent, tab and end of line in names and values.
//   num_inputs: how many the region has
//   packed:     parameters in the last input, an int8 vector: one line each, fields between tabs: name, type, shape
//               (6x3x3x3), offset in bytes, a multiple of 64. They are counted behind the inputs: with num_inputs=2,
//               the first one is "i2".
//   digest:     of the packed parameters, 32 hexadecimal digits (core/digest.h). Where it is given, the last input has
//               the digest's 16 bytes behind the parameters, at the next multiple of 64, and what is before them gives
//               this digest. So symbol and parameters of different networks are told apart, and damaged ones noticed.
//   outputs:    references as above, one or more lines' outputs, none twice
//   content_id: tells regions apart that differ; not read
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../core/digest.h"
#include "../core/op.h"

namespace mxq {

// An output of a line, or an input of the region where `line` is -1.
struct RegionValue {
  int line;
  int index;
  bool operator==(const RegionValue& o) const { return line == o.line && index == o.index; }
};

// A parameter in the region's last input.
struct PackedParam {
  TensorType type;
  size_t offset;
};

struct RegionLine {
  const OpEntry* entry;
  std::string name;   // of the node
  std::string label;  // "mxq_conv 'conv1'"
  std::string backend;
  std::unique_ptr<Op> op;
  std::vector<RegionValue> inputs;
};

class RegionOp : public Op {
 public:
  explicit RegionOp(const Attrs& attrs);

  int num_inputs() const override { return num_inputs_; }
  int num_outputs() const override { return static_cast<int>(outputs.size()); }
  void infer_types(std::vector<DType>* in, std::vector<DType>* out) const override;
  void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const override;
  size_t weight() const override { return lines->size(); }
  int64_t macs(const std::vector<TensorType>& in) const override;

  // The types of inputs, with those of the packed parameters behind them: what a RegionValue counts.
  std::vector<TensorType> with_packed(const std::vector<TensorType>& in) const;
  // Types and shapes of every line's outputs, for inputs that are all known.
  std::vector<std::vector<TensorType>> types(const std::vector<TensorType>& in) const;

  std::string label;
  std::shared_ptr<const std::vector<RegionLine>> lines;  // kernels may outlive the operator
  std::vector<RegionValue> outputs;
  std::vector<PackedParam> packed;
  bool has_digest = false;
  Digest digest{};

 private:
  class Reader;
  void read(const Reader& reader);
  template <class T, class TypeOf, class Infer>
  void infer(const T& unknown, std::vector<T>* in, std::vector<T>* out, TypeOf type_of, Infer infer_line) const;

  int num_inputs_;
};

// Runs body(); an error that leaves it names the line.
template <class Body>
auto within(const RegionLine& line, Body body) -> decltype(body());

KernelPtr ref_region(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);
KernelPtr cpu_region(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                     std::string* why_not);

OpEntry region_entry();

}  // namespace mxq

#include "../core/check.h"

namespace mxq {

template <class Body>
auto within(const RegionLine& line, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Error& e) {
    throw Error(labelled(line.entry->name, line.label, e.what()));
  }
}

}  // namespace mxq
