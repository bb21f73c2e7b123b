#ifndef NN_LANES_H
#define NN_LANES_H

#include "nn/kern/kern.h"

/* What the lane headers and body.h share: words for the compiler, and one constant.
 *
 * The sanitizers add checks to every access; inlined and unrolled sixteen-fold that takes
 * a compiler minutes, so a sanitized build keeps the calls and the loops.  So does the
 * emulated table of tests/avx512_simde.c.  Neither changes a bit. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NN_PLAIN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define NN_PLAIN 1
#endif

/* Every loop marked UNROLL has a constant count of at most 16 and indexes registers. */
#if defined(NN_PLAIN) || defined(NN_KERN_EMULATED)
#define LANE __attribute__((noinline, unused)) static
#define UNROLL
#define ONE_BY_ONE
#else
#define LANE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define ONE_BY_ONE _Pragma("clang loop unroll(disable)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define ONE_BY_ONE _Pragma("GCC unroll 1")
#endif
#endif

/* Bits of the float just above root(1/2), where v_split cuts one octave from the next. */
enum { ROOT_HALF = 0x3f3504f3 };

#endif
