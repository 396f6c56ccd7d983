#include "conv.h"

#include <algorithm>
#include <sstream>

#include "../core/check.h"
#include "shape_text.h"

namespace mxq {
namespace {

constexpr int64_t kMaxFilters = int64_t{1} << 31;

std::vector<int64_t> get_window(const Attrs& attrs, const std::string& key, size_t rank, int64_t fallback,
                                int64_t least) {
  std::vector<int64_t> values = attrs.get_tuple(key, std::vector<int64_t>(rank, fallback));
  bool fits = values.size() == rank;
  for (int64_t v : values) fits = fits && v >= least && v <= (1 << 20);
  if (!fits) {
    attrs.fail(key, "must have one value for each of the " + std::to_string(rank) + " axes of kernel, each " +
                        std::to_string(least) + " or more");
  }
  return values;
}

std::unique_ptr<Op> parse_conv(const Attrs& attrs) {
  auto op = std::make_unique<ConvOp>();
  op->stage = parse_output_stage(attrs);
  op->kernel = attrs.get_tuple("kernel", {});
  const size_t rank = op->kernel.size();
  if (rank != 1 && rank != 2) attrs.fail("kernel", "must be 1 or 2 numbers, such as (3, 3)");
  op->kernel = get_window(attrs, "kernel", rank, 1, 1);
  op->stride = get_window(attrs, "stride", rank, 1, 1);
  op->dilate = get_window(attrs, "dilate", rank, 1, 1);
  op->pad_begin = get_window(attrs, "pad_begin", rank, 0, 0);
  op->pad_end = get_window(attrs, "pad_end", rank, 0, 0);
  op->num_filter = attrs.get_int("num_filter");
  if (op->num_filter < 1 || op->num_filter > kMaxFilters) attrs.fail("num_filter", "must be 1 or more, up to 2^31");
  op->num_group = attrs.get_int("num_group", 1);
  if (op->num_group < 1) attrs.fail("num_group", "must be 1 or more");
  if (op->num_filter % op->num_group != 0) {
    attrs.fail("num_group", "must be a divisor of num_filter=" + std::to_string(op->num_filter));
  }
  return op;
}

// Output size of axis i, -1 where the input size is unknown.
int64_t out_size(const ConvOp& op, size_t i, int64_t size) {
  if (size < 0) return -1;
  const int64_t window = (op.kernel[i] - 1) * op.dilate[i] + 1;
  const int64_t padded = size + op.pad_begin[i] + op.pad_end[i];
  MXQ_CHECK(padded >= window, "kernel " << op.kernel[i] << " with dilation " << op.dilate[i] << " covers " << window
                                        << " on spatial axis " << i << ", but the padded data has only " << padded);
  return (padded - window) / op.stride[i] + 1;
}

}  // namespace

ConvGeometry ConvOp::geometry(const Shape& data) const {
  auto axis = [&](const std::vector<int64_t>& v, int which, int64_t fallback) {  // which: 0 height, 1 width
    return v.size() == 2 ? v[which] : which == 1 ? v[0] : fallback;
  };
  ConvGeometry g;
  const bool flat = kernel.size() == 1;
  g.batch = data[0];
  g.in_h = flat ? 1 : data[1];
  g.in_w = data[data.size() - 2];
  g.in_c = data.back();
  g.out_c = num_filter;
  g.groups = num_group;
  g.kernel_h = axis(kernel, 0, 1), g.kernel_w = axis(kernel, 1, 1);
  g.stride_h = axis(stride, 0, 1), g.stride_w = axis(stride, 1, 1);
  g.dilate_h = axis(dilate, 0, 1), g.dilate_w = axis(dilate, 1, 1);
  g.pad_top = axis(pad_begin, 0, 0), g.pad_left = axis(pad_begin, 1, 0);
  g.pad_bottom = axis(pad_end, 0, 0), g.pad_right = axis(pad_end, 1, 0);
  g.out_h = flat ? 1 : out_size(*this, 0, g.in_h);
  g.out_w = out_size(*this, kernel.size() - 1, g.in_w);
  return g;
}

std::string ConvOp::work() const {
  std::ostringstream text;
  const auto list = [&text](const char* name, const std::vector<int64_t>& values) {
    text << name;
    for (const int64_t v : values) text << " " << v;
  };
  list("kernel", kernel);
  list(" stride", stride);
  list(" dilate", dilate);
  list(" pad", pad_begin);
  list(" and", pad_end);
  text << " groups " << num_group << " filters " << num_filter << " to "
       << (size_of(stage.out_type) == 1 ? "8 bits" : name_of(stage.out_type));
  return text.str();
}

namespace {

// What may have happened where data has other channels than the weight: operators see the network's data channels-last.
std::string other_layout(const Shape& data, int64_t expected) {
  const bool flat = data.size() == 3;
  if (std::find(data.begin() + 1, data.end() - 1, expected) != data.end() - 1)
    return std::string("; the network takes ") + (flat ? "(N, C, W)" : "(N, C, H, W)") + ": is it fed " +
           (flat ? "(N, W, C)? data.transpose((0, 2, 1))" : "(N, H, W, C)? data.transpose((0, 3, 1, 2))") + " turns it";
  if (data.back() == 1) return "; are the images grey? data.repeat(" + std::to_string(expected) + ", axis=1)";
  return "";
}

}  // namespace

void ConvOp::infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const {
  const Shape& data = (*in)[0];
  const size_t rank = kernel.size();
  MXQ_CHECK(data.size() == rank + 2,
            "data has " << data.size() << " dimensions, not the " << rank + 2 << " of "
                        << (rank == 1 ? "(N, C, W)" : "(N, C, H, W)") << " that the network takes"
                        << (data.size() == rank + 1 ? "; is the axis of examples missing? data.expand_dims(0) adds one"
                                                    : ""));
  int64_t padded = data[0];  // what kernels copy, at most
  for (size_t i = 1; i < data.size(); ++i) {
    MXQ_CHECK(data[i] != 0, "data has shape " << shape_text(data) << "; only the batch may be empty");
    const bool spatial = i <= rank;
    padded = size_product(padded, data[i] < 0 ? -1 : data[i] + (spatial ? pad_begin[i - 1] + pad_end[i - 1] : 0));
  }
  const int64_t channels = data.back();
  MXQ_CHECK(channels < 0 || channels % num_group == 0,
            "data has " << channels << " channels, not a multiple of num_group=" << num_group);
  Shape& weight = (*in)[1];
  if (weight.size() == rank + 2 && channels >= 0 && weight[1] >= 0) {
    const int64_t expected = size_product(weight[1], num_group);
    MXQ_CHECK(expected == channels, "data has " << channels << " channels, but the weight expects " << expected << " ("
                                                << weight[1] << " per group, num_group=" << num_group << ")"
                                                << other_layout(data, expected));
  }
  Shape want = {num_filter, channels < 0 ? -1 : channels / num_group};
  want.insert(want.end(), kernel.begin(), kernel.end());
  unify_shape("weight", want, &weight);
  Shape shape = {data[0]};
  for (size_t i = 0; i < rank; ++i) shape.push_back(out_size(*this, i, data[1 + i]));
  shape.push_back(num_filter);
  infer_stage_shapes(stage, num_filter, shape, in);
  out->assign(1, shape);
}

OpEntry conv_entry() {
  return {"mxq_conv",
          parse_conv,
          {{"vnni", cpu_depthwise_vnni},
           {"winograd", cpu_conv_winograd, winograd_speed},
           {"tiles", cpu_conv_tiles, tiles_speed},
           {"onednn", cpu_conv_onednn, [](const Op&, const std::vector<TensorType>&) { return 1.0; }},
           {"avx", cpu_linear_avx, [](const Op&, const std::vector<TensorType>&) { return 0.3; }},
           {"ref", ref_linear}}};
}

}  // namespace mxq
