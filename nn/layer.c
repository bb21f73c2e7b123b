#include "nn/layer.h"

#include <math.h>
#include <stdio.h>

#include "nn/base.h"

nn_linear_layer nn_linear_new(nn_store *s, const char *name, int in, int out,
                              nn_bias bias)
{
    double bound = 1 / sqrt(in);
    nn_linear_layer l = { .weight = nn_store_add_in(s, name, "weight", NN_PARAMETER,
                                                    nn_shape2(out, in)) };
    nn_init_uniform(s, l.weight, bound);
    if (bias == NN_BIAS) {
        l.bias = nn_store_add_in(s, name, "bias", NN_PARAMETER, nn_shape1(out));
        nn_init_uniform(s, l.bias, bound);
    }
    return l;
}

nn_conv_layer nn_conv_new(nn_store *s, const char *name, int cin, int cout, int size,
                          int stride, int pad, nn_bias bias, nn_conv_init init)
{
    double fan_in = (double)cin * size * size, fan_out = (double)cout * size * size;
    nn_conv_layer l = { .stride = stride, .pad = pad };

    l.weight = nn_store_add_in(s, name, "weight", NN_PARAMETER,
                               nn_shape4(cout, size, size, cin));
    if (init == NN_INIT_HE_FAN_OUT)
        nn_init_normal(s, l.weight, sqrt(2 / fan_out));
    else
        nn_init_uniform(s, l.weight, 1 / sqrt(fan_in));
    if (bias == NN_BIAS) {
        l.bias = nn_store_add_in(s, name, "bias", NN_PARAMETER, nn_shape1(cout));
        nn_init_uniform(s, l.bias, 1 / sqrt(fan_in));
    }
    return l;
}

nn_conv_layer nn_conv_transpose_new(nn_store *s, const char *name, int cin, int cout,
                                    int size, int stride, int pad, nn_bias bias)
{
    double bound = 1 / sqrt((double)cout * size * size);
    nn_conv_layer l = { .stride = stride, .pad = pad };

    l.weight = nn_store_add_in(s, name, "weight", NN_PARAMETER,
                               nn_shape4(cin, size, size, cout));
    nn_init_uniform(s, l.weight, bound);
    if (bias == NN_BIAS) {
        l.bias = nn_store_add_in(s, name, "bias", NN_PARAMETER, nn_shape1(cout));
        nn_init_uniform(s, l.bias, bound);
    }
    return l;
}

nn_bn_layer nn_bn_new(nn_store *s, const char *name, int channels, nn_affine affine)
{
    nn_shape shape = nn_shape1(channels);
    nn_bn_layer l = {0};

    if (affine == NN_AFFINE) {
        l.weight = nn_store_add_in(s, name, "weight", NN_PARAMETER, shape);
        l.bias = nn_store_add_in(s, name, "bias", NN_PARAMETER, shape);
        nn_init_constant(l.weight, 1);
    }
    l.mean = nn_store_add_in(s, name, "running_mean", NN_BUFFER, shape);
    l.var = nn_store_add_in(s, name, "running_var", NN_BUFFER, shape);
    nn_init_constant(l.var, 1);
    return l;
}

static nn_node *leaf(nn_tape *t, nn_param *p)
{
    return p ? nn_leaf(t, p) : NULL;
}

nn_node *nn_linear_apply(nn_tape *t, const nn_linear_layer *l, nn_node *x)
{
    return nn_linear(t, x, nn_leaf(t, l->weight), leaf(t, l->bias));
}

nn_node *nn_conv_apply(nn_tape *t, const nn_conv_layer *l, nn_node *x)
{
    return nn_conv2d(t, x, nn_leaf(t, l->weight), leaf(t, l->bias), l->stride, l->pad);
}

nn_node *nn_conv_transpose_apply(nn_tape *t, const nn_conv_layer *l, nn_node *x)
{
    return nn_conv_transpose2d(t, x, nn_leaf(t, l->weight), leaf(t, l->bias), l->stride,
                               l->pad);
}

nn_node *nn_bn_apply(nn_tape *t, const nn_bn_layer *l, nn_node *x, nn_node *residual,
                     nn_act act)
{
    nn_running running = { l->mean->val, l->var->val, 0.1f, 1e-5f };     /* spec 1.1 */
    return nn_batchnorm(t, x, leaf(t, l->weight), leaf(t, l->bias), residual, act,
                        running);
}
