#ifndef NN_CONV_H
#define NN_CONV_H

#include "nn/arena.h"

/* 2-D convolution (cross-correlation, as the field calls it) in NHWC.
 *   x  (n, h, w, cin)    weight (cout, kh, kw, cin)    y (n, oh, ow, cout)
 *   oh = (h + 2 pad - kh) / stride + 1
 * 3 x 3 kernels of stride 1 go by Winograd's tiles where these pay (nn_wino_fits), all
 * others here.
 * No patch is ever stored: tiles read the image through pointers, and only where the
 * padding shows is a piece of it copied with zeros around (conv.c).  All three passes
 * give the same bits for every kernel table and team. */
typedef struct nn_conv {
    int n, h, w, cin, cout, kh, kw, stride, pad, oh, ow;
} nn_conv;

/* Fills oh and ow; the caller sets the rest.  Returns 0 when the kernel does not fit, or
 * when a size is not positive (n and pad may be 0). */
int  nn_conv_plan(nn_conv *c);

/* Scratch is given back.  Each aborts when `c` was not planned. */
void nn_conv_forward(const nn_conv *c, const float *x, const float *weight,
                     const float *bias, float *y, nn_arena *scratch);   /* bias or NULL */
void nn_conv_dgrad(const nn_conv *c, const float *dy, const float *weight, float *dx,
                   int add, nn_arena *scratch);         /* add = 0 overwrites dx */
void nn_conv_wgrad(const nn_conv *c, const float *x, const float *dy, float *dweight,
                   nn_arena *scratch);                  /* always adds */

#endif
