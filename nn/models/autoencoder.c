/* autoencoder: the convolutional network of VQ-VAE (van den Oord, Vinyals, Kavukcuoglu,
 * "Neural Discrete Representation Learning", 2017), in the size of the public code for
 * CIFAR-10.
 *
 *   encoder   conv 4x4/2 -> hidden/2, ReLU, conv 4x4/2 -> hidden, ReLU, conv 3x3,
 *             blocks, ReLU, conv 1x1 -> dim:        (h, w, c) -> (h/4, w/4, dim)
 *   decoder   conv 3x3 -> hidden, blocks, ReLU, transposed 4x4/2 -> hidden/2, ReLU,
 *             transposed 4x4/2 -> c
 *   block     x + conv 1x1(ReLU(conv 3x3(ReLU(x)))),   hidden -> residual -> hidden
 *
 * `up: upsample` puts nearest upsampling and a 3x3 convolution in the place of each
 * transposed convolution, which leaves no checkerboard.  The convolutions of a block have
 * no bias, all others do, as in the public code.  Names count places in the sequence:
 * "encoder.2.weight", "decoder.1.conv1.weight"; the ReLUs and upsamplings count, too. */
#include <stdio.h>

#include "nn/base.h"
#include "nn/model.h"

enum { UP_TRANSPOSED, UP_UPSAMPLE };

typedef struct autoencoder_config {
    int hidden, residual, layers, dim, up;
    double width;
} autoencoder_config;

static const nn_setting settings[] = {
    NN_SET_I(autoencoder_config, hidden, 128, 1, 4096, "channels between the blocks"),
    NN_SET_I(autoencoder_config, residual, 32, 1, 4096, "channels inside a block"),
    NN_SET_I(autoencoder_config, layers, 2, 0, 64,
             "residual blocks of the encoder, and of the decoder"),
    NN_SET_I(autoencoder_config, dim, 64, 1, 4096, "channels of the map"),
    NN_SET_C(autoencoder_config, up, UP_TRANSPOSED, "transposed|upsample",
             "4x4 transposed convolutions, or upsampling and 3x3 convolutions"),
    NN_SET_F(autoencoder_config, width, 1, 0.01, 64, "multiplies hidden and residual"),
    NN_SET_END
};

typedef struct block { nn_conv_layer conv1, conv2; } block;

typedef struct autoencoder {
    nn_image_shape image;
    int hidden, half, residual, layers, dim, up;
    nn_conv_layer conv1, conv2, conv3, to_map;      /* encoder */
    nn_conv_layer from_map, rise1, rise2;           /* decoder */
    block *down_block, *up_block;
} autoencoder;

static nn_conv_layer new_conv(nn_store *s, const char *part, int at, int cin, int cout,
                              int size, int stride)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%d", part, at);
    return nn_conv_new(s, name, cin, cout, size, stride, size > 1, NN_BIAS,
                       NN_INIT_FAN_IN);
}

/* `layers` blocks, the first of them at place `at` */
static block *new_blocks(nn_store *s, const autoencoder *m, const char *part, int at)
{
    block *b = NN_NEW(s->arena, block, m->layers);
    for (int i = 0; i < m->layers; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s.%d.conv1", part, at + i);
        b[i].conv1 = nn_conv_new(s, name, m->hidden, m->residual, 3, 1, 1, NN_NO_BIAS,
                                 NN_INIT_FAN_IN);
        snprintf(name, sizeof name, "%s.%d.conv2", part, at + i);
        b[i].conv2 = nn_conv_new(s, name, m->residual, m->hidden, 1, 1, 0, NN_NO_BIAS,
                                 NN_INIT_FAN_IN);
    }
    return b;
}

