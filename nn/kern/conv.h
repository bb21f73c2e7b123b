#ifndef NN_CONV_H
#define NN_CONV_H

#include "nn/arena.h"

/* 2-D convolution (cross-correlation, as the field calls it) in NHWC.
 *   x  (n, h, w, cin)    weight (cout, kh, kw, cin)    y (n, oh, ow, cout)
 *   oh = (h + 2 pad - kh) / stride + 1
 * Implicit products: patches are never stored for cin >= 8; rows of taps that fall on
 * the padding point at zeros. */
typedef struct nn_conv {
    int n, h, w, cin, cout, kh, kw, stride, pad, oh, ow;
} nn_conv;

/* Fills oh and ow; the caller sets the rest.  Returns 0 when the kernel does not fit. */
int  nn_conv_plan(nn_conv *c);

void nn_conv_forward(const nn_conv *c, const float *x, const float *weight,
                     const float *bias, float *y, nn_arena *scratch);   /* bias or NULL */
void nn_conv_dgrad(const nn_conv *c, const float *dy, const float *weight, float *dx,
                   int add, nn_arena *scratch);         /* add = 0 overwrites dx */
void nn_conv_wgrad(const nn_conv *c, const float *x, const float *dy, float *dweight,
                   nn_arena *scratch);                  /* always adds */

#endif
