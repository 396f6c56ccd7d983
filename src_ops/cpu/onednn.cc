#include "onednn.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "../core/check.h"
#include "../core/huge_pages.h"
#include "isa.h"
#include "output_stage.h"
#include "packed_weights.h"
#include "parallel.h"

namespace mxq {
namespace onednn {
namespace {

struct PackedBlock {
  std::shared_ptr<char> memory;                   // of the weights
  dnnl::memory weights, multiplier, bias, slope;  // the last three point into terms
};

struct OnednnPacked : Packed {
  std::vector<PackedBlock> blocks;
};

// A number for each distinct layout, so that kernels of several batch sizes share packed weights where they can.
std::string layout_id(const dnnl::memory::desc& desc) {
  static auto* mutex = new std::mutex;
  static auto* known = new std::vector<dnnl::memory::desc>;
  std::lock_guard<std::mutex> lock(*mutex);
  size_t i = 0;
  while (i < known->size() && !((*known)[i] == desc)) ++i;
  if (i == known->size()) known->push_back(desc);
  return " " + std::to_string(i);
}

dnnl::memory vector_memory(const std::vector<float>& values, const Block& block) {
  const dnnl::memory::desc desc({block.channels}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::a);
  return dnnl::memory(desc, engine(), const_cast<float*>(values.data()) + block.first);
}

dnnl::memory scalar_memory(const int& value) {
  const dnnl::memory::desc desc({1}, dnnl::memory::data_type::s32, dnnl::memory::format_tag::a);
  return dnnl::memory(desc, engine(), const_cast<int*>(&value));
}

// Memory of the host behind an object of oneDNN's, which costs more to make than to point elsewhere.
struct Pointed {
  dnnl::memory memory;
  void* data = nullptr;
  void make(const dnnl::memory::desc& desc) { memory = dnnl::memory(desc, engine(), nullptr); }
  void set(void* to) {
    if (to == data) return;
    memory.set_data_handle(to);
    data = to;
  }
};

// The arguments of a part, kept between the calls of a node. The packed weights live as long.
struct PartCall {
  Pointed src, dst, scratchpad;
  dnnl_exec_arg_t args[9];  // source, weights, scales, bias, slope, two zero points, scratchpad, destination
  int count = 0;
};

struct Call {
  uint64_t kernel;
  std::vector<PartCall> parts;
};

class OnednnLinear : public Kernel {
 public:
  OnednnLinear(const LinearOp& op, Linear linear, KernelPtr exact)
      : stage_(op.stage), linear_(std::move(linear)), exact_(std::move(exact)) {
    static std::atomic<uint64_t> next_id{1};
    id_ = next_id++;
    std::string layout = "onednn";
    for (const Block& block : linear_.blocks) {
      layout += layout_id(linear_.primitives[block.primitive].weights) + ":" + std::to_string(block.first);
    }
    format_ = packed_format(stage_, layout);
    for (const Primitive& each : linear_.primitives) {
      scratchpad_bytes_ = std::max(scratchpad_bytes_, (each.scratchpad.get_size() + 63) / 64 * 64);
    }
    if (stage_.in_zero_point) in_zero_ = scalar_memory(stage_.in_zero_point);
    if (stage_.out_zero_point) out_zero_ = scalar_memory(stage_.out_zero_point);
  }

  void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const override {
    const LayerParams params = layer_params(stage_, in);
    const PackedPtr found = find_packed(format_, params, ctx, [&] { return pack(params); });
    if (!is_exact(*found, in[0].dtype())) return exact_->run(in, out, ctx);
    const auto& packed = static_cast<const OnednnPacked&>(*found);
    if (stage_.sum != Sum::kNone) prefill_residual(in[stage_.residual_index()], stage_.sum_zero_point, out[0]);

    std::shared_ptr<void>* kept = kept_beside(ctx);
    std::shared_ptr<Call> call = kept ? std::static_pointer_cast<Call>(*kept) : nullptr;
    if (!call || call->kernel != id_) {
      call = make_call(packed);
      if (kept) *kept = call;
    }
    const auto parts = static_cast<int64_t>(linear_.parts.size());
    char* scratchpad = scratchpad_bytes_ ? static_cast<char*>(ctx->workspace(parts * scratchpad_bytes_)) : nullptr;
    parallel_for(parts, kBytesPerThread, [&](int64_t begin, int64_t end) {
      const OneOpenMpThread alone;
      for (int64_t i = begin; i < end; ++i) {
        const Part& part = linear_.parts[i];
        PartCall& of = call->parts[i];
        of.src.set(in[0].as<char>() + part.src);
        of.dst.set(out[0].as<char>() + part.dst * static_cast<int64_t>(size_of(out[0].dtype())));
        if (scratchpad) of.scratchpad.set(scratchpad + i * scratchpad_bytes_);
        const dnnl_status_t status = dnnl_primitive_execute(linear_.primitives[part.primitive].primitive.get(),
                                                            stream().get(), of.count, of.args);
        MXQ_CHECK(status == dnnl_success, "oneDNN could not run the kernel (status " << status << ")");
      }
    });
    if (!packed.terms.bias_int.empty()) {
      const auto channels = static_cast<int64_t>(packed.terms.bias_int.size());
      add_bias(packed.terms.bias_int, out[0].size() / channels, out[0].as<int32_t>());
    }
  }

