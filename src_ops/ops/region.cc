#include "region.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <sstream>

#include "../core/sizes.h"
#include "given_types.h"
#include "output_stage.h"

namespace mxq {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

std::string unescaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string code = text.substr(i, 3);
    const char c = code == "%25" ? '%' : code == "%09" ? '\t' : code == "%0A" ? '\n' : '\0';
    out += c ? c : text[i];
    if (c) i += 2;
  }
  return out;
}

// "i3", "7" or "7:1". False where it is none of them.
bool read_value(const std::string& text, RegionValue* value) {
  const bool is_input = text.compare(0, 1, "i") == 0;
  const char* at = text.c_str() + (is_input ? 1 : 0);
  auto number = [&at](int* n) {
    if (*at < '0' || *at > '9') return false;
    char* end;
    const long v = std::strtol(at, &end, 10);
    at = end;
    *n = static_cast<int>(v);
    return v <= (1 << 24);
  };
  *value = {-1, 0};
  if (is_input) return number(&value->index) && *at == '\0';
  if (!number(&value->line)) return false;
  if (*at == '\0') return true;
  return *at++ == ':' && number(&value->index) && *at == '\0';
}

// What was inferred of a value is no larger than a tensor may be.
void check_size(DType) {}
void check_size(const Shape& shape) { check_shape(shape); }
void check_size(const TensorType& type) { check_shape(type.shape); }

constexpr int64_t kMaxDim = int64_t{1} << 31, kMaxBytes = kMaxElements;

bool read_number(const std::string& text, int64_t limit, int64_t* value) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos) return false;
  *value = std::atoll(text.c_str());
  return *value < limit;
}

bool read_dtype(const std::string& text, DType* dtype) {
  for (DType t : {DType::kInt8, DType::kUint8, DType::kInt32, DType::kFloat32}) {
    if (text != name_of(t)) continue;
    *dtype = t;
    return true;
  }
  return false;
}

bool read_shape(const std::string& text, Shape* shape) {
  int64_t bytes = 4;
  for (const std::string& part : split(text, 'x')) {
    int64_t n;
    if (!read_number(part, kMaxDim, &n) || n == 0 || n > kMaxBytes / bytes) return false;
    bytes *= n;
    shape->push_back(n);
  }
  return !text.empty() && text.back() != 'x';
}

bool read_offset(const std::string& text, size_t* offset) {
  int64_t n;
  if (!read_number(text, kMaxBytes, &n) || n % 64) return false;
  *offset = static_cast<size_t>(n);
  return true;
}

const OpEntry* find_entry(const std::string& name) {
  for (const OpEntry& entry : op_table()) {
    if (name == entry.name && name != "mxq_region") return &entry;
  }
  return nullptr;
}

}  // namespace

class RegionOp::Reader {
 public:
  Reader(const Attrs& attrs, int num_inputs) : attrs_(attrs), num_inputs_(num_inputs) {}

  std::vector<PackedParam> packed() {
    std::vector<PackedParam> params;
    for (const std::string& text : split(attrs_.get_string("packed", ""), '\n')) {
      const std::vector<std::string> fields = split(text, '\t');
      PackedParam param;
      if (fields.size() != 4 || !read_dtype(fields[1], &param.type.dtype) ||
          !read_shape(fields[2], &param.type.shape) || !read_offset(fields[3], &param.offset)) {
        fail("packed", "'" + text + "' is not name, type, shape (6x3x3x3) and a multiple of 64, with tabs between");
      }
      params.push_back(std::move(param));
    }
    num_packed_ = static_cast<int>(params.size());
    return params;
  }

  std::vector<RegionLine> lines() const {
    std::vector<RegionLine> lines;
    for (const std::string& text : split(attrs_.get_string("graph", ""), '\n')) lines.push_back(line(text, lines));
    if (lines.empty()) fail("graph", "one line per operator is required");
    return lines;
  }

