/* straight and rotation: past a quantiser, whose own derivative is zero.  The value is
 * that of the codes q, bit for bit (z + (q - z) is not, in float32); the gradient goes to
 * the vectors z, and none to q.
 *
 *   straight   dz_i += dy_i
 *   rotation   dz_i += s R' dy_i,   R = I - 2 r r' + 2 u e',   s = |q_i| / |z_i|
 *              e = z_i / |z_i|,   u = q_i / |q_i|,   h = e + u,   r = h / |h|
 *
 * The first is VQ-VAE's ("Neural Discrete Representation Learning", van den Oord,
 * Vinyals, Kavukcuoglu, 2017), the second from "Restructuring Vector Quantization with
 * the Rotation Trick" (Fifty et al., 2024).  R turns e into u, so s R z_i = q_i; taken as
 * a constant it carries the gradient back the way the vector came: dz_i makes the angle
 * with z_i that dy_i makes with q_i, and vectors of one cell get different gradients.
 *
 * Lengths count as 1e-6 at least.  Where |h| < 1e-6, z_i and q_i point apart and no one
 * rotation is the right one, and in one column there is none: the gradient goes
 * straight. */
#include <math.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

static const double least = 1e-6;

/* Inputs are (q, z): a view lives as long as its first input. */
static void shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2
                && nn_shape_same(&y->in[0]->shape, &y->in[1]->shape),
            "%s: wanted two equal shapes of rows", y->op->name);
    y->shape = y->in[0]->shape;
    y->shared = 1;
}

static void forward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    y->val = y->in[0]->val;
}

static void straight_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    nn_grad_pass(y->in[1], 1, y->grad);
}

/* dz = scale dy + along_z z + along_q q, all of one row */
typedef struct turn { double scale, along_z, along_q; } turn;

/* s (dy - 2 h (h.dy) / |h|^2 + 2 e (u.dy)), its terms sorted by z and q */
static turn turn_of(size_t d, const float *z, const float *q, const float *dy)
{
    double zz = 0, qq = 0, hh = 0, hg = 0, ug = 0;
    for (size_t j = 0; j < d; j++) {
        zz += (double)z[j] * (double)z[j];
        qq += (double)q[j] * (double)q[j];
    }
    const double per_z = 1 / (zz < least * least ? least : sqrt(zz));
    const double per_q = 1 / (qq < least * least ? least : sqrt(qq));
    for (size_t j = 0; j < d; j++) {
        const double u = per_q * (double)q[j], h = per_z * (double)z[j] + u;
        hh += h * h;
        hg += h * (double)dy[j];
        ug += u * (double)dy[j];
    }
    if (hh < least * least)
        return (turn){ 1, 0, 0 };
    const double s = per_z / per_q, back = -2 * s * hg / hh;
    return (turn){ s, per_z * (back + 2 * s * ug), per_q * back };
}

static void rotation_backward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y);
    const float *q = y->in[0]->val, *z = y->in[1]->val, *dy = y->grad;
    int add;
    if (d == 1) {
        straight_backward(y, scratch);
        return;
    }
    float *dz = nn_grad_into(y->in[1], &add);
    if (!dz)
        return;
#pragma omp parallel for schedule(static) if (n * d > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        const turn t = turn_of(d, z + i * d, q + i * d, dy + i * d);
        for (size_t j = i * d; j < i * d + d; j++) {
            const float g = (float)(t.scale * (double)dy[j] + t.along_z * (double)z[j]
                                    + t.along_q * (double)q[j]);
            dz[j] = add ? dz[j] + g : g;
        }
    }
}

nn_node *nn_straight(nn_tape *t, nn_node *z, nn_node *q)
{
    return nn_record(t, &nn_op_straight, (nn_node *[]){ q, z }, 2, NULL, 0);
}

nn_node *nn_rotation(nn_tape *t, nn_node *z, nn_node *q)
{
    return nn_record(t, &nn_op_rotation, (nn_node *[]){ q, z }, 2, NULL, 0);
}

static nn_node *straight_example(nn_tape *t, nn_node *const *in)
{
    return nn_straight(t, in[0], in[1]);
}
static nn_node *rotation_example(nn_tape *t, nn_node *const *in)
{
    return nn_rotation(t, in[0], in[1]);
}

const nn_op nn_op_straight = { "straight", shape, forward, straight_backward,
    { 2, { { 2, { 3, 4 } }, { 2, { 3, 4 } } }, straight_example }, NN_SURROGATE, NULL };
const nn_op nn_op_rotation = { "rotation", shape, forward, rotation_backward,
    { 2, { { 2, { 3, 4 } }, { 2, { 3, 4 } } }, rotation_example }, NN_SURROGATE, NULL };
