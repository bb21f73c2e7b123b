#ifndef NN_LAYER_H
#define NN_LAYER_H

#include "nn/ops.h"

/* Layers own named parameters; they are built once and applied on every tape.
 * `name` is the prefix: "layer1.0.conv1" owns "layer1.0.conv1.weight". */
typedef struct nn_linear_layer { nn_param *weight, *bias; } nn_linear_layer;
typedef struct nn_conv_layer { nn_param *weight, *bias; int stride, pad; } nn_conv_layer;
typedef struct nn_bn_layer { nn_param *weight, *bias, *mean, *var; } nn_bn_layer;

typedef enum nn_bias { NN_NO_BIAS, NN_BIAS } nn_bias;
typedef enum nn_affine { NN_NO_AFFINE, NN_AFFINE } nn_affine;
typedef enum nn_conv_init { NN_INIT_FAN_IN, NN_INIT_HE_FAN_OUT } nn_conv_init;

/* U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weight and bias (spec 1.2). */
nn_linear_layer nn_linear_new(nn_store *s, const char *name, int in, int out,
                              nn_bias bias);
nn_conv_layer   nn_conv_new(nn_store *s, const char *name, int cin, int cout, int size,
                            int stride, int pad, nn_bias bias, nn_conv_init init);
/* fan_in of a transposed convolution is cout size size, as PyTorch counts it. */
nn_conv_layer   nn_conv_transpose_new(nn_store *s, const char *name, int cin, int cout,
                                      int size, int stride, int pad, nn_bias bias);
nn_bn_layer     nn_bn_new(nn_store *s, const char *name, int channels, nn_affine affine);

nn_node *nn_linear_apply(nn_tape *t, const nn_linear_layer *l, nn_node *x);
nn_node *nn_conv_apply(nn_tape *t, const nn_conv_layer *l, nn_node *x);
nn_node *nn_conv_transpose_apply(nn_tape *t, const nn_conv_layer *l, nn_node *x);
nn_node *nn_bn_apply(nn_tape *t, const nn_bn_layer *l, nn_node *x, nn_node *residual,
                     nn_act act);

#endif
