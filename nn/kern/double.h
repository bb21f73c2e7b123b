/* Sums in double, for nn/linalg.c; included by body.h.
 *
 * A table sets DR and DV beside MR and NV: tiles of DR rows and DV vectors of 8 columns.
 * NN_PANEL is a multiple of DR and of 8 DV, so that one packed panel serves as either
 * side of a product.  The lane functions promise what their namesakes for floats do:
 *
 *   d_set1 d_load d_store           8 doubles, any alignment
 *   d_add  d_fma(a, b, c)           rounded once
 *   d_fold(a)                       sum of the lanes, folded 4-2-1 */
_Static_assert(NN_PANEL % DR == 0 && NN_PANEL % (8 * DV) == 0, "tiles fill a panel");

/* s += a' b, DR doubles by 8 DV */
LANE void step(dvec s[DR][DV], const double *a, const double *b)
{
    dvec bk[DV];
    UNROLL
    for (int v = 0; v < DV; v++)
        bk[v] = d_load(b + 8 * v);
    UNROLL
    for (int i = 0; i < DR; i++) {
        dvec ai = d_set1(a[i]);
        UNROLL
        for (int v = 0; v < DV; v++)
            s[i][v] = d_fma(ai, bk[v], s[i][v]);
    }
}

LANE void sum_double(size_t k, const double *a, const double *b, double *c, size_t ldc)
{
    dvec s[DR][DV];
    UNROLL
    for (int i = 0; i < DR; i++)
        UNROLL
        for (int v = 0; v < DV; v++)
            s[i][v] = d_load(c + (size_t)i * ldc + 8 * v);
    /* two steps to a turn: a short loop leaves the multipliers of a Zen 3 idle one
     * cycle in six */
    for (; k >= 2; k -= 2, a += 2 * NN_PANEL, b += 2 * NN_PANEL) {
        step(s, a, b);
        step(s, a + NN_PANEL, b + NN_PANEL);
    }
    if (k)
        step(s, a, b);
    UNROLL
    for (int i = 0; i < DR; i++)
        UNROLL
        for (int v = 0; v < DV; v++)
            d_store(c + (size_t)i * ldc + 8 * v, s[i][v]);
}

static void gram(size_t k, const double *a, const double *b, size_t rows, size_t cols,
                 double *c, size_t ldc)
{
    for (size_t j = 0; j < cols; j += 8 * DV)
        for (size_t i = 0; i < rows; i += DR)
            if (a != b || i + DR > j)
                sum_double(k, a + i, b + j, c + i * ldc + j, ldc);
}

/* row - u_r q - q_r u at one place; the two factors come with their signs turned */
LANE dvec turned(double *row, dvec ur, dvec qr, dvec u, dvec q)
{
    dvec x = d_fma(qr, u, d_fma(ur, q, d_load(row)));
    d_store(row, x);
    return x;
}

/* Two rows at a time: u, q, v and p are read and p is written once for both. */
static void reflect(size_t m, double *row, size_t gap, const double *u, const double *q,
                    const double *v, double *p)
{
    for (size_t r = m; r < m + 8; r += 2, row += 2 * gap) {
        const dvec u0 = d_set1(-u[r]), q0 = d_set1(-q[r]), v0 = d_set1(v[r]);
        const dvec u1 = d_set1(-u[r + 1]), q1 = d_set1(-q[r + 1]), v1 = d_set1(v[r + 1]);
        double *next = row + gap;
        dvec s0 = d_set1(0), s1 = s0;
        size_t k = 0;

        for (; k < m; k += 8) {
            dvec uk = d_load(u + k), qk = d_load(q + k), vk = d_load(v + k);
            dvec x = turned(row + k, u0, q0, uk, qk);
            dvec y = turned(next + k, u1, q1, uk, qk);
            s0 = d_fma(x, vk, s0);
            s1 = d_fma(y, vk, s1);
            d_store(p + k, d_fma(v1, y, d_fma(v0, x, d_load(p + k))));
        }
        dvec uk = d_load(u + k), qk = d_load(q + k), vk = d_load(v + k);
        s0 = d_fma(turned(row + k, u0, q0, uk, qk), vk, s0);
        s1 = d_fma(turned(next + k, u1, q1, uk, qk), vk, s1);
        p[r] += d_fold(s0);
        p[r + 1] += d_fold(s1);
    }
}
