#ifndef NN_PACK_H
#define NN_PACK_H

#include "nn/kern/gemm.h"

/* A panel is `width` rows of a matrix turned into the order in which a tile reads them:
 * out[k * width + i] = a(i, k) for i < rows, and zero for rows <= i < width. */
void nn_pack(size_t rows, size_t width, size_t k, nn_mat a, float *out);

/* The same for any number of rows: panel after panel, each `width` x k. */
void nn_pack_panels(size_t rows, size_t width, size_t k, nn_mat a, float *out);

/* One panel from pointers: out[k * width + i] = pix[k][at + i] for i < rows; what lies
 * beyond the rows is left as it was. */
void nn_pack_pixels(size_t rows, size_t width, size_t k, const float *const *pix,
                    size_t at, float *out);

/* y[j * ldy + i] = x[i * ldx + j] for i < rows, j < cols. */
void nn_turn(size_t rows, size_t cols, const float *x, size_t ldx, float *y, size_t ldy);

#endif
