/* Whitening by eigenvalues.  With A the batch less its means (c numbers each; whiten.h),
 * Sigma = AA'/(c - 1) or A'A/(c - 1) with eigenvalues l_i, its eigenvectors the rows of V,
 * and power p in (0, 1]:
 *
 *   Y = V' diag(max(l, eps)^(-p/2)) V A         eigenvalues l^(1 - p) come out
 *
 * p = 1 is ZCA whitening: covariance one, if l > eps; p = 1/2 takes the root of the
 * spectrum.  eps = 1e-6 of the mean of the m = min(N, d) eigenvalues that can differ from
 * zero: relative, so that the size of a batch does not matter, and small enough to change
 * nothing that float32 data tell apart (singular values a thousandth of the typical one);
 * a direction below it is not blown up further but fades with its own size.
 *
 * In terms of Â = A / |A|, S = ÂÂ' (trace 1, or Â'Â, whichever is smaller: whiten.h) and
 * f(l) = max(l, 1e-6/m)^(-p/2), which takes the trace's part in eps along:
 *
 *   forward    T = V Â    F = V' (f T)    Y = g F,   g = (c - 1)^(p/2) |A|^(1-p)
 *   backward   E = V dY   M_ij = f[l_i, l_j] (E_i . T_j + E_j . T_i)
 *              dÂ = V' (f E + M T)
 *              dA = g/|A| (dÂ - (<dÂ, Â> - (1 - p) <dY, F>) Â)    dX = dA less its means
 *
 * f[a, b] = (f(a) - f(b)) / (a - b), the divided difference (Daleckii and Krein), is the
 * derivative where eigenvalues are equal: V may turn freely there, and Y does not.
 * A = 0 gives Y = 0 and no gradient.  All of it is in double, since small eigenvalues are
 * small differences; about six products of m x m with m x max(N, d), plain loops: for
 * ablations, not for speed. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/linalg.h"
#include "nn/ops/whiten.h"

typedef struct settings { float power; nn_axis axis; } settings;

/* Numbers of a call.  The matrix lies with its shorter side in the rows: (m, k). */
typedef struct sizes {
    size_t n, d, m, k;
    double power, freedom;
    int rows_centred;                   /* means are over rows of (m, k), or columns */
} sizes;

/* What forward keeps, in double: |A|, the eigenvalues, V (m, m), T (m, k). */
typedef struct kept { double *size, *l, *v, *t; } kept;

static sizes sizes_of(const nn_node *y)
{
    settings set;
    memcpy(&set, y->attr, sizeof set);
    sizes s = { .n = (size_t)nn_rows(y->in[0]), .d = (size_t)nn_cols(y->in[0]),
                .power = (double)set.power };
    s.m = nn_short_side(s.n, s.d);
    s.k = s.n + s.d - s.m;
    s.freedom = (double)nn_whiten_freedom(y->in[0], set.axis);
    s.rows_centred = (set.axis == NN_OVER_CHANNELS) == (s.n < s.d);
    return s;
}

static kept kept_of(const nn_node *y, const sizes *s)
{
    double *size = (double *)(void *)y->keep;
    return (kept){ size, size + 1, size + 1 + s->m, size + 1 + s->m + s->m * s->m };
}

static void spectral_shape(nn_node *y)
{
    y->shape = y->in[0]->shape;
    const sizes s = sizes_of(y);
    NN_NEED(s.power > 0 && s.power <= 1, "spectral: power %g", s.power);
    y->kept = sizeof(double) / sizeof(float) * (1 + s.m + s.m * s.m + s.m * s.k);
}

/* ---- plain products in double; rows are jobs, terms in order ----------------------- */

/* C (m, k) = A B or A' B, A (m, m), B (m, k) */
static void product(size_t m, size_t k, const double *a, int turned, const double *b,
                    double *c)
{
#pragma omp parallel for schedule(static) if (m * k > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < m; i++) {
        double *ci = c + i * k;
        memset(ci, 0, sizeof *ci * k);
        for (size_t l = 0; l < m; l++) {
            const double f = a[turned ? l * m + i : i * m + l], *bl = b + l * k;
            for (size_t j = 0; j < k; j++)
                ci[j] += f * bl[j];
        }
    }
}

static double dot(size_t n, const double *x, const double *y)
{
    double s[4] = {0};                      /* element i goes to s[i mod 4] */
    for (size_t i = 0; i < n; i++)
        s[i % 4] += x[i] * y[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* C (m, m) = X Y' */
static void pair(size_t m, size_t k, const double *x, const double *y, double *c)
{
#pragma omp parallel for schedule(static) if (m * k > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++)
            c[i * m + j] = dot(k, x + i * k, y + j * k);
}

/* <X, Y> on (m, k) */
static double inner(size_t m, size_t k, const double *x, const double *y,
                    nn_arena *scratch)
{
    double *part = NN_NEW(scratch, double, m);
    for (size_t i = 0; i < m; i++)
        part[i] = dot(k, x + i * k, y + i * k);
    return nn_tree_sum(part, m);
}

/* ---- to and from (m, k) ------------------------------------------------------------ */

static size_t place(const sizes *s, size_t i, size_t j)
{
    return s->n < s->d ? i * s->d + j : j * s->d + i;
}

static double *widened(const sizes *s, const float *x, nn_arena *scratch)
{
    double *a = NN_NEW(scratch, double, s->m * s->k);
    for (size_t i = 0; i < s->m; i++)
        for (size_t j = 0; j < s->k; j++)
            a[i * s->k + j] = (double)x[place(s, i, j)];
    return a;
}

/* Takes the means away; constants give zeros to the bit, as their sums are exact. */
static void centre(const sizes *s, double *a, nn_arena *scratch)
{
    const size_t m = s->m, k = s->k;
    double *mean = NN_NEW0(scratch, double, s->rows_centred ? m : k);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < k; j++)
            mean[s->rows_centred ? i : j] += a[i * k + j];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < k; j++)
            a[i * k + j] -= mean[s->rows_centred ? i : j]
                          / (double)(s->rows_centred ? k : m);
}

