/* gelu: x times the probability that a normal number is below x, in its exact form.
 *
 *   forward    y = x Phi(x)                Phi(x) = (1 + erf(x / sqrt 2)) / 2
 *   backward   dx += dy (Phi(x) + x phi(x))    phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
 *
 * (Hendrycks, Gimpel, "Gaussian Error Linear Units", 2016; how Phi is had: vmath.h.)
 *
 * Errors: y is within 1e-7 max(|x|, 1) and y' within 1.8e-7 everywhere; for x < 0, where
 * y fades, it is within (6 + x^2) 2^-24 of itself until it leaves the normal floats.
 * tests/test_autoencoder.c holds all three (worst of 200,000 numbers: 8.7e-8, 1.5e-7 and
 * 1.07 times (4 + x^2) 2^-24). */
#include "nn/base.h"
#include "nn/ops/inner.h"

enum { CHUNK = 1024 };          /* elements of a job */

/* keeps y', which backward would have to work out anew */
static void shape(nn_node *y)
{
    y->shape = y->in[0]->shape;
    y->kept = nn_count(y);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i += CHUNK)
        nn_kern_now->gelu(n - i < CHUNK ? n - i : CHUNK, y->in[0]->val + i, y->val + i,
                          y->keep + i);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    const size_t n = nn_count(y);
    (void)scratch;
    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++) {
        float g = y->grad[i] * y->keep[i];
        dx[i] = add ? dx[i] + g : g;
    }
}

nn_node *nn_gelu(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_gelu, &x, 1, NULL, 0);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_gelu(t, in[0]);
}

const nn_op nn_op_gelu = { "gelu", shape, forward, backward,
    { 1, { { 2, { 4, 6 } } }, example }, 0, NULL };
