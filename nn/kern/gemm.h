#ifndef NN_GEMM_H
#define NN_GEMM_H

#include "nn/arena.h"

/* A matrix as a product reads it: element (i, j) is p[i * rs + j * cs]; one of the two
 * strides is 1.  A transpose swaps the strides. */
typedef struct nn_mat { const float *p; size_t rs, cs; } nn_mat;

/* What happens to the sums as they are stored: C = relu(C? + AB + bias_j). */
typedef struct nn_epilogue {
    int add;                        /* 1: add to what C holds */
    int relu;
    const float *bias;              /* one per column of C, or NULL */
} nn_epilogue;

/* C (m x n, row stride ldc) from A (m x k) and B (k x n).  e may be NULL: overwrite C.
 * k = 0 gives zeros (plus bias).  Same bits for every kernel table and team. */
void nn_gemm(size_t m, size_t n, size_t k, nn_mat a, nn_mat b, float *c, size_t ldc,
             const nn_epilogue *e, nn_arena *scratch);

#endif