static void *build(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    const autoencoder_config *c = config;
    autoencoder *m = NN_NEW(s->arena, autoencoder, 1);
    NN_NEED(!nn_model_fits_quarter(c, in), "autoencoder: images of %d x %d", in.h, in.w);

    *m = (autoencoder){ .image = in, .hidden = nn_model_width(c->hidden, c->width),
                        .residual = nn_model_width(c->residual, c->width),
                        .layers = c->layers, .dim = c->dim, .up = c->up };
    m->half = nn_model_width(m->hidden, 0.5);
    m->conv1 = new_conv(s, "encoder", 0, in.c, m->half, 4, 2);
    m->conv2 = new_conv(s, "encoder", 2, m->half, m->hidden, 4, 2);
    m->conv3 = new_conv(s, "encoder", 4, m->hidden, m->hidden, 3, 1);
    m->down_block = new_blocks(s, m, "encoder", 5);
    m->to_map = new_conv(s, "encoder", 6 + m->layers, m->hidden, m->dim, 1, 1);
    *width = m->dim;
    return m;
}

/* What doubles the sides. */
static nn_conv_layer new_rise(nn_store *s, const autoencoder *m, int at, int cin, int cout)
{
    char name[32];
    if (m->up == UP_UPSAMPLE)
        return new_conv(s, "decoder", at, cin, cout, 3, 1);
    snprintf(name, sizeof name, "decoder.%d", at);
    return nn_conv_transpose_new(s, name, cin, cout, 4, 2, 1, NN_BIAS);
}

static void build_decoder(nn_store *s, void *state)
{
    autoencoder *m = state;
    const int at = m->layers + 2, upsample = m->up == UP_UPSAMPLE;

    m->from_map = new_conv(s, "decoder", 0, m->dim, m->hidden, 3, 1);
    m->up_block = new_blocks(s, m, "decoder", 1);
    m->rise1 = new_rise(s, m, at + upsample, m->hidden, m->half);
    m->rise2 = new_rise(s, m, at + 2 + 2 * upsample, m->half, m->image.c);
}

static nn_node *through_blocks(nn_tape *t, const autoencoder *m, const block *b,
                               nn_node *x)
{
    for (int i = 0; i < m->layers; i++) {
        nn_node *y = nn_conv_apply(t, &b[i].conv1, nn_relu(t, x));
        x = nn_add(t, x, nn_conv_apply(t, &b[i].conv2, nn_relu(t, y)));
    }
    return nn_relu(t, x);
}

static nn_node *rise(nn_tape *t, const autoencoder *m, const nn_conv_layer *l, nn_node *x)
{
    if (m->up == UP_UPSAMPLE)
        return nn_conv_apply(t, l, nn_upsample(t, x, 2));
    return nn_conv_transpose_apply(t, l, x);
}

static nn_node *encode(nn_tape *t, const void *state, nn_node *x)
{
    const autoencoder *m = state;

    x = nn_relu(t, nn_conv_apply(t, &m->conv1, x));
    x = nn_relu(t, nn_conv_apply(t, &m->conv2, x));
    x = through_blocks(t, m, m->down_block, nn_conv_apply(t, &m->conv3, x));
    return nn_conv_apply(t, &m->to_map, x);
}

static nn_node *decode(nn_tape *t, const void *state, nn_node *map)
{
    const autoencoder *m = state;
    nn_node *x = through_blocks(t, m, m->up_block, nn_conv_apply(t, &m->from_map, map));

    return rise(t, m, &m->rise2, nn_relu(t, rise(t, m, &m->rise1, x)));
}

static nn_node *forward(nn_tape *t, const void *state, nn_node *x)
{
    return nn_globalpool(t, encode(t, state, x));
}

const nn_model nn_model_autoencoder = {
    .name = "autoencoder", .about = "convolutions to a map of a quarter's size, as VQ-VAE",
    .config_size = sizeof(autoencoder_config), .settings = settings, .build = build,
    .forward = forward, .encode = encode, .build_decoder = build_decoder,
    .decode = decode, .fits = nn_model_fits_quarter
};
