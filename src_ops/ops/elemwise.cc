#include "elemwise.h"

#include <algorithm>

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {

ElemwiseOp::ElemwiseOp(Kind k, const Attrs& attrs)
    : kind(k),
      a_zero_point(get_input_zero_point(attrs, "a_zero_point")),
      b_zero_point(get_input_zero_point(attrs, "b_zero_point")),
      out(get_output_type(attrs)),
      act(get_activation(attrs, out.scale)) {
  const double a_scale = attrs.get_scale("a_scale", 1.0f), b_scale = attrs.get_scale("b_scale", 1.0f);
  if (kind == Kind::kMul) {
    a_multiplier = checked_multiplier(attrs, "a_scale", a_scale * b_scale / out.scale, 1 << 18);
    b_multiplier = 1.0f;
  } else {
    a_multiplier = checked_multiplier(attrs, "a_scale", a_scale / out.scale, 1024);
    b_multiplier = checked_multiplier(attrs, "b_scale", b_scale / out.scale, 1024);
  }
  if (kind == Kind::kSub) b_multiplier = -b_multiplier;  // x - y and x + (-y) round alike
}

void ElemwiseOp::infer_types(std::vector<DType>* in, std::vector<DType>* types) const {
  check_8bit("a", (*in)[0]);
  check_8bit("b", (*in)[1]);
  check_zero_point("a", "a_zero_point", a_zero_point, (*in)[0]);
  check_zero_point("b", "b_zero_point", b_zero_point, (*in)[1]);
  (*types)[0] = out.dtype;
}

void ElemwiseOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* shapes) const {
  const Shape &a = (*in)[0], &b = (*in)[1];
  const size_t rank = std::max(a.size(), b.size());
  Shape shape(rank);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t m = i < rank - a.size() ? 1 : a[i - (rank - a.size())];
    const int64_t n = i < rank - b.size() ? 1 : b[i - (rank - b.size())];
    MXQ_CHECK(m == n || m == 1 || n == 1 || m < 0 || n < 0,
              "a of shape " << shape_text(a) << " and b of shape " << shape_text(b)
                            << " do not broadcast; on each axis, counted from the last, sizes must be equal or 1");
    shape[i] = m == 1 ? n : n == 1 ? m : std::max(m, n);
  }
  (*shapes)[0] = shape;
}

BroadcastAxes broadcast_axes(const Shape& a, const Shape& b) {
  const size_t rank = std::max(a.size(), b.size());
  BroadcastAxes axes;  // from the last axis to the first, turned around at the end
  int64_t a_stride = 1, b_stride = 1;
  for (size_t i = 1; i <= rank; ++i) {
    const int64_t m = i <= a.size() ? a[a.size() - i] : 1, n = i <= b.size() ? b[b.size() - i] : 1;
    const int64_t size = m == 1 ? n : m, by_a = m == 1 ? 0 : a_stride, by_b = n == 1 ? 0 : b_stride;
    a_stride *= m;
    b_stride *= n;
    if (size == 1) continue;
    if (!axes.size.empty() && by_a == axes.a_stride.back() * axes.size.back() &&
        by_b == axes.b_stride.back() * axes.size.back()) {
      axes.size.back() *= size;
      continue;
    }
    axes.size.push_back(size);
    axes.a_stride.push_back(by_a);
    axes.b_stride.push_back(by_b);
  }
  if (axes.size.empty()) axes = {{1}, {1}, {1}};
  for (auto* list : {&axes.size, &axes.a_stride, &axes.b_stride}) std::reverse(list->begin(), list->end());
  return axes;
}

namespace {

template <ElemwiseOp::Kind kind>
OpEntry entry(const char* name) {
  return {name,
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<ElemwiseOp>(kind, attrs); },
          {{"avx", cpu_elemwise}, {"ref", ref_elemwise}}};
}

}  // namespace

OpEntry elemwise_add_entry() { return entry<ElemwiseOp::Kind::kAdd>("mxq_elemwise_add"); }
OpEntry elemwise_sub_entry() { return entry<ElemwiseOp::Kind::kSub>("mxq_elemwise_sub"); }
OpEntry elemwise_mul_entry() { return entry<ElemwiseOp::Kind::kMul>("mxq_elemwise_mul"); }

}  // namespace mxq
