/* identity: the numbers of an image as they are, h = x, and back.
 *
 * No layer and no parameter: for vectors that are features already, and for quantisers
 * tried on features that stay what they are.  The map is a single vector, (n, 1, 1, r). */
#include "nn/model.h"

static const nn_setting settings[] = { NN_SET_END };

typedef struct identity { nn_image_shape image; int numbers; } identity;

static void *build(nn_store *s, const void *config, nn_image_shape in, int *width)
{
    identity *m = NN_NEW(s->arena, identity, 1);
    (void)config;

    *m = (identity){ in, in.h * in.w * in.c };
    *width = m->numbers;
    return m;
}

static void build_decoder(nn_store *s, void *state)
{
    (void)s;
    (void)state;
}

static nn_node *encode(nn_tape *t, const void *state, nn_node *x)
{
    const identity *m = state;
    return nn_reshape(t, x, nn_shape4(x->shape.dim[0], 1, 1, m->numbers));
}

static nn_node *decode(nn_tape *t, const void *state, nn_node *map)
{
    const nn_image_shape in = ((const identity *)state)->image;
    return nn_reshape(t, map, nn_shape4(map->shape.dim[0], in.h, in.w, in.c));
}

static nn_node *forward(nn_tape *t, const void *state, nn_node *x)
{
    const identity *m = state;
    return nn_reshape(t, x, nn_shape2(x->shape.dim[0], m->numbers));
}

const nn_model nn_model_identity = {
    .name = "identity", .about = "no layer: the numbers themselves, for features",
    .settings = settings, .build = build, .forward = forward, .encode = encode,
    .build_decoder = build_decoder, .decode = decode, .vectors = 1
};