  std::vector<RegionValue> values(const std::string& key, const std::string& text,
                                  const std::vector<RegionLine>& before) const {
    std::vector<RegionValue> values;
    for (const std::string& part : split(text, ' ')) {
      RegionValue v;
      bool known = read_value(part, &v);
      known = known &&
              (v.line < 0 ? v.index < num_inputs_ + num_packed_
                          : v.line < static_cast<int>(before.size()) && v.index < before[v.line].op->num_outputs());
      if (!known) {
        fail(key, "'" + part + "' is no input below num_inputs=" + std::to_string(num_inputs_) +
                      (num_packed_ ? ", no packed parameter behind them" : "") +
                      " and no output of a line above (i3, 7, 7:1)");
      }
      values.push_back(v);
    }
    return values;
  }

  std::vector<RegionValue> outputs(const std::vector<RegionLine>& lines) const {
    return values("outputs", attrs_.get_string("outputs", ""), lines);
  }

  // The whole graph would be too long for an error.
  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw Error(attrs_.op_name() + ": attribute " + key + ": " + what);
  }

 private:
  RegionLine line(const std::string& text, const std::vector<RegionLine>& before) const {
    const std::vector<std::string> fields = split(text, '\t');
    const std::string where = "line " + std::to_string(before.size()) + ": ";
    if (fields.size() < 3) fail("graph", where + "operator, name and inputs are required, with tabs between");
    RegionLine line;
    line.entry = find_entry(fields[0]);
    if (!line.entry) fail("graph", where + "'" + fields[0] + "' is no operator that a region may hold");
    line.name = unescaped(fields[1]);
    line.label = fields[0] + " '" + line.name + "'";
    line.inputs = values("graph", fields[2], before);
    std::map<std::string, std::string> values;
    for (size_t i = 3; i < fields.size(); ++i) {
      const size_t equals = fields[i].find('=');
      if (equals == std::string::npos) fail("graph", where + "'" + fields[i] + "' is no attribute=value");
      values[fields[i].substr(0, equals)] = unescaped(fields[i].substr(equals + 1));
    }
    within(line, [&] {
      const Attrs attrs(line.label, std::move(values));
      line.backend = attrs.get_string("backend", "auto");
      line.op = parse_op(*line.entry, attrs);
      const int given = static_cast<int>(line.inputs.size()), expected = line.op->num_inputs();
      MXQ_CHECK(given == expected, "got " << given << " inputs; expected " << expected);
    });
    return line;
  }

  const Attrs& attrs_;
  const int num_inputs_;
  int num_packed_ = 0;
};

// Runs `infer_line` of every line on what is known of its inputs; what it fills in of the region's inputs is kept.
template <class T, class TypeOf, class Infer>
void RegionOp::infer(const T& unknown, std::vector<T>* in, std::vector<T>* out, TypeOf type_of,
                     Infer infer_line) const {
  std::vector<T> all = *in;
  for (const PackedParam& param : packed) all.push_back(type_of(param.type));
  std::vector<std::vector<T>> values;
  auto at = [&](const RegionValue& v) -> T& { return v.line < 0 ? all[v.index] : values[v.line][v.index]; };
  for (const RegionLine& line : *lines) {
    std::vector<T> inputs, outputs(line.op->num_outputs(), unknown);
    for (const RegionValue& v : line.inputs) inputs.push_back(at(v));
    within(line, [&] {
      infer_line(*line.op, &inputs, &outputs);
      for (const T& output : outputs) check_size(output);
    });
    for (size_t i = 0; i < inputs.size(); ++i) at(line.inputs[i]) = inputs[i];
    values.push_back(std::move(outputs));
  }
  for (size_t i = 0; i < outputs.size(); ++i) (*out)[i] = at(outputs[i]);
  std::copy(all.begin(), all.begin() + in->size(), in->begin());
}

