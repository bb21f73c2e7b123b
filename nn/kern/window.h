/* Windows of pixels, and rows that are mixed; part of body.h. */
#include <float.h>

/* `wide` vectors of y at once; the last of them has `left` columns. */
LANE void mix_some(size_t kc, const float *w, size_t ldw, const float *const *row,
                   size_t at, size_t left, int add, float *y, const int wide)
{
    vec s[WIDE];
    UNROLL
    for (int v = 0; v < wide; v++)
        s[v] = v_zero();
    for (size_t k = 0; k < kc; k++) {
        const float *x = row[k] + at;
        vec wk = v_set1(w[k * ldw]);
        UNROLL
        for (int v = 0; v < wide; v++)
            s[v] = v_fma(wk, v < wide - 1 ? v_load(x + 16 * v)
                                          : load_cols(x + 16 * v, left), s[v]);
    }
    UNROLL
    for (int v = 0; v < wide; v++) {
        size_t n = v < wide - 1 ? 16 : left;
        if (add)
            s[v] = v_add(load_cols(y + 16 * v, n), s[v]);
        store_cols(y + 16 * v, n, s[v]);
    }
}

static void mix(size_t kc, const float *w, size_t ldw, const float *const *row, size_t at,
                size_t n, int add, float *y)
{
    size_t j = 0;
    for (; j + 16 * WIDE <= n; j += 16 * WIDE)
        mix_some(kc, w, ldw, row, at + j, 16, add, y + j, WIDE);
    for (; j + 32 < n; j += 48)
        mix_some(kc, w, ldw, row, at + j, n - j - 32, add, y + j, 3);
    for (; j < n; j += 16)
        mix_some(kc, w, ldw, row, at + j, n - j, add, y + j, 1);
}

/* A NaN is the one number that stays no greater than -inf when what is below the least
 * finite one is raised to it. */
LANE mask is_number(vec x)
{
    return v_gt(v_max(v_set1(-FLT_MAX), x), v_set1(-INFINITY));
}

static void win_max(const nn_window *w, size_t c, const float *x, float *best, float *won)
{
    const vec one = v_set1(1);
    for (size_t j = 0; j < c; j += 16) {
        vec b = load_cols(x + j, c - j), at = v_zero(), here = v_zero();
        for (size_t p = 0; p < w->high; p++)
            for (size_t q = 0; q < w->wide; q++, here = v_add(here, one)) {
                vec v = load_cols(x + p * w->row + q * c + j, c - j);
                mask more = v_gt(v, b), number = is_number(v);
                at = v_pick(number, v_pick(more, here, at), here);
                b = v_pick(number, v_pick(more, v, b), v);
            }
        store_cols(best + j, c - j, b);
        store_cols(won + j, c - j, at);
    }
}

static void win_give(const nn_window *w, size_t c, const float *won, const float *dy,
                     float *dx)
{
    const vec one = v_set1(1), half = v_set1(0.5f);
    for (size_t j = 0; j < c; j += 16) {
        vec g = load_cols(dy + j, c - j), far = load_cols(won + j, c - j);
        for (size_t p = 0; p < w->high; p++)
            for (size_t q = 0; q < w->wide; q++, far = v_sub(far, one)) {
                float *d = dx + p * w->row + q * c + j;
                vec old = load_cols(d, c - j);
                mask here = v_gt(half, v_abs(far));
                store_cols(d, c - j, v_pick(here, v_add(old, g), old));
            }
    }
}
