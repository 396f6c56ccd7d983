#include "register.h"

#include <mxnet/lib_api.h>

#include <sstream>
#include <utility>

#include "errors.h"

namespace mxq {
namespace {

enum Row {
#define MXQ_OP(name, file) kRow_##file,
#include "../op_table.inc"
#undef MXQ_OP
  kRows
};

template <int I>
const OpEntry& entry_at() {
  return op_table()[I];
}

template <int I>
void register_row() {
  const auto key = reinterpret_cast<AnyFunction>(static_cast<EntryKey>(&entry_at<I>));
  mxnet::ext::Registry<mxnet::ext::CustomOp>::get()
      ->add(op_table()[I].name)
      .setParseAttrs(reinterpret_cast<mxnet::ext::parseAttrs_t>(key))
      .setInferType(reinterpret_cast<mxnet::ext::inferType_t>(key))
      .setInferShape(reinterpret_cast<mxnet::ext::inferShape_t>(key))
      .setCreateOpState(reinterpret_cast<mxnet::ext::createOpState_t>(key), "cpu")
#ifdef MXQ_CUDA
      .setCreateOpState(reinterpret_cast<mxnet::ext::createOpState_t>(key), "gpu")
#endif
      ;
}

template <int... I>
bool register_all(std::integer_sequence<int, I...>) {
  (register_row<I>(), ...);
  return true;
}

const bool registered = register_all(std::make_integer_sequence<int, kRows>());

}  // namespace
}  // namespace mxq

// Called by MXNet once, right after it has loaded the library. Non-zero is success.
mxnet::ext::MXReturnValue initialize(int version) {
  constexpr int kMXNet191 = 10901;
  if (version == kMXNet191 && mxq::registered) return mxnet::ext::MX_SUCCESS;
  std::ostringstream text;
  text << "built for MXNet 1.9.1; this is " << version / 10000 << "." << version / 100 % 100 << "." << version % 100;
  mxq::set_error("mxq", "mxq", text.str());
  return mxnet::ext::MX_FAIL;
}
