#include "machine.h"

#include <cpuid.h>

#include <cstdlib>
#include <cstring>

#include "isa.h"

namespace mxq {

std::string cpu_name() {
  char name[49] = {};
  for (unsigned i = 0; i < 3; ++i) {
    unsigned part[4];
    if (!__get_cpuid(0x80000002 + i, &part[0], &part[1], &part[2], &part[3])) return "unknown";
    std::memcpy(name + 16 * i, part, sizeof(part));
  }
  std::string text = name;
  unsigned version, b, c, d;  // family and model: a hypervisor may hide what the name says
  if (__get_cpuid(1, &version, &b, &c, &d)) text += " " + std::to_string(version);
  text += cpu_isa() == Isa::kAvx512 ? cpu_has_vnni() ? " avx512_vnni" : " avx512"
          : cpu_isa() == Isa::kAvx2 ? " avx2"
                                    : "";
  for (const char* cap : {"MXQ_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA"}) {
    if (const char* value = std::getenv(cap)) text += std::string(" ") + cap + "=" + value;
  }
  return text;
}

size_t cpu_cache_bytes() {
  for (const unsigned leaf : {4u, 0x8000001Du}) {  // Intel, AMD: of the cache that this core sees
    unsigned a, b, c, d;
    for (unsigned i = 0; i < 8 && __get_cpuid_count(leaf, i, &a, &b, &c, &d) && (a & 31) != 0; ++i) {
      if ((a >> 5 & 7) != 3) continue;
      return size_t{(b >> 22) + 1} * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * (size_t{c} + 1);
    }
  }
  return size_t{16} << 20;
}

}  // namespace mxq
