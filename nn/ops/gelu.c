/* gelu: x times the probability that a normal number is below x, in its exact form.
 *
 *   forward    y = x Phi(x)                Phi(x) = (1 + erf(x / sqrt 2)) / 2
 *   backward   dx += dy (Phi(x) + x phi(x))    phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
 *
 * (Hendrycks, Gimpel, "Gaussian Error Linear Units", 2016.)  With t = |x|,
 *
 *   Phi(-t) = exp(-t^2 / 2) p(u),   u = (t - 3) / (t + 3),   Phi(t) = 1 - Phi(-t)
 *
 * where p(u) = erfcx(t / sqrt 2) / 2 is smooth and falls slowly.  Remez exchange on the
 * relative error in 40 digits gave the polynomial, good to 1.2e-7 for t up to 14.5 with
 * coefficients of float (1.8e-8 before); from there on the exponential is 0 in float.
 *
 * Errors: y is within 1e-7 max(|x|, 1) and y' within 1.8e-7 everywhere; for x < 0, where y
 * fades, it is within (6 + x^2) 2^-24 of itself until it leaves the normal floats.
 * tests/test_autoencoder.c holds all three (worst of 200,000 numbers: 8.7e-8, 1.5e-7 and
 * 1.07 times (4 + x^2) 2^-24). */
#include <math.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

enum { CHUNK = 1024 };          /* elements whose exponentials are taken together */

/* keeps y', which backward would have to work out anew */
static void shape(nn_node *y)
{
    y->shape = y->in[0]->shape;
    y->kept = nn_count(y);
}

/* Phi(-t) / exp(-t^2 / 2), t >= 0 */
static float tail(float t)
{
    static const float p[] = {
        0x1.f1b89cp-4f, -0x1.a6b66ap-3f, 0x1.f8bacep-4f, -0x1.7a945cp-5f, 0x1.91e05cp-8f,
        0x1.7cbb08p-9f, -0x1.01f3f0p-10f, -0x1.646e2cp-12f, 0x1.e5a2c6p-14f, 0x1.c50eeap-15f
    };
    const float end = 14.5f, s = t < end ? t : end, u = (s - 3) / (s + 3);
    float y = p[9];
    for (int i = 8; i >= 0; i--)
        y = y * u + p[i];
    return y;
}

static void some(size_t n, const float *x, float *y, float *slope)
{
    const float per_root = 0x1.988454p-2f;          /* 1 / sqrt(2 pi) */
    float *e = slope;

    for (size_t i = 0; i < n; i++)
        e[i] = -0.5f * (x[i] * x[i]);
    nn_kern_now->exp(n, e, e);
    for (size_t i = 0; i < n; i++) {
        const float below = e[i] * tail(fabsf(x[i]));
        const float phi = x[i] < 0 ? below : 1 - below;
        y[i] = x[i] * phi;
        slope[i] = phi + x[i] * (per_root * e[i]);
    }
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i += CHUNK)
        some(n - i < CHUNK ? n - i : CHUNK, y->in[0]->val + i, y->val + i, y->keep + i);
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
