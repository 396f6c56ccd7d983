// Ties the operator table to MXNet's registry.
#pragma once

#include "../core/op.h"

namespace mxq {

// MXNet calls back with one of the function pointers that an operator was registered with, and nothing else that says
// which operator is meant. The pointers registered here are never called by MXNet (abi.cc replaces what would call
// them); each is a function of its own that returns the row of the table.
using EntryKey = const OpEntry& (*)();
using AnyFunction = void (*)();  // what any function pointer may be cast to and back

template <class Callback>
const OpEntry& entry_of(Callback callback) {
  return reinterpret_cast<EntryKey>(reinterpret_cast<AnyFunction>(callback))();
}

}  // namespace mxq