 private:
  bool is_exact(const Packed& packed, DType data) const {
    // What int8 data has in excess, as it becomes uint8, is taken off sums of int32 output in float32.
    constexpr int64_t kFloatIntegers = 1 << 24;
    if (!fits_int32(packed, data, stage_.in_zero_point)) return false;
    if (stage_.out_type != DType::kInt32 || data != DType::kInt8) return true;
    return packed.max_abs_sum <= kFloatIntegers / 255;
  }

  std::shared_ptr<Call> make_call(const OnednnPacked& packed) const {
    auto call = std::make_shared<Call>();
    call->kernel = id_;
    call->parts.resize(linear_.parts.size());
    for (size_t i = 0; i < linear_.parts.size(); ++i) fill_call(packed, linear_.parts[i], &call->parts[i]);
    return call;
  }

  void fill_call(const OnednnPacked& packed, const Part& part, PartCall* call) const {
    const Primitive& primitive = linear_.primitives[part.primitive];
    const PackedBlock& block = packed.blocks[part.block];
    auto add = [&](int arg, const dnnl::memory& memory) { call->args[call->count++] = {arg, memory.get()}; };
    call->src.make(primitive.src);
    call->dst.make(primitive.dst);
    add(DNNL_ARG_SRC, call->src.memory);
    add(DNNL_ARG_WEIGHTS, block.weights);
    add(DNNL_ARG_DST, call->dst.memory);
    if (block.multiplier) add(DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, block.multiplier);
    if (block.bias) add(DNNL_ARG_BIAS, block.bias);
    if (block.slope) {
      const int position = stage_.sum == Sum::kBeforeAct ? 1 : 0;  // among the post-operations
      add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_WEIGHTS, block.slope);
    }
    if (in_zero_) add(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_SRC, in_zero_);
    if (out_zero_) add(DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST, out_zero_);
    if (scratchpad_bytes_) {
      call->scratchpad.make(primitive.scratchpad);
      add(DNNL_ARG_SCRATCHPAD, call->scratchpad.memory);
    }
  }

  std::shared_ptr<Packed> pack(const LayerParams& params) const {
    const OneOpenMpThread alone;
    auto packed = std::make_shared<OnednnPacked>();
    size_t bytes = 0;
    for (const Block& block : linear_.blocks) bytes += linear_.primitives[block.primitive].weights.get_size();
    describe_packed(stage_, params, bytes, packed.get());
    const int64_t row = params.weight->size() / params.weight->shape()[0];
    for (const Block& block : linear_.blocks) {
      const Primitive& primitive = linear_.primitives[block.primitive];
      PackedBlock made;
      dnnl::memory plain(primitive.weights_plain, engine(), params.weight->as<char>() + block.first * row);
      made.memory = allocate_shared(primitive.weights.get_size());
      made.weights = dnnl::memory(primitive.weights, engine(), made.memory.get());
      dnnl::reorder(plain, made.weights).execute(stream(), plain, made.weights);
      stream().wait();
      if (!packed->terms.multiplier.empty()) {
        made.multiplier = vector_memory(packed->terms.multiplier, block);
        if (params.bias) made.bias = dnnl::memory(primitive.bias, engine(), packed->terms.bias.data() + block.first);
        if (params.slope) made.slope = vector_memory(packed->terms.slope, block);
      }
      packed->blocks.push_back(std::move(made));
    }
    return packed;
  }

