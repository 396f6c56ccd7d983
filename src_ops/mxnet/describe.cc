// What the library is, as JSON, for `python -m mxq info` and for tests.
#include <sstream>
#include <string>

#include "../core/op.h"
#include "../cpu/onednn_version.h"
#include "../cpu/threads.h"
#include "../cpu/tuning.h"
#include "node.h"

#ifndef MXQ_VERSION
#error "MXQ_VERSION is set by setup.py"
#endif

namespace {

void list(const char* key, std::vector<mxq::Implementation> mxq::OpEntry::* implementations, std::ostringstream* out) {
  *out << ", \"" << key << "\": {";
  const char* between = "";
  for (const mxq::OpEntry& entry : mxq::op_table()) {
    *out << between << "\"" << entry.name << "\": [";
    const char* comma = "";
    for (const mxq::Implementation& implementation : entry.*implementations) {
      *out << comma << "\"" << implementation.name << "\"";
      comma = ", ";
    }
    *out << "]";
    between = ", ";
  }
  *out << "}";
}

std::string describe() {
  std::ostringstream out;
  const mxq::OnednnVersion onednn = mxq::onednn_version();
  const mxq::CacheUse use = mxq::cache_use();
  out << "{\"version\": \"" << MXQ_VERSION << "\", \"mxnet\": \"1.9.1\", \"compiler\": \"" << __VERSION__
      << "\", \"onednn_compiled\": \"" << onednn.compiled << "\", \"onednn\": \"" << onednn.running
      << "\", \"onednn_isa\": \"" << onednn.isa << "\", \"threads\": " << mxq::operator_threads() << ", \"cache\": {"
      << "\"nodes\": " << use.nodes << ", \"max_nodes\": " << use.max_nodes << ", \"bound\": " << use.bound
      << ", \"max_bound\": " << use.max_bound << "}";
  list("ops", &mxq::OpEntry::cpu, &out);
  out << ", \"tuning\": " << mxq::tuning_as_json();
#ifdef MXQ_CUDA
  list("gpu_ops", &mxq::OpEntry::gpu, &out);
#endif
  out << "}";
  return out.str();
}

}  // namespace

// The text stays valid until the same thread calls again. Null where there is no memory for it.
extern "C" const char* mxq_describe() noexcept {
  try {
    thread_local std::string text;
    text = describe();
    return text.c_str();
  } catch (...) {
    return nullptr;
  }
}
