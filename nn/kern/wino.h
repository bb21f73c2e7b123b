#include <stdint.h>

/* Winograd's transforms for tiles of 4 x 4 outputs of a 3 x 3 convolution, F(4x4, 3x3)
 * (Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", 2016), points 0, 1,
 * -1, 2, -2 and infinity.  Part of body.h: 16 channels at a time, one matrix on either
 * side, first down the columns of a tile, then along its rows.
 *
 *        | 4  0 -5  0  1  0 |        | 1/4     0     0  |         | 1  0  0  0 |
 *        | 0 -4 -4  1  1  0 |        | -1/6 -1/6  -1/6  |         | 1  1  1  1 |
 *   Bt = | 0  4 -4 -1  1  0 |    G = | -1/6  1/6  -1/6  |     A = | 1 -1  1 -1 |
 *        | 0 -2 -1  2  1  0 |        | 1/24  1/12  1/6  |         | 1  2  4  8 |
 *        | 0  2 -1 -2  1  0 |        | 1/24 -1/12  1/6  |         | 1 -2  4 -8 |
 *        | 0  4  0 -5  0  1 |        |  0     0     1   |         | 0  0  0  1 |
 *
 * Down and along are functions of their own for what comes from pixels: neighbouring tiles
 * share two columns, which are so transformed once, and rows of pixels are read as they
 * lie.  The order of the operations below is part of the result's format. */

/* Asks for the line `floats` after p.  It may lie outside of every object: a wrong guess
 * about what comes next costs nothing, but C does not let a pointer go there. */
LANE const void *ahead_of(const float *p, size_t floats)
{
    return (const void *)((uintptr_t)p + floats * sizeof *p);
}

LANE void wino_bt(const vec d[6], vec t[6])
{
    vec a = v_fma(v_set1(-4), d[2], d[4]), b = v_fma(v_set1(-4), d[1], d[3]);
    vec c = v_sub(d[4], d[2]), e = v_sub(d[3], d[1]);
    t[0] = v_fma(v_set1(4), d[0], v_fma(v_set1(-5), d[2], d[4]));
    t[1] = v_add(a, b);
    t[2] = v_sub(a, b);
    t[3] = v_fma(v_set1(2), e, c);
    t[4] = v_fma(v_set1(-2), e, c);
    t[5] = v_fma(v_set1(4), d[1], v_fma(v_set1(-5), d[3], d[5]));
}

LANE void wino_at(const vec m[6], vec y[4])
{
    vec p = v_add(m[1], m[2]), q = v_sub(m[1], m[2]);
    vec r = v_add(m[3], m[4]), s = v_sub(m[3], m[4]);
    y[0] = v_add(v_add(m[0], p), r);
    y[1] = v_fma(v_set1(2), s, q);
    y[2] = v_fma(v_set1(4), r, p);
    y[3] = v_fma(v_set1(8), s, v_add(q, m[5]));
}

LANE void wino_a(const vec d[4], vec t[6])
{
    vec e = v_add(d[0], d[2]), o = v_add(d[1], d[3]);
    vec f = v_fma(v_set1(4), d[2], d[0]);
    vec p = v_fma(v_set1(4), d[3], d[1]);               /* half of 2 d1 + 8 d3 */
    t[0] = d[0];
    t[1] = v_add(e, o);
    t[2] = v_sub(e, o);
    t[3] = v_fma(v_set1(2), p, f);
    t[4] = v_fma(v_set1(-2), p, f);
    t[5] = d[3];
}

LANE void wino_g(const vec g[3], vec u[6])
{
    vec sixth = v_set1(1.0f / 6), a = v_mul(v_add(g[0], g[2]), sixth);
    vec b = v_mul(g[1], sixth);
    vec c = v_fma(g[0], v_set1(1.0f / 24), v_mul(g[2], sixth));
    vec d = v_mul(g[1], v_set1(1.0f / 12));
    u[0] = v_mul(g[0], v_set1(0.25f));
    u[1] = v_sub(v_zero(), v_add(a, b));
    u[2] = v_sub(b, a);
    u[3] = v_add(c, d);
    u[4] = v_sub(c, d);
    u[5] = g[2];
}

LANE void wino_gt(const vec m[6], vec g[3])
{
    vec p = v_mul(v_add(m[1], m[2]), v_set1(1.0f / 6)), q = v_sub(m[2], m[1]);
    vec r = v_add(m[3], m[4]), s = v_sub(m[3], m[4]);
    g[0] = v_sub(v_fma(m[0], v_set1(0.25f), v_mul(r, v_set1(1.0f / 24))), p);
    g[1] = v_fma(s, v_set1(1.0f / 12), v_mul(q, v_set1(1.0f / 6)));
    g[2] = v_add(v_sub(v_mul(r, v_set1(1.0f / 6)), p), m[5]);
}

static void wino_data_down(const float *const *row, size_t n, size_t ahead, float *t,
                           size_t step)
{
    for (size_t at = 0; at < n; at += 16) {
        size_t left = n - at;
        vec d[6], r[6];
        UNROLL
        for (int i = 0; i < 6; i++)
            d[i] = load_cols(row[i] + at, left);
        UNROLL
        for (int i = 2; i < 6; i++)
            __builtin_prefetch(ahead_of(row[i] + at, ahead), 0, 2);
        wino_bt(d, r);
        UNROLL
        for (int i = 0; i < 6; i++)
            store_cols(t + (size_t)i * step + at, left, r[i]);
    }
}