  OutputStage stage_;
  Linear linear_;
  KernelPtr exact_;  // for weights so many and large that a sum could leave int32, or what oneDNN keeps of it
  std::string format_;
  uint64_t id_;                  // never used twice
  size_t scratchpad_bytes_ = 0;  // of a part
  dnnl::memory in_zero_, out_zero_;
};

}  // namespace

OneOpenMpThread::OneOpenMpThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
OneOpenMpThread::~OneOpenMpThread() { omp_set_num_threads(before_); }

// Never destroyed: MXNet's threads may run an operator while the process exits.
dnnl::engine& engine() {
  static auto* e = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *e;
}

dnnl::stream& stream() {
  thread_local dnnl::stream s(engine());
  return s;
}

dnnl::memory::data_type type_of(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
      return dnnl::memory::data_type::s8;
    case DType::kUint8:
      return dnnl::memory::data_type::u8;
    case DType::kInt32:
      return dnnl::memory::data_type::s32;
    default:
      return dnnl::memory::data_type::f32;
  }
}

bool has_dot_product(std::string* why_not) {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  auto includes = [&](dnnl::cpu_isa need) {
    return (isa & static_cast<unsigned>(need)) == static_cast<unsigned>(need);
  };
  if (cpu_isa_is_capped()) {
    *why_not = "MXQ_MAX_CPU_ISA is set";
  } else if (!includes(dnnl::cpu_isa::avx2_vnni) && !includes(dnnl::cpu_isa::avx512_core_vnni)) {
    *why_not = "the processor (or ONEDNN_MAX_CPU_ISA) has no 8-bit dot product (AVX-VNNI, AVX-512 VNNI, AMX)";
  }
  return why_not->empty();
}

bool int32_is_exact(const OutputStage& stage, std::string* why_not) {
  if (stage.out_type == DType::kInt32 && stage.in_zero_point != 0) {
    *why_not = "oneDNN's int32 output passes through float32 where the input has a zero point";
  }
  return why_not->empty();
}

dnnl::primitive_attr stage_attr(const OutputStage& stage, DType residual, int scale_mask) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (stage.in_zero_point) attr.set_zero_points_mask(DNNL_ARG_SRC, 0);
  if (stage.out_type == DType::kInt32) return attr;  // the bias is added afterwards, in integers
  if (stage.out_zero_point) attr.set_zero_points_mask(DNNL_ARG_DST, 0);
  attr.set_scales_mask(DNNL_ARG_WEIGHTS, scale_mask);
  dnnl::post_ops post;
  auto add_sum = [&](Sum position) {
    if (stage.sum != position) return;
    const bool is_float = stage.out_type == DType::kFloat32;  // the destination then holds residual - zero point
    post.append_sum(stage.sum_multiplier, is_float ? 0 : stage.sum_zero_point,
                    type_of(is_float ? DType::kFloat32 : residual));
  };
  add_sum(Sum::kBeforeAct);
  switch (stage.act) {
    case Act::kRelu:
      post.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
      break;
    case Act::kClip:
      post.append_eltwise(dnnl::algorithm::eltwise_clip, stage.act_alpha, stage.act_beta);
      break;
    case Act::kLeaky:
      post.append_eltwise(dnnl::algorithm::eltwise_relu, stage.act_alpha, 0.0f);
      break;
    case Act::kPrelu:
      post.append_prelu(1 << 1);
      break;
    case Act::kNone:
      break;
  }
  add_sum(Sum::kAfterAct);
  attr.set_post_ops(post);
  return attr;
}

KernelPtr make_kernel(const LinearOp& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                      const MakeLinear& make, std::string* why_not) {
  if (!has_dot_product(why_not) || !int32_is_exact(op.stage, why_not)) return nullptr;
  const OneOpenMpThread alone;
  for (int64_t threads : {threads_here(), 1}) {  // one where parts have no kernels with the same weights
    try {
      Linear linear = make(threads, why_not);
      if (linear.parts.empty()) continue;
      why_not->clear();
      return std::make_shared<OnednnLinear>(op, std::move(linear), cpu_linear_avx(op, in, out, why_not));
    } catch (const dnnl::error& e) {
      *why_not = std::string("oneDNN: ") + e.what();
    }
  }
  return nullptr;
}

}  // namespace onednn
}  // namespace mxq
