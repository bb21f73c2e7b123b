#ifndef NN_THIN_H
#define NN_THIN_H

#include "nn/kern/gemm.h"

/* Products with too few terms to pay for packing both sides.  nn_thin answers 0, and has
 * done nothing, if the product is none of them: a matter of shape alone.  The arguments
 * and the bits are nn_gemm's; m, n and k are not 0, and e is not NULL. */
int  nn_thin(size_t m, size_t n, size_t k, nn_mat a, nn_mat b, float *c, size_t ldc,
             const nn_epilogue *e, nn_arena *scratch);

/* Bias and activation of an epilogue, for the block of C that begins at c and whose first
 * column is column j of the whole. */
void nn_finish(const nn_epilogue *e, size_t j, size_t m, size_t n, float *c, size_t ldc);

#endif
