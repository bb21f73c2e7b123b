/* The table for AVX2 with FMA.  Compiled with -mavx2 -mfma; nothing on other machines. */
#include "nn/kern/lanes.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__)
#error "nn/kern/avx2.c wants -mavx2 -mfma"
#endif
#include <math.h>

#include "nn/kern/lanes_avx2.h"

/* 12 registers of sums, 2 of B, 1 or 2 of A: 16 */
enum { MR = 6, NV = 1, DR = 6, DV = 1 };

#include "nn/kern/body.h"

const nn_kern nn_kern_avx2 = NN_KERN_TABLE("avx2");
#endif
