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

/* C (n x n, row stride ldc) = A A', or C += A A' with `add`, for half the work of a
 * product.  A is n x k; for X'X hand over X with its strides swapped.  Both triangles are
 * written and equal to the bit; with `add` only what C holds on and below the diagonal
 * counts.  The bits are those of nn_gemm on A and its transpose. */
void nn_syrk(size_t n, size_t k, nn_mat a, float *c, size_t ldc, int add,
             nn_arena *scratch);

/* `count` products of one shape: item i multiplies the matrices that begin a_step and
 * b_step floats after those of item i - 1 into a C that begins c_step floats after; with
 * a step of 0 they share A or B.  The Cs must not overlap.  The epilogue, its bias
 * included, is the same for all.  The bits are those of nn_gemm item by item. */
void nn_gemm_batch(size_t count, size_t m, size_t n, size_t k, nn_mat a, size_t a_step,
                   nn_mat b, size_t b_step, float *c, size_t ldc, size_t c_step,
                   const nn_epilogue *e, nn_arena *scratch);

#endif
