#ifndef NN_WINOGRAD_H
#define NN_WINOGRAD_H

#include "nn/kern/conv.h"

/* The same three passes as conv.h for 3 x 3 kernels of stride 1, with a quarter of the
 * multiplications.  nn_wino_fits tells from the shape alone whether they are used, so
 * that the bits do not depend on the machine. */
int  nn_wino_fits(const nn_conv *c);
void nn_wino_forward(const nn_conv *c, const float *x, const float *weight,
                     const float *bias, float *y, nn_arena *scratch);
void nn_wino_dgrad(const nn_conv *c, const float *dy, const float *weight, float *dx,
                   int add, nn_arena *scratch);
void nn_wino_wgrad(const nn_conv *c, const float *x, const float *dy, float *dweight,
                   nn_arena *scratch);

#endif
