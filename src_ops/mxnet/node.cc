#include "node.h"

#include <cstring>
#include <functional>
#include <map>

#include "../core/cache.h"
#include "../core/check.h"
#include "../core/sizes.h"
#include "../cpu/threads.h"
#include "../ops/given_types.h"

namespace mxq {
namespace {

// A node costs about a kilobyte; a bound node holds its primitive. Networks have hundreds of nodes, so that several
// fit. A region counts as the operators in it.
constexpr size_t kMaxNodes = 8192;
constexpr size_t kMaxBound = 4096;

// Never destroyed: MXNet's threads may run an operator while the process exits.
LruCache<std::string, ParsedNode>& nodes() {
  static auto* cache = new LruCache<std::string, ParsedNode>(kMaxNodes);
  return *cache;
}

LruCache<std::string, BoundNode>& bounds() {
  static auto* cache = new LruCache<std::string, BoundNode>(kMaxBound);
  return *cache;
}

// The last value found in each of 256 slots, by hash; private to a thread.
template <class Value>
struct Recent {
  static constexpr size_t kSlots = 256;
  struct Slot {
    std::string key;
    std::shared_ptr<const Value> value;
  };
  std::string key;  // scratch for the key that is looked for
  Slot slots[kSlots];

  template <class Make>
  const std::shared_ptr<const Value>& get(LruCache<std::string, Value>& cache, Make make) {
    Slot& slot = slots[std::hash<std::string>()(key) % kSlots];
    if (!slot.value || slot.key != key) {
      slot.value = cache.get(key, [&] {
        auto made = make();
        const size_t weight = made->weight();
        return std::make_pair(std::shared_ptr<const Value>(std::move(made)), weight);
      });
      slot.key = key;
    }
    return slot.value;
  }
};

template <class T>
void append(std::string* key, T value) {
  key->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::shared_ptr<const ParsedNode> parse(const OpEntry& entry, const RawAttrs& raw) {
  static std::atomic<uint64_t> next_id{1};
  std::map<std::string, std::string> values;
  for (int i = 0; i < raw.count; ++i) values[raw.keys[i]] = raw.values[i];
  auto node = std::make_shared<ParsedNode>();
  node->id = next_id++;
  node->entry = &entry;
  node->label = entry.name;
  node->name = values.count("node") ? values["node"] : "";
  if (values.count("node")) node->label += " '" + node->name + "'";
  node->has_content_id = values.count("content_id") && !values["content_id"].empty();
  const Attrs attrs(node->label, std::move(values));
  node->backend = attrs.get_string("backend", "auto");
  node->op = parse_op(entry, attrs);
  return node;
}

std::shared_ptr<const BoundNode> bind(const NodePtr& node, Device device, std::vector<TensorType> in) {
  const Op& op = *node->op;
  check_arity(op, static_cast<int>(in.size()));
  std::vector<DType> in_types, out_types(op.num_outputs(), DType::kUnknown);
  std::vector<Shape> in_shapes, out_shapes(op.num_outputs());
  for (const TensorType& type : in) {
    in_types.push_back(type.dtype);
    in_shapes.push_back(type.shape);
    check_shape(type.shape);
  }
  op.infer_types(&in_types, &out_types);
  op.infer_shapes(&in_shapes, &out_shapes);
  check_given_types(in, in_types, in_shapes);
  for (const Shape& shape : out_shapes) check_shape(shape);
  auto bound = std::make_shared<BoundNode>();
  bound->node = node;
  bound->device = device;
  bound->threads = operator_threads();
  bound->in = std::move(in);
  for (size_t i = 0; i < out_types.size(); ++i) bound->out.push_back({out_types[i], out_shapes[i]});
  bound->kernel = make_kernel(*node->entry, op, bound->in, bound->out, node->backend, &bound->implementation, device);
  return bound;
}

}  // namespace

void check_arity(const Op& op, int num_in, int num_out) {
  MXQ_CHECK(num_in == op.num_inputs(), "got " << num_in << " inputs; expected " << op.num_inputs());
  MXQ_CHECK(num_out == op.num_outputs() || num_out < 0, "got " << num_out << " outputs; expected " << op.num_outputs());
}

NodePtr find_node(const OpEntry& entry, const RawAttrs& attrs) {
  thread_local Recent<ParsedNode> recent;
  std::string& key = recent.key;
  key.clear();
  append(&key, &entry);
  for (int i = 0; i < attrs.count; ++i) {
    // With the terminating zeros, so that no two lists of attributes give the same key.
    key.append(attrs.keys[i], std::strlen(attrs.keys[i]) + 1);
    key.append(attrs.values[i], std::strlen(attrs.values[i]) + 1);
  }
  return recent.get(nodes(), [&] { return parse(entry, attrs); });
}

template <class Dim>
BoundPtr find_bound(const NodePtr& node, Device device, const Dim* const* dims, const int* ndims, const int* types,
                    int count) {
  thread_local Recent<BoundNode> recent;
  std::string& key = recent.key;
  key.clear();
  append(&key, node->id);
  append(&key, device);
  append(&key, operator_threads());
  for (int i = 0; i < count; ++i) {
    append(&key, types[i]);
    append(&key, ndims[i]);
    for (int j = 0; j < ndims[i]; ++j) append(&key, static_cast<int64_t>(dims[i][j]));
  }
  return recent.get(bounds(), [&] {
    std::vector<TensorType> in(count);
    for (int i = 0; i < count; ++i) {
      in[i].dtype = static_cast<DType>(types[i]);
      in[i].shape.assign(dims[i], dims[i] + ndims[i]);
    }
    return bind(node, device, std::move(in));
  });
}

template BoundPtr find_bound(const NodePtr&, Device, const int64_t* const*, const int*, const int*, int);
template BoundPtr find_bound(const NodePtr&, Device, const unsigned* const*, const int*, const int*, int);

CacheUse cache_use() { return {nodes().weight(), kMaxNodes, bounds().weight(), kMaxBound}; }

}  // namespace mxq
