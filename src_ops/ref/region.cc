// The operators of a region one after the other, each value in memory of its own.
#include "../ops/region.h"

namespace mxq {
namespace {

class RefRegion : public Kernel {
 public:
  RefRegion(const RegionOp& op, const std::vector<TensorType>& in)
      : lines_(op.lines), outputs_(op.outputs), packed_(op.packed) {
    values_ = op.types(in);
    const auto types = op.with_packed(in);
    for (size_t i = 0; i < lines_->size(); ++i) {
      const RegionLine& line = (*lines_)[i];
      std::vector<TensorType> inputs;
      for (const RegionValue& v : line.inputs) inputs.push_back(v.line < 0 ? types[v.index] : values_[v.line][v.index]);
      kernels_.push_back(within(line, [&] { return make_kernel(*line.entry, *line.op, inputs, values_[i], "ref"); }));
    }
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    std::vector<std::vector<Tensor>> values;
    for (const std::vector<TensorType>& types : values_) {
      values.emplace_back();
      for (const TensorType& type : types) {
        const size_t bytes = num_elements(type.shape) * size_of(type.dtype);
        values.back().push_back({ctx->workspace(bytes), type, 0});
      }
    }
    for (size_t i = 0; i < outputs_.size(); ++i) values[outputs_[i].line][outputs_[i].index] = out[i];
    std::vector<Tensor> all = in;
    for (const PackedParam& p : packed_) all.push_back({in.back().as<char>() + p.offset, p.type, in.back().version});
    for (size_t i = 0; i < kernels_.size(); ++i) {
      const RegionLine& line = (*lines_)[i];
      std::vector<Tensor> inputs;
      for (const RegionValue& v : line.inputs) inputs.push_back(v.line < 0 ? all[v.index] : values[v.line][v.index]);
      RunContext inner;
      inner.workspace = ctx->workspace;
      within(line, [&] { kernels_[i]->run(inputs, values[i], &inner); });
    }
  }

 private:
  std::shared_ptr<const std::vector<RegionLine>> lines_;
  std::vector<RegionValue> outputs_;
  std::vector<PackedParam> packed_;
  std::vector<std::vector<TensorType>> values_;
  std::vector<KernelPtr> kernels_;
};

}  // namespace

KernelPtr ref_region(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<RefRegion>(static_cast<const RegionOp&>(op), in);
}

}  // namespace mxq
