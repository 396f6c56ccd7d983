// Marks a plain loop to be compiled for several instruction sets; the loader picks the best one the machine has.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define MXQ_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define MXQ_CLONES __attribute__((target_clones("avx2", "default")))  // older compilers do not know the levels
#else
#define MXQ_CLONES
#endif
