// mxq_region on a GPU: the steps of a plan, launched one after another on MXNet's stream.
#include "../ops/region.h"

#include <atomic>

#include "../ops/region_plan.h"
#include "device.h"
#include "implementations.h"

namespace mxq {
namespace cuda {
namespace {

constexpr size_t kAlign = 256;

// What one state keeps between calls: tensors, and slots with packed weights.
struct Session {
  uint64_t plan;
  std::vector<std::vector<Tensor>> in, out;  // of each step
  std::vector<std::shared_ptr<void>> slots;
  std::vector<std::string> labels;
};

// Memory of the stream for a step whose needs are not known yet.
class Extra {
 public:
  explicit Extra(cudaStream_t stream) : stream_(stream) {}
  ~Extra() {
    for (void* p : blocks_) cudaFreeAsync(p, stream_);
  }
  void* take(size_t bytes) {
    void* p = nullptr;
    check(cudaMallocAsync(&p, bytes, stream_), "allocating temporary memory");
    blocks_.push_back(p);
    return p;
  }

 private:
  cudaStream_t stream_;
  std::vector<void*> blocks_;
};

class Region : public Kernel {
 public:
  Region(const RegionOp& op, const std::vector<TensorType>& in) : plan_(plan_region(op, in, Device::kGpu)) {
    static std::atomic<uint64_t> next_id{1};
    id_ = next_id++;
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    std::shared_ptr<void> kept = ctx->slot ? *ctx->slot : nullptr;
    if (!kept || static_cast<Session*>(kept.get())->plan != id_) {
      kept = new_session(ctx->label);
      if (ctx->slot) *ctx->slot = kept;
    }
    auto* session = static_cast<Session*>(kept.get());
    // One request for the tensors and for whichever step needs most; what that is, the steps have told before.
    const size_t arena = round_up(plan_.arena_bytes, kAlign), room = step_bytes_;
    char* const memory = static_cast<char*>(ctx->workspace(arena + room));
    point(in, out, memory, session);
    Extra extra(stream_of(*ctx));
    RunContext inner;
    inner.stream = ctx->stream;
    inner.known = ctx->known;
    inner.workspace = [&](size_t bytes) -> void* {
      size_t known = step_bytes_;
      while (bytes > known && !step_bytes_.compare_exchange_weak(known, bytes)) {
      }
      return bytes <= room ? memory + arena : extra.take(bytes);
    };
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const RegionStep& step = plan_.steps[i];
      inner.label = session->labels[i].c_str();
      // Weights that the region itself computes are new at every call.
      inner.slot = step.keeps_inputs && ctx->slot ? &session->slots[i] : nullptr;
      within(*step.line, [&] { step.kernel->run(session->in[i], session->out[i], &inner); });
    }
  }

 private:
  std::shared_ptr<Session> new_session(const std::string& label) const {
    auto session = std::make_shared<Session>();
    session->plan = id_;
    auto tensors = [](const std::vector<TensorType>& types) {
      std::vector<Tensor> made;
      for (const TensorType& type : types) made.push_back({nullptr, type, 0});
      return made;
    };
    for (const RegionStep& step : plan_.steps) {
      session->in.push_back(tensors(step.in_types));
      session->out.push_back(tensors(step.out_types));
      session->labels.push_back(label + ": " + step.line->label);
    }
    session->slots.resize(plan_.steps.size());
    return session;
  }

  void point(const std::vector<Tensor>& in, const std::vector<Tensor>& out, char* arena, Session* session) const {
    auto set = [&](const Place& place, Tensor* tensor) {
      tensor->data = place.of(in, out, arena);
      tensor->version = place.version(in);
      tensor->row_bytes = place.row_bytes;
    };
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const RegionStep& step = plan_.steps[i];
      for (size_t k = 0; k < step.in.size(); ++k) set(step.in[k], &session->in[i][k]);
      for (size_t k = 0; k < step.out.size(); ++k) set(step.out[k], &session->out[i][k]);
    }
  }

  const RegionPlan plan_;
  uint64_t id_;
  mutable std::atomic<size_t> step_bytes_{0};  // the most that a step has asked for
};

}  // namespace

MXQ_CUDA_FACTORY(region) {
  (void)out;
  (void)why_not;
  return std::make_shared<Region>(static_cast<const RegionOp&>(op), in);
}

}  // namespace cuda
}  // namespace mxq
