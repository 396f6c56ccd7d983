#include "pooling.h"

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {
namespace {

constexpr int64_t kMaxWindow = 1 << 23;  // 255 times this still fits int32

// A tuple with a number for each axis of the kernel.
std::vector<int64_t> get_window(const Attrs& attrs, const std::string& key, size_t rank, int64_t fallback,
                                int64_t least) {
  const std::vector<int64_t> values = attrs.get_tuple(key, std::vector<int64_t>(rank, fallback));
  bool fits = values.size() == rank;
  for (int64_t v : values) fits = fits && v >= least && v <= (1 << 20);
  if (!fits) {
    attrs.fail(key, "must be " + std::to_string(rank) + " numbers (as many as kernel has), each " +
                        std::to_string(least) + " or more");
  }
  return values;
}

}  // namespace

PoolingOp::PoolingOp(const Attrs& attrs)
    : is_max(attrs.get_choice("pool_type", "max", {"max", "avg"}) == "max"),
      is_global(attrs.get_bool("global_pool", false)),
      count_include_pad(attrs.get_bool("count_include_pad", true)),
      keepdims(attrs.get_bool("keepdims", true)),
      has_out_type(attrs.has("out_type")),
      in_scale(attrs.get_scale("in_scale", 1.0f)),
      in_zero_point(get_input_zero_point(attrs, "in_zero_point")),
      out(get_output_type(attrs)) {
  const std::string name = attrs.get_choice("pooling_convention", "valid", {"valid", "full", "same"});
  convention = name == "full" ? Convention::kFull : name == "same" ? Convention::kSame : Convention::kValid;
  checked_multiplier(attrs, "in_scale", static_cast<double>(in_scale) / out.scale, 256.0);
  if (is_global) {
    for (const char* key : {"kernel", "stride", "pad"}) attrs.accept(key);
    return;
  }
  if (!keepdims) attrs.fail("keepdims", "only global pooling leaves spatial axes that can be dropped");
  const size_t rank = attrs.get_tuple("kernel", {}).size();
  if (rank != 1 && rank != 2)
    attrs.fail("kernel", "must be 1 or 2 numbers, such as (3, 3), unless global_pool is True");
  kernel = get_window(attrs, "kernel", rank, 1, 1);
  stride = get_window(attrs, "stride", rank, 1, 1);
  if (convention == Convention::kSame) {
    if (rank != 1) attrs.fail("pooling_convention", "'same' is for 1-D pooling, as in MXNet");
    for (int64_t p : attrs.get_tuple("pad", {})) {  // MXNet wants three zeros here
      if (p != 0) attrs.fail("pad", "must be 0 where pooling_convention is 'same'");
    }
    pad = {0};
  } else {
    pad = get_window(attrs, "pad", rank, 0, 0);
  }
  for (size_t i = 0; i < rank; ++i) {
    if (pad[i] >= kernel[i]) attrs.fail("pad", "each must be smaller than the kernel, " + shape_text(kernel));
  }
  if (!is_max && kernel[0] * (rank == 2 ? kernel[1] : 1) > kMaxWindow) {
    attrs.fail("kernel", "larger than an average can sum up, 2^23 positions");
  }
}

void PoolingOp::infer_types(std::vector<DType>* in, std::vector<DType>* types) const {
  const DType data = (*in)[0];
  if (data == DType::kFloat32) {
    MXQ_CHECK(out.dtype == DType::kFloat32 || !has_out_type,
              "attribute out_type=" << name_of(out.dtype) << ": must be float32, the type of data");
    MXQ_CHECK(in_scale == 1.0f && out.scale == 1.0f && in_zero_point == 0,
              "float32 data has no scale: attributes in_scale and in_zero_point must be 1 and 0");
    (*types)[0] = DType::kFloat32;
    return;
  }
  check_8bit("data", data);
  if (is_max) {
    MXQ_CHECK(!has_out_type || data == DType::kUnknown || data == out.dtype,
              "attribute out_type=" << name_of(out.dtype) << ": a maximum has the type of its data, " << name_of(data));
    (*types)[0] = data;
    return;
  }
  check_zero_point("data", "in_zero_point", in_zero_point, data);
  (*types)[0] = out.dtype;
}

PoolGeometry::Axis PoolingOp::axis(size_t i, size_t rank, int64_t size) const {
  if (i >= rank) return {1, 1, 1, 1, 0};
  if (is_global) return {size, 1, size, 1, 0};
  PoolGeometry::Axis a{size, -1, kernel[i], stride[i], pad[i]};
  if (size < 0) return a;
  const int64_t room = size + 2 * a.pad - a.kernel;
  MXQ_CHECK(room >= 0, "kernel " << a.kernel << " exceeds spatial axis " << i << " of data, which is " << size
                                 << " and padded to " << size + 2 * a.pad);
  if (convention == Convention::kSame) {
    a.out = (size + a.stride - 1) / a.stride;
  } else {
    a.out = 1 + (room + (convention == Convention::kFull ? a.stride - 1 : 0)) / a.stride;
  }
  return a;
}

PoolGeometry PoolingOp::geometry(const Shape& data) const {
  const size_t rank = data.size() - 2;
  PoolGeometry g;
  g.batch = data[0];
  g.channels = data.back();
  g.w = axis(rank - 1, rank, data[rank]);
  g.h = rank == 2 ? axis(0, rank, data[1]) : axis(rank, rank, 1);
  return g;
}

void PoolingOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* shapes) const {
  const Shape& data = (*in)[0];
  const size_t rank = is_global ? data.size() - 2 : kernel.size();
  MXQ_CHECK((data.size() == 3 || data.size() == 4) && data.size() == rank + 2,
            "data has shape " << shape_text(data) << "; accepted are "
                              << (is_global   ? "(N, W, C) and (N, H, W, C)"
                                  : rank == 1 ? "(N, W, C), as kernel has 1 number"
                                              : "(N, H, W, C), as kernel has 2 numbers"));
  for (size_t i = 1; i <= rank; ++i) {
    MXQ_CHECK(data[i] != 0, "data has shape " << shape_text(data) << "; its spatial axes must not be empty");
  }
  const PoolGeometry g = geometry(data);
  MXQ_CHECK(is_max || !is_global || g.h.in < 0 || g.w.in < 0 || g.h.in * g.w.in <= kMaxWindow,
            "data has shape " << shape_text(data) << "; an average sums up at most " << kMaxWindow << " positions");
  Shape shape = data;
  shape[rank] = g.w.out;
  if (rank == 2) shape[1] = g.h.out;
  if (!keepdims) shape = {data.front(), data.back()};
  (*shapes)[0] = shape;
}

float PoolingOp::factor(const PoolGeometry& g, int64_t oh, int64_t ow) const {
  const bool padded = count_include_pad && !is_global;
  const int64_t rows = padded ? g.h.padded_count(oh) : g.h.end(oh) - g.h.begin(oh);
  const int64_t cols = padded ? g.w.padded_count(ow) : g.w.end(ow) - g.w.begin(ow);
  const double count = rows > 0 && cols > 0 ? static_cast<double>(rows * cols) : 1.0;  // the sum is 0 without any
  return static_cast<float>(static_cast<double>(in_scale) / (static_cast<double>(out.scale) * count));
}

OpEntry pooling_entry() {
  return {"mxq_pooling",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<PoolingOp>(attrs); },
          {{"avx", cpu_pooling}, {"ref", ref_pooling}}};
}

}  // namespace mxq
