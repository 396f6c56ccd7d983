#include "fully_connected.h"

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {
namespace {

std::unique_ptr<Op> parse_fully_connected(const Attrs& attrs) {
  auto op = std::make_unique<FullyConnectedOp>();
  op->stage = parse_output_stage(attrs);
  op->flatten = attrs.get_bool("flatten", true);
  op->num_hidden = attrs.get_int("num_hidden");
  if (op->num_hidden < 1 || op->num_hidden > (int64_t{1} << 31))
    attrs.fail("num_hidden", "must be 1 or more, up to 2^31");
  return op;
}

// Product of data[begin:end), -1 where one of them is unknown.
int64_t product(const Shape& data, size_t begin, size_t end) {
  int64_t n = 1;
  for (size_t i = begin; i < end; ++i) {
    n = size_product(n, data[i]);
  }
  return n;
}

}  // namespace

ConvGeometry FullyConnectedOp::geometry(const Shape& data) const {
  const size_t split = flatten ? 1 : data.size() - 1;  // a column of rows: height is the number of rows
  const int64_t rows = product(data, 0, split), depth = product(data, split, data.size());
  return {1, rows, 1, depth, rows, 1, num_hidden, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0};
}

void FullyConnectedOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& data = (*in)[0];
  MXQ_CHECK(data.size() >= 2 || (!flatten && data.size() == 1),
            "data has " << data.size() << " dimensions; expected 2 or more");
  const size_t split = flatten ? 1 : data.size() - 1;
  const int64_t depth = product(data, split, data.size());
  MXQ_CHECK(depth != 0, "data has shape " << shape_text(data) << ", rows without values; only the batch may be empty");
  Shape& weight = (*in)[1];
  if (weight.size() == 2 && depth >= 0 && weight[1] >= 0) {
    MXQ_CHECK(weight[1] == depth,
              "data has " << depth << " values per row ("
                          << (flatten ? "all axes after the first, flatten=True" : "last axis, flatten=False")
                          << "), but the weight expects " << weight[1]);
  }
  unify_shape("weight", {num_hidden, depth}, &weight);
  Shape shape(data.begin(), data.begin() + split);
  shape.push_back(num_hidden);
  infer_stage_shapes(stage, num_hidden, shape, in);
  out->assign(1, shape);
}

OpEntry fully_connected_entry() {
  return {"mxq_fully_connected",
          parse_fully_connected,
          {{"onednn", cpu_fully_connected_onednn}, {"avx", cpu_linear_avx}, {"ref", ref_linear}}};
}

}  // namespace mxq
