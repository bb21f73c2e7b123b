/* The table for NEON.  Part of every aarch64, so it needs no flags; nothing on other
 * machines (32-bit ARM included, whose NEON has no division and flushes denormals). */
#include "nn/kern/lanes.h"

#if defined(__aarch64__)
#if !defined(__ARM_NEON) || !defined(__ARM_FEATURE_FMA)
#error "nn/kern/neon.c wants the vector unit: no -march with +nosimd or +nofp"
#endif
#include <math.h>

#include "nn/kern/lanes_neon.h"

/* 24 registers of sums, 4 of B, 1 or 2 of A, of 32; one more row would fill them all */
enum { MR = 6, NV = 1, DR = 6, DV = 1 };

#include "nn/kern/body.h"

const nn_kern nn_kern_neon = NN_KERN_TABLE("neon");
#endif
