#include "layout.h"

#include "../core/check.h"

namespace mxq {

Shape channels_last_of(const Shape& shape) {
  MXQ_CHECK(shape.size() >= 2, "data has " << shape.size() << " dimensions; layout=channels_last accepts 2 or more");
  Shape out = shape;
  out.erase(out.begin() + 1);
  out.push_back(shape[1]);
  return out;
}

Shape channels_first_of(const Shape& shape) {
  MXQ_CHECK(shape.size() >= 2, "data has " << shape.size() << " dimensions; layout=channels_first accepts 2 or more");
  Shape out = shape;
  out.pop_back();
  out.insert(out.begin() + 1, shape.back());
  return out;
}

int64_t axis_of(const Shape& shape, int64_t axis) {
  const int64_t rank = static_cast<int64_t>(shape.size());
  MXQ_CHECK(axis >= -rank && axis < rank, "attribute axis=" << axis << ": data has " << rank
                                                            << " dimensions; accepted are " << -rank << " to "
                                                            << rank - 1);
  return axis < 0 ? axis + rank : axis;
}

int get_fine_steps(const Attrs& attrs) {
  const int64_t steps = attrs.get_int("fine_steps", 1);
  if (steps < 1 || steps > 64) attrs.fail("fine_steps", "must lie in [1, 64]; 1 is off");
  return static_cast<int>(steps);
}

}  // namespace mxq
