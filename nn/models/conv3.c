/* conv3: three 3 x 3 convolutions of stride 2, each with BatchNorm and ReLU, then the mean
 * over all pixels.
 *
 *   28 x 28 x 1 -> 14 x 14 x 16 -> 7 x 7 x 32 -> 4 x 4 x 64 -> h (64)
 *
 * Small enough for a demonstration in minutes: 0.55 million multiplications an image. */
#include <stdio.h>

#include "nn/model.h"

enum { LAYERS = 3 };

typedef struct conv3_config { double width; } conv3_config;

static const nn_setting settings[] = {
    NN_SET_F(conv3_config, width, 1, 0.01, 64, "multiplies the channels 16, 32, 64"),
    NN_SET_END
};

typedef struct conv3 {
    nn_conv_layer conv[LAYERS];
    nn_bn_layer bn[LAYERS];
} conv3;

static void *build(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    static const int channels[LAYERS] = { 16, 32, 64 };
    const conv3_config *c = config;
    conv3 *m = NN_NEW(s->arena, conv3, 1);
    int from = in.c;

    for (int i = 0; i < LAYERS; i++) {
        int to = nn_model_width(channels[i], c->width);
        char name[16];
        snprintf(name, sizeof name, "conv%d", i + 1);
        m->conv[i] = nn_conv_new(s, name, from, to, 3, 2, 1, NN_NO_BIAS, NN_INIT_FAN_IN);
        snprintf(name, sizeof name, "bn%d", i + 1);
        m->bn[i] = nn_bn_new(s, name, to, NN_AFFINE);
        from = to;
    }
    *width = from;
    return m;
}

static nn_node *forward(nn_tape *t, const void *state, nn_node *x)
{
    const conv3 *m = state;
    for (int i = 0; i < LAYERS; i++)
        x = nn_bn_apply(t, &m->bn[i], nn_conv_apply(t, &m->conv[i], x), NULL, NN_RELU);
    return nn_globalpool(t, x);
}

const nn_model nn_model_conv3 = {
    .name = "conv3", .about = "three 3x3 convolutions of stride 2, 16-32-64 channels",
    .config_size = sizeof(conv3_config), .settings = settings, .build = build,
    .forward = forward
};
