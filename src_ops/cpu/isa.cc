#include "isa.h"

#include <cpuid.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "../core/check.h"

namespace mxq {
namespace {

std::string cap() {
  const char* value = std::getenv("MXQ_MAX_CPU_ISA");
  return value ? value : "";
}

Isa machine_isa() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::kDefault;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx512 ? Isa::kAvx512 : Isa::kAvx2;
}

}  // namespace

Isa cpu_isa() {
  static const Isa machine = machine_isa();
  const std::string name = cap();
  if (name.empty()) return machine;
  MXQ_CHECK(name == "default" || name == "avx2" || name == "avx512",
            "environment variable MXQ_MAX_CPU_ISA=" << name << ": accepted are default, avx2 and avx512");
  return std::min(machine, name == "default" ? Isa::kDefault : name == "avx2" ? Isa::kAvx2 : Isa::kAvx512);
}

bool cpu_isa_is_capped() { return !cap().empty(); }

bool cpu_has_vnni() {
  __builtin_cpu_init();
  return cpu_isa() == Isa::kAvx512 && !cpu_isa_is_capped() && __builtin_cpu_supports("avx512vnni");
}

bool cpu_has_avx_vnni() {  // compilers before GCC 11 do not know its name
  unsigned a, b, c, d;
  return cpu_isa() == Isa::kAvx2 && !cpu_isa_is_capped() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

bool cpu_has_amx() {  // compilers before GCC 11 do not know its name
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 25 & 1)) return false;
  unsigned low, high;  // what the system saves when it switches threads; its tiles are bits 17 and 18
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low >> 17 & 3) == 3;
}

}  // namespace mxq
