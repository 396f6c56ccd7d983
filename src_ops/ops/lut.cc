#include "lut.h"

#include "../core/check.h"
#include "layout.h"

namespace mxq {
namespace {
constexpr int64_t kEntries = 256;
}

LutOp::LutOp(const Attrs& attrs)
    : in_type(attrs.has("in_type") ? attrs.get_dtype("in_type", "int8", {"int8", "uint8"}) : DType::kUnknown),
      axis(attrs.get_int("axis", -1)),
      channels_last(attrs.get_choice("layout", "keep", {"keep", "channels_last"}) == "channels_last") {}

void LutOp::infer_types(std::vector<DType>* in, std::vector<DType>* out) const {
  const DType data = (*in)[0], table = (*in)[1];
  MXQ_CHECK(data == DType::kInt8 || data == DType::kUint8 || data == DType::kUnknown,
            "data is " << name_of(data) << "; accepted are int8 and uint8");
  MXQ_CHECK(in_type == DType::kUnknown || data == DType::kUnknown || data == in_type,
            "data is " << name_of(data) << ", but the table is for " << name_of(in_type)
                       << "; feed the network the type that it was quantized for");
  if (data == DType::kUnknown) (*in)[0] = in_type;
  MXQ_CHECK(table == DType::kInt8 || table == DType::kUint8 || table == DType::kFloat32 || table == DType::kUnknown,
            "table is " << name_of(table) << "; accepted are int8, uint8 and float32");
  (*out)[0] = table;
}

void LutOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& shape = (*in)[0];
  Shape& table = (*in)[1];
  MXQ_CHECK(table.size() == 1 || table.size() == 2,
            "table has " << table.size() << " dimensions; expected (256,) or (C, 256)");
  if (table.back() == -1) table.back() = kEntries;
  MXQ_CHECK(table.back() == kEntries, "table has rows of " << table.back() << " entries; expected 256");
  if (table.size() == 2) {
    const int64_t channels = shape[axis_of(shape, axis)];
    if (table[0] == -1) table[0] = channels;
    MXQ_CHECK(channels == -1 || table[0] == channels, "table has " << table[0] << " rows; expected " << channels
                                                                   << ", the size of axis " << axis << " of data");
  }
  (*out)[0] = channels_last ? channels_last_of(shape) : shape;
}

OpEntry lut_entry() {
  return {"mxq_lut",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<LutOp>(attrs); },
          {{"avx", cpu_lut}, {"ref", ref_lut}}};
}

}  // namespace mxq
