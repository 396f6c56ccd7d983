// Plain descriptions of tensors. No MXNet, oneDNN or CUDA type appears in core/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mxq {

// The numeric values are those of MXNet's type flags, so that the adapter converts by a cast.
enum class DType : int { kFloat32 = 0, kUint8 = 3, kInt32 = 4, kInt8 = 5, kUnknown = -1 };

// Dense, row-major. An unknown dimension is -1; an unknown rank is an empty shape with `known` false in the adapter.
using Shape = std::vector<int64_t>;

struct TensorType {
  DType dtype = DType::kUnknown;
  Shape shape;
  bool operator==(const TensorType& o) const { return dtype == o.dtype && shape == o.shape; }
};

// A view of memory that the host owns, or of a part of it. `version` changes when the host knows that the content
// changed.
struct Tensor {
  void* data = nullptr;
  TensorType type;
  uint64_t version = 0;
  int64_t row_bytes = 0;  // from one row of the last axis to the next, where it is a part of a wider tensor; else 0

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  const Shape& shape() const { return type.shape; }
  DType dtype() const { return type.dtype; }
  int64_t size() const;
};

int64_t num_elements(const Shape& shape);
size_t size_of(DType dtype);
const char* name_of(DType dtype);

}  // namespace mxq
