/* mlp_autoencoder: pixels -> hidden -> dim -> hidden -> pixels, linear layers with a ReLU
 * in the middle of each half.
 *
 *   z = E2 relu(E1 x + a1) + a2,    x^ = D2 relu(D1 z + b1) + b2
 *
 * The map is a single vector, (n, 1, 1, dim). */
#include "nn/model.h"

typedef struct mlp_config { int hidden, dim; double width; } mlp_config;

static const nn_setting settings[] = {
    NN_SET_I(mlp_config, hidden, 64, 1, 65536, "units of both hidden layers"),
    NN_SET_I(mlp_config, dim, 16, 1, 65536, "channels of the map"),
    NN_SET_F(mlp_config, width, 1, 0.01, 64, "multiplies hidden"),
    NN_SET_END
};

typedef struct mlp {
    nn_image_shape image;
    int pixels, hidden, dim;
    nn_linear_layer in1, in2, out1, out2;
} mlp;

static void *build(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    const mlp_config *c = config;
    mlp *m = NN_NEW(s->arena, mlp, 1);

    *m = (mlp){ .image = in, .pixels = in.h * in.w * in.c,
                .hidden = nn_model_width(c->hidden, c->width), .dim = c->dim };
    m->in1 = nn_linear_new(s, "encoder.0", m->pixels, m->hidden, NN_BIAS);
    m->in2 = nn_linear_new(s, "encoder.2", m->hidden, m->dim, NN_BIAS);
    *width = m->dim;
    return m;
}

static void build_decoder(nn_store *s, void *state)
{
    mlp *m = state;
    m->out1 = nn_linear_new(s, "decoder.0", m->dim, m->hidden, NN_BIAS);
    m->out2 = nn_linear_new(s, "decoder.2", m->hidden, m->pixels, NN_BIAS);
}

static nn_node *encode(nn_tape *t, const void *state, nn_node *x)
{
    const mlp *m = state;
    const int n = x->shape.dim[0];

    x = nn_linear_apply(t, &m->in1, nn_reshape(t, x, nn_shape2(n, m->pixels)));
    x = nn_linear_apply(t, &m->in2, nn_relu(t, x));
    return nn_reshape(t, x, nn_shape4(n, 1, 1, m->dim));
}

static nn_node *decode(nn_tape *t, const void *state, nn_node *map)
{
    const mlp *m = state;
    const int n = map->shape.dim[0];

    nn_node *x = nn_linear_apply(t, &m->out1, nn_reshape(t, map, nn_shape2(n, m->dim)));
    x = nn_linear_apply(t, &m->out2, nn_relu(t, x));
    return nn_reshape(t, x, nn_shape4(n, m->image.h, m->image.w, m->image.c));
}

static nn_node *forward(nn_tape *t, const void *state, nn_node *x)
{
    return nn_globalpool(t, encode(t, state, x));
}

const nn_model nn_model_mlp_autoencoder = {
    .name = "mlp_autoencoder", .about = "two linear layers to a single vector, and back",
    .config_size = sizeof(mlp_config), .settings = settings, .build = build,
    .forward = forward, .encode = encode, .build_decoder = build_decoder, .decode = decode,
    .vectors = 1
};
