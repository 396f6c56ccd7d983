#include "reshape.h"

#include "../core/check.h"
#include "../core/sizes.h"
#include "shape_text.h"

namespace mxq {

ReshapeOp::ReshapeOp(const Attrs& attrs)
    : target(attrs.get_tuple("shape", {})),
      channels_last(attrs.get_choice("layout", "", {"", "channels_last"}) == "channels_last") {
  if (target.empty()) attrs.fail("shape", "a tuple of 1 or more integers is required");
  for (int64_t code : target) {
    if (code < -4 || code > kMaxElements) {
      attrs.fail("shape", "each must be a size above 0 (up to 2^40) or one of MXNet's codes 0, -1, -2, -3, -4");
    }
  }
}

Shape reshaped(const Shape& from, const std::vector<int64_t>& target) {
  Shape out;
  size_t at = 0;               // the next dimension of the input
  size_t inferred = SIZE_MAX;  // where in the output -1 stands
  size_t inferred_code = 0;    // and where in the target
  auto next = [&](const char* code) {
    MXQ_CHECK(at < from.size(), "attribute shape=" << shape_text(target) << ": code " << code
                                                   << " asks for more dimensions than data of shape "
                                                   << shape_text(from) << " has");
    return from[at++];
  };
  for (size_t i = 0; i < target.size(); ++i) {
    const int64_t code = target[i];
    if (code == 0) {
      out.push_back(next("0"));
    } else if (code == -1) {
      MXQ_CHECK(inferred == SIZE_MAX, "attribute shape=" << shape_text(target) << ": only one -1 is accepted");
      inferred = out.size();
      inferred_code = i;
      out.push_back(1);
      ++at;
    } else if (code == -2) {
      while (at < from.size()) out.push_back(from[at++]);
    } else if (code == -3) {
      const int64_t first = next("-3");
      out.push_back(size_product(first, next("-3")));
    } else if (code == -4) {
      MXQ_CHECK(i + 2 < target.size(), "attribute shape=" << shape_text(target) << ": two sizes must follow -4");
      const int64_t whole = next("-4");
      int64_t left = target[++i], right = target[++i];
      const bool valid = left >= -1 && right >= -1 && left != 0 && right != 0 && (left > 0 || right > 0);
      MXQ_CHECK(valid, "attribute shape=" << shape_text(target)
                                          << ": the two sizes after -4 must be above 0, or one of them -1");
      if (left == -1 && whole >= 0) left = whole / right;
      if (right == -1 && whole >= 0) right = whole / left;
      MXQ_CHECK(whole < 0 || size_product(left, right) == whole, "attribute shape=" << shape_text(target) << ": "
                                                                                    << whole << " does not split into "
                                                                                    << left << " x " << right);
      out.push_back(left);
      out.push_back(right);
    } else {
      out.push_back(code);
      ++at;
    }
  }
  int64_t total = 1, rest = 1;
  for (int64_t d : from) total = size_product(total, d);
  for (int64_t d : out) rest = size_product(rest, d);
  if (inferred != SIZE_MAX) {
    const int64_t size = total < 0 || rest <= 0 ? -1 : total / rest;
    // Behind -2 or -4 the positions differ, and MXNet writes the size where the code stands. That is followed where it
    // gives a shape that fits; else the size belongs where the code says.
    if (inferred_code < out.size() && (size < 0 || out[inferred_code] == 1)) {
      out[inferred_code] = size;
      if (size < 0) out[inferred] = -1;
    } else {
      out[inferred] = size;
    }
    rest = size_product(rest, size);
  }
  MXQ_CHECK(total < 0 || rest < 0 || total == rest,
            "data of shape " << shape_text(from) << " does not fit attribute shape=" << shape_text(target)
                             << ", which gives " << shape_text(out));
  return out;
}

void ReshapeOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& data = (*in)[0];
  Shape from = data;
  if (channels_last) {
    const std::vector<int64_t> axes = channels_first_axes(data.size());
    for (size_t i = 0; i < axes.size(); ++i) from[i] = data[axes[i]];
  }
  (*out)[0] = reshaped(from, target);
}

StridedCopy ReshapeOp::plan(const Shape& data) const {
  if (!channels_last) return permuted_copy({num_elements(data)}, {0});
  return permuted_copy(data, channels_first_axes(data.size()));
}

OpEntry reshape_entry() {
  return {"mxq_reshape",
          [](const Attrs& attrs) -> std::unique_ptr<Op> { return std::make_unique<ReshapeOp>(attrs); },
          {{"avx", cpu_strided_copy}, {"ref", ref_strided_copy}}};
}

}  // namespace mxq