/* ---- the operator ------------------------------------------------------------------ */

static double least(const sizes *s)
{
    return 1e-6 / (double)s->m;
}

static double f_of(const sizes *s, double l)
{
    double eps = least(s);
    return nn_pow(eps > l ? eps : l, -s->power / 2);    /* keeps a NaN */
}

/* f[a, b].  Nearer than 1e-5 of their size the difference would lose eleven digits; the
 * derivative half-way is then off by the square of that. */
static double divided(const sizes *s, double a, double b)
{
    if (fabs(a - b) > 1e-5 * (fabs(a) + fabs(b)))
        return (f_of(s, a) - f_of(s, b)) / (a - b);
    double mid = (a + b) / 2;
    return mid > least(s) ? -s->power / 2 * f_of(s, mid) / mid : 0;
}

/* g; 0 for a batch without variance */
static double gain(const sizes *s, double size)
{
    return size == 0 ? 0
                     : nn_pow(s->freedom, s->power / 2) * nn_pow(size, 1 - s->power);
}

static void spectral_forward(nn_node *y, nn_arena *scratch)
{
    const sizes s = sizes_of(y);
    const kept k = kept_of(y, &s);
    const size_t all = s.m * s.k;
    double *a = widened(&s, y->in[0]->val, scratch), *f = NN_NEW(scratch, double, all);

    centre(&s, a, scratch);
    const double size = *k.size = sqrt(inner(s.m, s.k, a, a, scratch));
    for (size_t i = 0; i < all && size != 0; i++)
        a[i] /= size;
    pair(s.m, s.k, a, a, k.v);
    nn_eigen_sym((int)s.m, k.v, k.l, NN_VECTORS, scratch);  /* fails with l = NaN */
    product(s.m, s.k, k.v, 0, a, k.t);
    for (size_t i = 0; i < s.m; i++) {
        const double fi = gain(&s, size) * f_of(&s, k.l[i]);
        for (size_t j = 0; j < s.k; j++)
            f[i * s.k + j] = fi * k.t[i * s.k + j];
    }
    product(s.m, s.k, k.v, 1, f, a);
    for (size_t i = 0; i < s.m; i++)
        for (size_t j = 0; j < s.k; j++)
            y->val[place(&s, i, j)] = (float)a[i * s.k + j];
}

static void spectral_backward(nn_node *y, nn_arena *scratch)
{
    const sizes s = sizes_of(y);
    const kept k = kept_of(y, &s);
    const size_t m = s.m, all = m * s.k;
    const double size = *k.size;
    double *r = widened(&s, y->grad, scratch), *e = NN_NEW(scratch, double, all);
    double *w = NN_NEW(scratch, double, m * m);
    int add;
    float *dx = nn_grad_into(y->in[0], &add);
    if (!dx)
        return;
    product(m, s.k, k.v, 0, r, e);
    pair(m, s.k, e, k.t, w);
    double turning = 0;                     /* <dY, F> = sum_i f_i E_i . T_i */
    for (size_t i = 0; i < m; i++) {
        turning += f_of(&s, k.l[i]) * w[i * m + i];
        for (size_t j = 0; j <= i; j++)
            w[i * m + j] = w[j * m + i] =
                divided(&s, k.l[i], k.l[j]) * (w[i * m + j] + w[j * m + i]);
    }
    product(m, s.k, w, 0, k.t, r);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < s.k; j++)
            r[i * s.k + j] += f_of(&s, k.l[i]) * e[i * s.k + j];
    /* <dÂ, Â> and the rest in the coordinates of V, in which Â is T */
    const double along = inner(m, s.k, r, k.t, scratch) - (1 - s.power) * turning;
    for (size_t i = 0; i < all; i++)
        r[i] -= along * k.t[i];
    product(m, s.k, k.v, 1, r, e);
    centre(&s, e, scratch);
    const double scale = size == 0 ? 0 : gain(&s, size) / size;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < s.k; j++) {
            float *to = dx + place(&s, i, j), g = (float)(scale * e[i * s.k + j]);
            *to = add ? *to + g : g;
        }
}

nn_node *nn_spectral(nn_tape *t, nn_node *x, float power, nn_axis axis)
{
    settings s = { power, axis };
    return nn_record(t, &nn_op_spectral, &x, 1, &s, sizeof s);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_spectral(t, in[0], 0.7f, NN_OVER_CHANNELS);
}

const nn_op nn_op_spectral = { "spectral", spectral_shape, spectral_forward,
    spectral_backward, { 1, { { 2, { 4, 6 } } }, example }, 0, NULL };
