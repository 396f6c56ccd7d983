// Which instructions our own convolution loops use.
#pragma once

namespace mxq {

enum class Isa { kDefault, kAvx2, kAvx512 };  // kAvx512: F, BW, DQ, VL. kDefault: SSE2, which every x86-64 has

// The best one of this machine, capped by the environment variable MXQ_MAX_CPU_ISA=default|avx2|avx512 (for tests).
// Throws Error for another value.
Isa cpu_isa();

// Whether MXQ_MAX_CPU_ISA is set: each of its values is a machine without 8-bit dot products.
bool cpu_isa_is_capped();

// Whether AVX-512 loops with 8-bit dot products run here: not where the instructions are capped.
bool cpu_has_vnni();

// Whether 8-bit dot products run here in vectors of 256 bits, without AVX-512: not where the instructions are capped.
bool cpu_has_avx_vnni();

// Whether the processor multiplies tiles of bytes.
bool cpu_has_amx();

}  // namespace mxq
