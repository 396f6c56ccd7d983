// What a library that is linked on a newer system asks of glibc, by the names that glibc 2.28 has. Only in wheels for
// manylinux_2_28 (MXQ_MANYLINUX=1): libstdc++ is linked in there, and it and the compiler's headers ask for these.
// ci/wheel_symbols.py names what is missing here after a change of compiler or sources.

#include <cstddef>

// A hidden function of ours takes each reference and passes it to the symbol as glibc 2.2.5 has named it.
#define OLD(result, name, parameters, arguments)                                                      \
  extern "C" result old_##name parameters;                                                            \
  __asm__(".symver old_" #name ", " #name "@GLIBC_2.2.5");                                            \
  extern "C" result new_##name parameters __asm__(#name) __attribute__((visibility("hidden"), used)); \
  extern "C" result new_##name parameters { return old_##name arguments; }

OLD(double, log2, (double x), (x))
OLD(int, pthread_create, (void* thread, const void* attributes, void* (*run)(void*), void* argument),
    (thread, attributes, run, argument))
OLD(int, pthread_detach, (unsigned long thread), (thread))
OLD(int, pthread_join, (unsigned long thread, void** result), (thread, result))
OLD(int, pthread_once, (int* control, void (*routine)()), (control, routine))
OLD(int, pthread_sigmask, (int how, const void* set, void* before), (how, set, before))

// Before 2.33 the version of the structure was an argument.
extern "C" int old_fxstat64(int version, int file, void* found);
__asm__(".symver old_fxstat64, __fxstat64@GLIBC_2.2.5");
extern "C" int new_fstat64(int file, void* found) __asm__("fstat64") __attribute__((visibility("hidden"), used));
extern "C" int new_fstat64(int file, void* found) { return old_fxstat64(1, file, found); }

// std::random_device, which nobody here uses, asks for it since 2.36.
extern "C" long getrandom(void* buffer, size_t length, unsigned flags);
extern "C" unsigned new_arc4random() __asm__("arc4random") __attribute__((visibility("hidden"), used));
extern "C" unsigned new_arc4random() {
  unsigned number = 0;
  while (getrandom(&number, sizeof number, 0) != static_cast<long>(sizeof number)) {
  }
  return number;
}

// libstdc++ asks whether it may count references without atomics; since 2.32 glibc says so. 0: there may be threads.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
char __libc_single_threaded = 0;
