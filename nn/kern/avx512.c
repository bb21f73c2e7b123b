/* The table for AVX-512.  Compiled with -mavx512f; nothing on other machines. */
#include "nn/kern/lanes.h"

#if defined(__x86_64__) || defined(NN_KERN_EMULATED)
#if !defined(__AVX512F__) && !defined(NN_KERN_EMULATED)
#error "nn/kern/avx512.c wants -mavx512f"
#endif
#include <math.h>

#include "nn/kern/lanes_avx512.h"

/* 28 registers of sums, 2 of B, 1 or 2 of A: 32; in double 24, 3 and 1 */
enum { MR = 14, NV = 2, DR = 8, DV = 3 };

#include "nn/kern/body.h"

const nn_kern nn_kern_avx512 = NN_KERN_TABLE("avx512");
#endif
