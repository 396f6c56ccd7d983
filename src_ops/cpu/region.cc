// Runs the steps of a plan in one block of memory.
#include "../ops/region.h"

#include <atomic>
#include <list>
#include <mutex>

#include "../core/profile.h"
#include "../core/scratch.h"
#include "../ops/region_plan.h"
#include "packed_weights.h"

namespace mxq {
namespace {

// What one call needs besides the plan, kept for later calls: tensors, and slots with packed weights.
struct Session {
  std::vector<std::vector<Tensor>> in, out;  // of each step
  std::vector<std::shared_ptr<void>> slots;
};
using SessionPtr = std::unique_ptr<Session>;

// Sessions that no call uses at the moment, of all plans of the process: the most recent ones.
class IdleSessions {
 public:
  // One for this plan whose slots were filled with these parameters, or null.
  SessionPtr take(uint64_t plan, uint64_t params) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->plan != plan || it->params != params) continue;
      SessionPtr session = std::move(it->session);
      bytes_ -= it->bytes;
      entries_.erase(it);
      return session;
    }
    return nullptr;
  }

  void give(uint64_t plan, uint64_t params, size_t bytes, SessionPtr session) {
    std::list<Entry> dropped;  // destroyed after the lock
    std::lock_guard<std::mutex> lock(mutex_);
    entries_.push_front({plan, params, bytes, std::move(session)});
    bytes_ += bytes;
    while ((bytes_ > kMaxBytes && entries_.size() > 1) || entries_.size() > kMaxSessions) {
      bytes_ -= entries_.back().bytes;
      dropped.splice(dropped.begin(), entries_, std::prev(entries_.end()));
    }
  }

 private:
  static constexpr size_t kMaxSessions = 64, kMaxBytes = size_t{1} << 30;
  struct Entry {
    uint64_t plan, params;
    size_t bytes;
    SessionPtr session;
  };
  std::mutex mutex_;
  std::list<Entry> entries_;
  size_t bytes_ = 0;
};

// Never destroyed: MXNet's threads may run an operator while the process exits.
IdleSessions& idle_sessions() {
  static auto* sessions = new IdleSessions;
  return *sessions;
}

class CpuRegion : public Kernel {
 public:
  CpuRegion(const RegionOp& op, const std::vector<TensorType>& in) : label_(op.label), plan_(plan_region(op, in)) {
    static std::atomic<uint64_t> next_id{1};
    id_ = next_id++;
    for (int i : plan_.kept_inputs) kept_bytes_ += num_elements(in[i].shape) * size_of(in[i].dtype);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    const uint64_t params = signature(in, plan_.kept_inputs);
    SessionPtr session = idle_sessions().take(id_, params);
    const bool same_params = session != nullptr;
    if (!session) session = new_session();
    point(in, out, static_cast<char*>(ctx->workspace(plan_.arena_bytes)), session.get());

    thread_local Scratch scratch;
    RunContext inner;
    inner.workspace = [](size_t bytes) { return scratch.take(bytes); };
    Profile profile(label_);
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const RegionStep& step = plan_.steps[i];
      inner.slot = &session->slots[i];
      inner.same_params = same_params && step.keeps_inputs;
      profile.start();
      within(*step.line, [&] { step.kernel->run(session->in[i], session->out[i], &inner); });
      profile.stop([&] { return describe(step); });
      scratch.reset();
    }
    idle_sessions().give(id_, params, kept_bytes_, std::move(session));
  }

 private:
  SessionPtr new_session() const {
    auto session = std::make_unique<Session>();
    auto tensors = [](const std::vector<TensorType>& types) {
      std::vector<Tensor> made;
      for (const TensorType& type : types) made.push_back({nullptr, type, 0});
      return made;
    };
    for (const RegionStep& step : plan_.steps) {
      session->in.push_back(tensors(step.in_types));
      session->out.push_back(tensors(step.out_types));
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

  ProfileEntry describe(const RegionStep& step) const {
    return {step.line->name, step.line->entry->name, step.implementation, step.out_types[0],
            step.line->op->macs(step.in_types)};
  }

  const std::string label_;
  const RegionPlan plan_;
  uint64_t id_;
  size_t kept_bytes_ = 0;
};

}  // namespace

KernelPtr cpu_region(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>&, std::string*) {
  return std::make_shared<CpuRegion>(static_cast<const RegionOp&>(op), in);
}

}  // namespace mxq
