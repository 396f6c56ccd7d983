// What one node of a network becomes: attributes parsed once, kernels made once per set of input types.
//
// MXNet creates the state of an extension operator anew at every forward (outside static_alloc + static_shape), and
// asks for arity, types and shapes with the raw attribute strings each time. All of it is found again here, in bounded
// caches that belong to the process, through a table private to each thread that needs no lock.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "../core/op.h"

namespace mxq {

// The attributes of a node as MXNet hands them over.
struct RawAttrs {
  const char* const* keys;
  const char* const* values;
  int count;
};

struct ParsedNode {
  uint64_t id;  // never used twice, so that it can stand for the node in other keys
  const OpEntry* entry;
  std::string text;   // the attributes, as the cache key
  std::string name;   // of the node, as its attribute `node` says
  std::string label;  // "mxq_conv 'conv1'"
  std::string backend;
  bool has_content_id = false;
  std::unique_ptr<Op> op;
  size_t weight() const { return op->weight(); }
};
using NodePtr = std::shared_ptr<const ParsedNode>;

// Tensors of one call, kept so that a call allocates nothing.
struct Frame {
  std::vector<Tensor> in, out;
};

// A node bound to input types.
struct BoundNode {
  BoundNode() = default;
  BoundNode(const BoundNode&) = delete;
  ~BoundNode() { delete spare.load(); }
  size_t weight() const { return node->weight(); }

  NodePtr node;
  Device device = Device::kCpu;
  int threads = 1;  // for which the kernel was made
  std::vector<TensorType> in, out;
  KernelPtr kernel;
  const char* implementation = "";
  mutable std::atomic<Frame*> spare{nullptr};
};
using BoundPtr = std::shared_ptr<const BoundNode>;

// Throws where the host has other numbers of inputs or outputs than the operator: what a file says of a node is not
// checked by the host. num_out of -1: not asked.
void check_arity(const Op& op, int num_in, int num_out = -1);

NodePtr find_node(const OpEntry& entry, const RawAttrs& attrs);

// `dims` of input i has `ndims[i]` entries. Dim is int64_t or unsigned, as MXNet has it at the two places that ask.
template <class Dim>
BoundPtr find_bound(const NodePtr& node, Device device, const Dim* const* dims, const int* ndims, const int* types,
                    int count);

// How many operators and bound operators the process keeps at this moment, and at most.
struct CacheUse {
  size_t nodes, max_nodes, bound, max_bound;
};
CacheUse cache_use();

}  // namespace mxq
