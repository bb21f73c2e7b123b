/* Whitening by Newton's iteration, the spectral transformation of INTL ("Modulate Your
 * Spectrum in Self-Supervised Learning", Weng et al., 2024).  With A the batch less its
 * means (c numbers in each), Sigma = AA'/(c - 1) or A'A/(c - 1) and S = Sigma / tr Sigma:
 *
 *   P_0 = 1      P_t+1 = 3/2 P_t - 1/2 P_t^3 S      Y = P_T A / sqrt(tr Sigma)
 *
 * An eigenvalue l of S becomes l phi(l)^2 with phi(0) = 1.5^T and phi(l) -> 1/sqrt(l): at
 * most one, and the less the smaller it was.  So Y is not quite white, and no eigenvalue,
 * however small, is blown up without bound: a spectrum is modulated, not made equal.
 *
 * P^3 S as it stands is unstable: rounding in P that does not commute with S grows by the
 * ratio of two eigenvalues every time (in float32 the largest came out as 1.5 after 8
 * iterations).  With B_t = P_t Â and Â = A / |A| (whiten.h), so that tr Sigma =
 * |A|^2 / (c - 1), the same iteration reads P_t^3 S Â = B_t B_t' B_t, and is stable, as
 * each turn looks at what the one before really made:
 *
 *   forward    B_0 = Â    Z_t = 3/2 - 1/2 B_t B_t'    B_t+1 = Z_t B_t
 *              Y = sqrt(c - 1) B_T
 *   backward   D = dY;  from t = T - 1 down to 0:  D = Z_t D - sym(D B_t') B_t
 *              dA = (D - <D, Â> Â) sqrt(c - 1) / |A|      dX = dA less its means
 *
 * sym(M) is (M + M')/2.  Where Â'Â is the smaller, B'B takes the place of BB' and Z
 * multiplies from the right.  The line with <D, Â> is the trace division: the length of A
 * does not change Y.  A = 0 (every row, or every column, constant) gives Y = 0 and no
 * gradient.  Against float64, Y and dX are off by 5e-7 of their largest elements after up
 * to 8 iterations (tests/test_whiten.c). */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/ops/columns.h"
#include "nn/ops/whiten.h"

typedef struct settings { int iterations; nn_axis axis; } settings;

/* What forward keeps: |A|, all B_t and all Z_t. */
typedef struct kept { float *size, *b, *z; } kept;

enum { DOUBLE = sizeof(double) / sizeof(float) };

static settings settings_of(const nn_node *y)
{
    settings s;
    memcpy(&s, y->attr, sizeof s);
    return s;
}

static kept kept_of(const nn_node *y)
{
    float *b = y->keep + DOUBLE;
    return (kept){ y->keep, b, b + nn_count(y) * (size_t)settings_of(y).iterations };
}

static void iternorm_shape(nn_node *y)
{
    const settings s = settings_of(y);
    nn_whiten_freedom(y->in[0], s.axis);
    NN_NEED(s.iterations >= 1, "iternorm: %d iterations", s.iterations);
    y->shape = y->in[0]->shape;
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y), m = nn_short_side(n, d);
    y->kept = DOUBLE + (n * d + m * m) * (size_t)s.iterations;
}

/* Z = 3/2 - 1/2 B B' (m, m) */
static void step(size_t n, size_t d, const float *b, float *z, nn_arena *scratch)
{
    const size_t m = nn_short_side(n, d);
    nn_short_pair(n, d, b, b, z, scratch);
    nn_matrix_scale(m * m, -0.5f, z);
    for (size_t i = 0; i < m; i++)
        z[i * m + i] += 1.5f;
}

static void iternorm_forward(nn_node *y, nn_arena *scratch)
{
    const settings s = settings_of(y);
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y), m = nn_short_side(n, d);
    const kept k = kept_of(y);
    const double size = nn_unit_centred(n, d, s.axis, y->in[0]->val, k.b, scratch);
    const double free = (double)nn_whiten_freedom(y->in[0], s.axis);
    float *b = k.b, *z = k.z;

    memcpy(k.size, &size, sizeof size);
    for (int t = 0; t < s.iterations; t++, b += n * d, z += m * m) {
        float *next = t == s.iterations - 1 ? y->val : b + n * d;
        step(n, d, b, z, scratch);
        nn_short_turn(n, d, z, b, 0, next, scratch);
    }
    nn_matrix_scale(n * d, (float)sqrt(free), y->val);
}

static void iternorm_backward(nn_node *y, nn_arena *scratch)
{
    const settings s = settings_of(y);
    const size_t n = (size_t)nn_rows(y), d = (size_t)nn_cols(y), m = nn_short_side(n, d);
    const kept k = kept_of(y);
    const double free = (double)nn_whiten_freedom(y->in[0], s.axis);
    float *g = NN_NEW(scratch, float, m * m);
    float *one = NN_NEW(scratch, float, n * d), *two = NN_NEW(scratch, float, n * d);
    const float *from = y->grad;
    double size;
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    if (!dx)
        return;
    memcpy(&size, k.size, sizeof size);
    for (int t = s.iterations - 1; t >= 0; t--) {
        const float *b = k.b + (size_t)t * n * d, *z = k.z + (size_t)t * m * m;
        float *to = from == one ? two : one;
        nn_short_pair(n, d, from, b, g, scratch);
        nn_symmetric_part(m, -1, g);
        nn_short_turn(n, d, z, from, 0, to, scratch);
        nn_short_turn(n, d, g, b, 1, to, scratch);
        from = to;
    }
    nn_unit_centred_back(n, d, s.axis, k.b, size, size == 0 ? 0 : sqrt(free),
                         nn_matrix_dot(n, d, from, k.b, scratch), from, add, dx, scratch);
}

nn_node *nn_iternorm(nn_tape *t, nn_node *x, int iterations, nn_axis axis)
{
    settings s = { iterations, axis };
    return nn_record(t, &nn_op_iternorm, &x, 1, &s, sizeof s);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_iternorm(t, in[0], 4, NN_OVER_CHANNELS);
}

const nn_op nn_op_iternorm = { "iternorm", iternorm_shape, iternorm_forward,
    iternorm_backward, { 1, { { 2, { 4, 6 } } }, example }, 0, NULL };
