/* autoencoder_toy: the small network that public code for vector quantisation trains on
 * Fashion-MNIST.
 *
 *   encoder   conv 3x3 -> 16, max-pool 2, GELU, conv 3x3 -> dim, max-pool 2
 *   decoder   upsample 2, conv 3x3 -> 16, GELU, upsample 2, conv 3x3 -> c, clamp
 *
 *   28 x 28 x 1 -> 7 x 7 x 32 -> 28 x 28 x 1, two million multiplications an image there
 *   and back.  The last line of the decoder keeps pixels in [-1, 1], where the images are
 *   expected; a pixel beyond has no gradient. */
#include "nn/base.h"
#include "nn/model.h"

typedef struct toy_config {
    int dim, clamp;
    double width;
} toy_config;

static const nn_setting settings[] = {
    NN_SET_I(toy_config, dim, 32, 1, 4096, "channels of the map"),
    NN_SET_B(toy_config, clamp, 1, "keep decoded pixels in [-1, 1]"),
    NN_SET_F(toy_config, width, 1, 0.01, 64, "multiplies the 16 channels in between"),
    NN_SET_END
};

typedef struct toy {
    nn_image_shape image;
    int hidden, dim, clamp;
    nn_conv_layer down1, down2, up1, up2;
} toy;

static nn_conv_layer new_conv(nn_store *s, const char *name, int cin, int cout)
{
    return nn_conv_new(s, name, cin, cout, 3, 1, 1, NN_BIAS, NN_INIT_FAN_IN);
}

static void *build(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    const toy_config *c = config;
    toy *m = NN_NEW(s->arena, toy, 1);
    NN_NEED(!nn_model_fits_quarter(c, in), "autoencoder_toy: images of %d x %d", in.h,
            in.w);

    *m = (toy){ .image = in, .hidden = nn_model_width(16, c->width), .dim = c->dim,
                .clamp = c->clamp };
    m->down1 = new_conv(s, "encoder.0", in.c, m->hidden);
    m->down2 = new_conv(s, "encoder.3", m->hidden, m->dim);
    *width = m->dim;
    return m;
}

static void build_decoder(nn_store *s, void *state)
{
    toy *m = state;
    m->up1 = new_conv(s, "decoder.1", m->dim, m->hidden);
    m->up2 = new_conv(s, "decoder.4", m->hidden, m->image.c);
}

static nn_node *encode(nn_tape *t, const void *state, nn_node *x)
{
    const toy *m = state;
    x = nn_gelu(t, nn_maxpool(t, nn_conv_apply(t, &m->down1, x), 2, 2, 0));
    return nn_maxpool(t, nn_conv_apply(t, &m->down2, x), 2, 2, 0);
}

static nn_node *decode(nn_tape *t, const void *state, nn_node *map)
{
    const toy *m = state;
    nn_node *x = nn_gelu(t, nn_conv_apply(t, &m->up1, nn_upsample(t, map, 2)));
    x = nn_conv_apply(t, &m->up2, nn_upsample(t, x, 2));
    return m->clamp ? nn_clamp(t, x, -1, 1) : x;
}

static nn_node *forward(nn_tape *t, const void *state, nn_node *x)
{
    return nn_globalpool(t, encode(t, state, x));
}

const nn_model nn_model_autoencoder_toy = {
    .name = "autoencoder_toy", .about = "two 3x3 convolutions with max-pooling, and back",
    .config_size = sizeof(toy_config), .settings = settings, .build = build,
    .forward = forward, .encode = encode, .build_decoder = build_decoder,
    .decode = decode, .fits = nn_model_fits_quarter
};
