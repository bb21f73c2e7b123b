/* mlp: pixels -> hidden -> out, each a linear layer with BatchNorm and ReLU.
 *
 *   h = relu(bn2(W2 relu(bn1(W1 x))))
 *
 * The cheapest backbone: 0.53 million multiplications for a 28 x 28 image. */
#include "nn/model.h"

typedef struct mlp_config { int hidden, out; double width; } mlp_config;

static const nn_setting settings[] = {
    NN_SET_I(mlp_config, hidden, 512, 1, 65536, "units of the hidden layer"),
    NN_SET_I(mlp_config, out, 256, 1, 65536, "width of the representation h"),
    NN_SET_F(mlp_config, width, 1, 0.01, 64, "multiplies both"),
    NN_SET_END
};

typedef struct mlp {
    nn_linear_layer fc1, fc2;
    nn_bn_layer bn1, bn2;
} mlp;

static void *build(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    const mlp_config *c = config;
    int hidden = nn_model_width(c->hidden, c->width),
        out = nn_model_width(c->out, c->width);
    mlp *m = NN_NEW(s->arena, mlp, 1);

    m->fc1 = nn_linear_new(s, "fc1", in.h * in.w * in.c, hidden, NN_NO_BIAS);
    m->bn1 = nn_bn_new(s, "bn1", hidden, NN_AFFINE);
    m->fc2 = nn_linear_new(s, "fc2", hidden, out, NN_NO_BIAS);
    m->bn2 = nn_bn_new(s, "bn2", out, NN_AFFINE);
    *width = out;
    return m;
}

static nn_node *forward(nn_tape *t, const void *state, nn_node *x)
{
    const mlp *m = state;
    int n = x->shape.dim[0];

    x = nn_reshape(t, x, nn_shape2(n, (int)(nn_count(x) / (size_t)n)));
    x = nn_bn_apply(t, &m->bn1, nn_linear_apply(t, &m->fc1, x), NULL, NN_RELU);
    return nn_bn_apply(t, &m->bn2, nn_linear_apply(t, &m->fc2, x), NULL, NN_RELU);
}

const nn_model nn_model_mlp = {
    .name = "mlp", .about = "two linear layers with BatchNorm, 512 and 256 units",
    .config_size = sizeof(mlp_config), .settings = settings, .build = build,
    .forward = forward, .vectors = 1
};
