#include "tensor.h"

#include "check.h"
#include "sizes.h"

namespace mxq {

int64_t num_elements(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape) n = size_product(n, d);
  return n;
}

void check_shape(const Shape& shape) {
  int64_t n = 1;
  for (int64_t d : shape) {
    MXQ_CHECK(d >= -1, "a dimension of " << d << " is no size");
    if (d > 0) n = size_product(n, d);  // a dimension of 0 excuses no other
  }
}

int64_t Tensor::size() const { return num_elements(type.shape); }

size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kUint8:
    case DType::kInt8:
      return 1;
    case DType::kUnknown:
      break;
  }
  throw Error("a tensor of unknown type has no size");
}

const char* name_of(DType dtype) {
  // The operators know the first four; MXNet may hand over the others, which then appear in an error.
  switch (static_cast<int>(dtype)) {
    case 0:
      return "float32";
    case 3:
      return "uint8";
    case 4:
      return "int32";
    case 5:
      return "int8";
    case 1:
      return "float64";
    case 2:
      return "float16";
    case 6:
      return "int64";
    case 7:
      return "bool";
    default:
      return "unknown";
  }
}

}  // namespace mxq
