/* commit: what pulls vectors z and their codes q together, each with a weight of its own.
 *
 *   value      (a + b) m,   m = mean over all n d elements of (z - q)^2
 *   backward   dz += 2 a dc (z - q) / (n d)        a: commitment, beta of VQ-VAE
 *              dq += 2 b dc (q - z) / (n d)        b: codebook term, 1
 *
 * The sum of a m(z, sg q) and b m(sg z, q), which are one number seen from two sides, so
 * that the differences are taken once.  A side of weight zero is left alone: codes that
 * follow a moving average take b = 0. */
#include "nn/base.h"
#include "nn/ops/inner.h"

typedef struct commit { float to_z, to_q; } commit;

static const commit *setting_of(const nn_node *y)
{
    return (const commit *)(const void *)y->attr;
}

static void shape(nn_node *y)
{
    const commit *c = setting_of(y);
    NN_NEED(nn_shape_same(&y->in[0]->shape, &y->in[1]->shape) && nn_count(y->in[0]) > 0,
            "commit: wanted two equal shapes");
    NN_NEED(c->to_z >= 0 && c->to_q >= 0, "commit: weights %g and %g below 0",
            (double)c->to_z, (double)c->to_q);
    y->shape = nn_shape1(1);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const commit *c = setting_of(y);
    const double weight = (double)c->to_z + (double)c->to_q;
    y->val[0] = (float)(weight * nn_mean_dist2(y->in[0], y->in[1], scratch));
}

static void side(nn_node *x, const nn_node *other, float weight, float dc)
{
    if (weight > 0)
        nn_grad_apart(x, other->val, 2 * weight * dc / (float)nn_count(x));
}

static void backward(nn_node *y, nn_arena *scratch)
{
    const commit *c = setting_of(y);
    (void)scratch;
    side(y->in[0], y->in[1], c->to_z, y->grad[0]);
    side(y->in[1], y->in[0], c->to_q, y->grad[0]);
}

nn_node *nn_commit(nn_tape *t, nn_node *z, nn_node *q, float to_z, float to_q)
{
    const commit c = { to_z, to_q };
    return nn_record(t, &nn_op_commit, (nn_node *[]){ z, q }, 2, &c, sizeof c);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_commit(t, in[0], in[1], 0.25f, 1);
}

const nn_op nn_op_commit = { "commit", shape, forward, backward,
    { 2, { { 2, { 3, 5 } }, { 2, { 3, 5 } } }, example }, NN_SURROGATE, NULL };
