// The one interface between operators and everything around them.
//
//   ops/x.cc   parses the attributes of a node into an immutable Op: arity, types, shapes. Written once for all
//   backends. ref/x.cc   the meaning of the operator in plain loops. Always built. cpu/x.cc   a faster implementation
//   of the same integers. Optional. cuda/x.cu   an implementation for GPUs, in the flavour of the library that has
//   them. op_table.inc   one row per operator; registration, tests and the benchmark read it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attrs.h"
#include "tensor.h"

namespace mxq {

// A parsed node. Immutable and shared between threads.
class Op {
 public:
  virtual ~Op() = default;
  virtual int num_inputs() const = 0;
  virtual int num_outputs() const { return 1; }
  // Fills unknown input types where the operator knows them, and all output types.
  // Throws Error when a known type is not accepted.
  virtual void infer_types(std::vector<DType>* in, std::vector<DType>* out) const = 0;
  // Called with every rank known; single dimensions may be -1. Fills unknown input shapes where the operator knows
  // them (weights), and all output shapes (-1 where an input dimension is unknown). Throws Error on a misfit.
  virtual void infer_shapes(std::vector<Shape>* in, std::vector<Shape>* out) const = 0;
  // How many operators it stands for: what caches count it as.
  virtual size_t weight() const { return 1; }

  // What a plan over several operators wants to know.
  // The input whose memory the output may have, where types and sizes agree: each element is read, if at all, before
  // the one at its place is written. -1: none.
  virtual int in_place_input() const { return -1; }
  // Whether the output holds the bytes of input 0 in the same order, so that no run is needed.
  virtual bool is_view(const Shape& /*in*/) const { return false; }
  // Whether this input is part of the output as it is, so that it may be written there: `offset` bytes behind its
  // begin.
  virtual bool is_part(int /*index*/, const std::vector<TensorType>& /*in*/, size_t* /*offset*/) const { return false; }
  // Whether the output is a part of each row of the last axis of the input, from a byte of it on.
  virtual bool is_cut(const Shape& /*in*/, size_t* /*offset*/) const { return false; }
  // Whether a kernel keeps this input in a form of its own in the slot.
  virtual bool keeps_input(int /*index*/) const { return false; }
  // Whether rows of inputs along the first axis change their order, though shapes do not show it.
  virtual bool mixes_examples(const std::vector<TensorType>& /*in*/) const { return false; }
  // Multiplications of one run.
  virtual int64_t macs(const std::vector<TensorType>& /*in*/) const { return 0; }
};

// What the caller knows of the parameters that a kernel keeps in its slot, beside what it can read.
enum class Known {
  kNothing,   // they may be any: address and version can be those of an array that was freed since
  kVersions,  // the host's arrays live as long as the slot: where address and version are the same, contents are
  kSame,      // they are those the slot was filled with
};

// What an implementation may use while it runs.
struct RunContext {
  void* stream = nullptr;                  // CUDA stream; null on CPU
  const char* label = "";                  // of the node, for what a GPU finds wrong later
  std::function<void*(size_t)> workspace;  // scratch memory, valid until run() returns. On a GPU device memory in the
                                           // order of the stream, and to be asked for once: MXNet has one such buffer
  std::shared_ptr<void>* slot = nullptr;   // private to one node of one executor: packed weights and the like.
                                           // May be empty at any call: under plain hybridize() it is new each time.
  Known known = Known::kNothing;
};

// An operator bound to input and output types (a primitive). Shared between nodes, executors and threads through
// the process-wide cache, so run() must not change the object.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const std::vector<Tensor>& in, const std::vector<Tensor>& out, RunContext* ctx) const = 0;
  // Whether the output may be a part of a wider tensor: Tensor::row_bytes.
  virtual bool writes_rows() const { return false; }
  // Whether the data, its first input, may be such a part.
  virtual bool reads_rows() const { return false; }
};

using KernelPtr = std::shared_ptr<const Kernel>;

// Returns null and a one-line reason when the implementation does not apply.
using KernelFactory = KernelPtr (*)(const Op& op, const std::vector<TensorType>& in, const std::vector<TensorType>& out,
                                    std::string* why_not);
using OpParser = std::unique_ptr<Op> (*)(const Attrs& attrs);

// Where a kernel runs, and what its tensors point to.
enum class Device { kCpu, kGpu };

struct Implementation {
  const char* name;  // "onednn", "avx", "ref": what the node attribute `backend` selects
  KernelFactory make;
  // How fast it was measured, where it applies, in a unit of its list; the fastest comes first. Those without keep
  // their places before and behind all that have one.
  double (*speed)(const Op& op, const std::vector<TensorType>& in) = nullptr;
};

struct OpEntry {
  const char* name;  // as MXNet sees it: "mxq_conv"
  OpParser parse;
  std::vector<Implementation> cpu;       // best first, "ref" last
  std::vector<Implementation> gpu = {};  // best first; filled in by a library built with CUDA
};

// All operators of op_table.inc, in its order.
const std::vector<OpEntry>& op_table();

// Parses the attributes of a node; an attribute that the operator does not know is an error.
std::unique_ptr<Op> parse_op(const OpEntry& entry, const Attrs& attrs);

// Tries the implementations in order. `backend` is the node attribute: "" or "auto" for the best, else one name.
KernelPtr make_kernel(const OpEntry& entry, const Op& op, const std::vector<TensorType>& in,
                      const std::vector<TensorType>& out, const std::string& backend, const char** chosen = nullptr,
                      Device device = Device::kCpu);

}  // namespace mxq