static void wino_data_along(const float *t, size_t tiles, size_t c, float *v, size_t gap)
{
    for (; tiles > 0; tiles--, t += 4 * c, v += c)
        for (size_t at = 0; at < c; at += 16) {
            size_t left = c - at;
            vec d[6], r[6];
            UNROLL
            for (int j = 0; j < 6; j++)
                d[j] = load_cols(t + (size_t)j * c + at, left);
            wino_bt(d, r);
            UNROLL
            for (int j = 0; j < 6; j++)
                store_cols(v + (size_t)j * gap + at, left, r[j]);
        }
}

static void wino_grad_down(const float *const *row, size_t n, size_t ahead, float *t,
                           size_t step)
{
    for (size_t at = 0; at < n; at += 16) {
        size_t left = n - at;
        vec d[4], r[6];
        UNROLL
        for (int i = 0; i < 4; i++)
            d[i] = load_cols(row[i] + at, left);
        UNROLL
        for (int i = 0; i < 4; i++)
            __builtin_prefetch(ahead_of(row[i] + at, ahead), 0, 2);
        wino_a(d, r);
        UNROLL
        for (int i = 0; i < 6; i++)
            store_cols(t + (size_t)i * step + at, left, r[i]);
    }
}

static void wino_grad_along(const float *t, size_t tiles, size_t c, float *v, size_t gap)
{
    for (; tiles > 0; tiles--, t += 4 * c, v += c)
        for (size_t at = 0; at < c; at += 16) {
            size_t left = c - at;
            vec d[4], r[6];
            UNROLL
            for (int j = 0; j < 4; j++)
                d[j] = load_cols(t + (size_t)j * c + at, left);
            wino_a(d, r);
            UNROLL
            for (int j = 0; j < 6; j++)
                store_cols(v + (size_t)j * gap + at, left, r[j]);
        }
}

static void wino_weight(const float *const *tap, size_t c, float *u, size_t gap)
{
    for (size_t at = 0; at < c; at += 16) {
        size_t left = c - at;
        vec t[6][3], d[3], r[6];
        for (int j = 0; j < 3; j++) {
            UNROLL
            for (int i = 0; i < 3; i++)
                d[i] = load_cols(tap[3 * i + j] + at, left);
            wino_g(d, r);
            UNROLL
            for (int i = 0; i < 6; i++)
                t[i][j] = r[i];
        }
        float *out = u + at;
        for (int i = 0; i < 6; i++) {
            wino_g(t[i], r);
            UNROLL
            for (int j = 0; j < 6; j++, out += gap)
                store_cols(out, left, r[j]);
        }
    }
}

static void wino_sum(const float *m, size_t gap, size_t c, const float *bias,
                     const nn_wino_strip *to)
{
    for (size_t x = 0; x < to->wide; x += 4, m += c)
        for (size_t at = 0; at < c; at += 16) {
            size_t left = c - at, wide = to->wide - x;
            float *y = to->y + x * c + at;
            vec t[4][6], d[6], r[4];
            vec b = bias ? load_cols(bias + at, left) : v_zero();
            UNROLL
            for (size_t i = 0; i < 4; i++)
                UNROLL
                for (size_t j = 4; j < 8; j++)
                    __builtin_prefetch(ahead_of(y, i * to->row + j * c), 1);
            for (int j = 0; j < 6; j++) {
                UNROLL
                for (int i = 0; i < 6; i++)
                    d[i] = load_cols(m + (size_t)(6 * i + j) * gap + at, left);
                wino_at(d, r);
                UNROLL
                for (int i = 0; i < 4; i++)
                    t[i][j] = r[i];
            }
            for (size_t i = 0; i < 4 && i < to->high; i++, y += to->row) {
                wino_at(t[i], r);
                UNROLL
                for (size_t j = 0; j < 4; j++) {
                    if (j >= wide)
                        continue;
                    vec s = bias ? v_add(r[j], b) : r[j];
                    if (to->add)
                        s = v_add(load_cols(y + j * c, left), s);
                    store_cols(y + j * c, left, s);
                }
            }
        }
}

static void wino_dweight(const float *m, size_t gap, size_t c, float *const *tap)
{
    for (size_t at = 0; at < c; at += 16) {
        size_t left = c - at;
        vec t[3][6], d[6], r[3];
        for (int j = 0; j < 6; j++) {
            UNROLL
            for (int i = 0; i < 6; i++)
                d[i] = load_cols(m + (size_t)(6 * i + j) * gap + at, left);
            wino_gt(d, r);
            UNROLL
            for (int i = 0; i < 3; i++)
                t[i][j] = r[i];
        }
        for (int i = 0; i < 3; i++) {
            wino_gt(t[i], r);
            UNROLL
            for (int j = 0; j < 3; j++) {
                float *w = tap[3 * i + j] + at;
                store_cols(w, left, v_add(load_cols(w, left), r[j]));
            }
        }
    }
}
