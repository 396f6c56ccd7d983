// The operator table and the choice of an implementation.
#include <algorithm>
#include <limits>
#include <utility>

#include "../cpu/tuning.h"
#include "check.h"
#include "op.h"
#ifdef MXQ_CUDA
#include "../cuda/implementations.h"
#endif

namespace mxq {

#define MXQ_OP(name, file) OpEntry file##_entry();
#include "../op_table.inc"
#undef MXQ_OP

const std::vector<OpEntry>& op_table() {
  static const std::vector<OpEntry> table = [] {
    std::vector<OpEntry> rows = {
#define MXQ_OP(name, file) file##_entry(),
#include "../op_table.inc"
#undef MXQ_OP
    };
#ifdef MXQ_CUDA
    for (OpEntry& entry : rows) entry.gpu = cuda_implementations(entry.name);
#endif
    return rows;
  }();
  return table;
}

std::unique_ptr<Op> parse_op(const OpEntry& entry, const Attrs& attrs) {
  std::unique_ptr<Op> op = entry.parse(attrs);
  attrs.accept("backend");  // read by whoever binds the operator
  attrs.accept("node");     // the node's name, for errors
  attrs.check_all_read();
  return op;
}

namespace {

// Nothing is to be computed: batches without examples.
class Nothing : public Kernel {
 public:
  void run(const std::vector<Tensor>&, const std::vector<Tensor>&, RunContext*) const override {}
};

std::vector<const Implementation*> by_speed(const std::vector<Implementation>& implementations, const Op& op,
                                            const std::vector<TensorType>& in, bool empty) {
  std::vector<std::pair<double, const Implementation*>> all;
  double before = std::numeric_limits<double>::infinity();
  for (const Implementation& each : implementations) {
    if (each.speed) before = 0;
    all.emplace_back(each.speed && !empty ? each.speed(op, in) : before, &each);
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<const Implementation*> order;
  for (const auto& each : all) order.push_back(each.second);
  return order;
}

}  // namespace

KernelPtr make_kernel(const OpEntry& entry, const Op& op, const std::vector<TensorType>& in,
                      const std::vector<TensorType>& out, const std::string& backend, const char** chosen,
                      Device device) {
  const bool any = backend.empty() || backend == "auto";
  bool known = any;
  std::string reasons, names;
  const std::vector<Implementation>& implementations = device == Device::kGpu ? entry.gpu : entry.cpu;
  MXQ_CHECK(!implementations.empty(), "there is no implementation for GPUs in this library");
  const bool empty =
      std::all_of(out.begin(), out.end(), [](const TensorType& type) { return num_elements(type.shape) == 0; });
  std::vector<const Implementation*> order = by_speed(implementations, op, in, empty);
  for (const Implementation& implementation : implementations) {
    names += std::string(names.empty() ? "" : ", ") + implementation.name;
  }
  bool measured = !any || empty || device != Device::kCpu;
  for (size_t i = 0; i < order.size(); ++i) {
    if (!measured && order[i]->speed) {
      measured = true;
      std::vector<const Implementation*> rest(order.begin() + i, order.end());
      rest.erase(std::find_if(rest.begin(), rest.end(), [](const Implementation* each) { return !each->speed; }),
                 rest.end());
      const auto best = order.begin() + i + fastest(entry.name, op, in, out, rest);
      std::rotate(order.begin() + i, best, best + 1);
    }
    const Implementation& implementation = *order[i];
    if (!any && backend != implementation.name) continue;
    known = true;
    if (empty) {
      if (chosen) *chosen = implementation.name;
      return std::make_shared<Nothing>();
    }
    std::string why_not;
    if (KernelPtr kernel = implementation.make(op, in, out, &why_not)) {
      if (chosen) *chosen = implementation.name;
      return kernel;
    }
    reasons += std::string(reasons.empty() ? "" : "; ") + implementation.name + ": " + why_not;
  }
  MXQ_CHECK(known, "attribute backend=" << backend << ": accepted are auto, " << names);
  throw Error("no implementation applies (attribute backend=" + (any ? std::string("auto") : backend) +
              "): " + reasons);
}

}  // namespace mxq