RegionOp::RegionOp(const Attrs& attrs) : label(attrs.op_name()) {
  attrs.accept("content_id");
  const int64_t count = attrs.get_int("num_inputs");
  if (count < 1 || count > (1 << 20)) attrs.fail("num_inputs", "must be 1 to 1048576");
  num_inputs_ = static_cast<int>(count);
  try {
    Reader reader(attrs, num_inputs_);
    packed = reader.packed();
    has_digest = attrs.has("digest");
    if (has_digest && (packed.empty() || !from_hex(attrs.get_string("digest", ""), &digest))) {
      reader.fail("digest", "32 hexadecimal digits are accepted, where there are packed parameters");
    }
    read(reader);
  } catch (const Error& e) {  // of a line
    throw Error(labelled("mxq_region", label, e.what()));
  }
}

void RegionOp::read(const Reader& reader) {
  auto read = std::make_shared<std::vector<RegionLine>>(reader.lines());
  outputs = reader.outputs(*read);
  if (outputs.empty()) reader.fail("outputs", "one output of a line or more is required");
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].line < 0) reader.fail("outputs", "an input of the region is no output of it");
    for (size_t j = 0; j < i; ++j) {
      if (outputs[i] == outputs[j]) reader.fail("outputs", "each may be named once");
    }
  }
  lines = std::move(read);
}

void RegionOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  if (!packed.empty()) {
    if (in->back() == DType::kUnknown) in->back() = DType::kInt8;
    MXQ_CHECK(in->back() == DType::kInt8, "packed parameters have type " << name_of(in->back()) << "; expected int8");
  }
  infer(
      DType::kUnknown, in, out, [](const TensorType& type) { return type.dtype; },
      [](const Op& op, std::vector<DType>* i, std::vector<DType>* o) { op.infer_types(i, o); });
}

void RegionOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  if (!packed.empty()) {
    size_t bytes = 0;
    for (const PackedParam& p : packed) {
      bytes = std::max(bytes, p.offset + num_elements(p.type.shape) * size_of(p.type.dtype));
    }
    if (has_digest) bytes = (bytes + 63) / 64 * 64 + digest.size();
    unify_shape("packed parameters", {static_cast<int64_t>(bytes)}, &in->back());
  }
  infer(
      Shape(), in, out, [](const TensorType& type) { return type.shape; },
      [](const Op& op, std::vector<Shape>* i, std::vector<Shape>* o) { op.infer_shapes(i, o); });
}

std::vector<TensorType> RegionOp::with_packed(const std::vector<TensorType>& in) const {
  std::vector<TensorType> all = in;
  for (const PackedParam& param : packed) all.push_back(param.type);
  return all;
}

std::vector<std::vector<TensorType>> RegionOp::types(const std::vector<TensorType>& in) const {
  std::vector<std::vector<TensorType>> values;
  std::vector<TensorType> known = in, ends(outputs.size());
  auto infer_line = [&values](const Op& op, std::vector<TensorType>* i, std::vector<TensorType>* o) {
    std::vector<DType> in_types, out_types(o->size(), DType::kUnknown);
    std::vector<Shape> in_shapes, out_shapes(o->size());
    for (const TensorType& type : *i) {
      in_types.push_back(type.dtype);
      in_shapes.push_back(type.shape);
    }
    op.infer_types(&in_types, &out_types);
    op.infer_shapes(&in_shapes, &out_shapes);
    check_given_types(*i, in_types, in_shapes);
    for (size_t k = 0; k < o->size(); ++k) (*o)[k] = {out_types[k], out_shapes[k]};
    values.push_back(*o);
  };
  infer(TensorType(), &known, &ends, [](const TensorType& type) { return type; }, infer_line);
  return values;
}

int64_t RegionOp::macs(const std::vector<TensorType>& in) const {
  const auto values = types(in);
  const auto all = with_packed(in);
  int64_t sum = 0;
  for (const RegionLine& line : *lines) {
    std::vector<TensorType> inputs;
    for (const RegionValue& v : line.inputs) inputs.push_back(v.line < 0 ? all[v.index] : values[v.line][v.index]);
    sum += line.op->macs(inputs);
  }
  return sum;
}

OpEntry region_entry() {
  return {"mxq_region",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<RegionOp>(attrs); },
          {{"plan", cpu_region}, {"ref", ref_region}}};
}

}  // namespace mxq
