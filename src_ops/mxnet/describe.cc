// What the library is, as JSON, for `python -m mxq info` and for tests.
#include <dnnl.h>
#include <omp.h>

#include <sstream>
#include <string>

#include "../core/op.h"
#include "node.h"

#ifndef MXQ_VERSION
#error "MXQ_VERSION is set by setup.py"
#endif

namespace {

const char* isa_name(dnnl_cpu_isa_t isa) {
  switch (isa) {
    case dnnl_cpu_isa_sse41:
      return "sse41";
    case dnnl_cpu_isa_avx:
      return "avx";
    case dnnl_cpu_isa_avx2:
      return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
      return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
      return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_fp16:
      return "avx512_core_fp16";
    case dnnl_cpu_isa_avx512_core_amx:
      return "avx512_core_amx";
    case dnnl_cpu_isa_avx512_core_amx_fp16:
      return "avx512_core_amx_fp16";
    default:
      return "other";
  }
}

void list(const char* key, std::vector<mxq::Implementation> mxq::OpEntry::*implementations, std::ostringstream* out) {
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
  const dnnl_version_t* run = dnnl_version();
  const mxq::CacheUse use = mxq::cache_use();
  out << "{\"version\": \"" << MXQ_VERSION << "\", \"mxnet\": \"1.9.1\", \"compiler\": \"" << __VERSION__
      << "\", \"onednn_compiled\": \"" << DNNL_VERSION_MAJOR << "." << DNNL_VERSION_MINOR << "." << DNNL_VERSION_PATCH
      << "\", \"onednn\": \"" << run->major << "." << run->minor << "." << run->patch << "\", \"onednn_isa\": \""
      << isa_name(dnnl_get_effective_cpu_isa()) << "\", \"threads\": " << omp_get_max_threads() << ", \"cache\": {"
      << "\"nodes\": " << use.nodes << ", \"max_nodes\": " << use.max_nodes << ", \"bound\": " << use.bound
      << ", \"max_bound\": " << use.max_bound << "}";
  list("ops", &mxq::OpEntry::cpu, &out);
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
