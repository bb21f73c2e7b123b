/* What losses do to columns and rows; part of body.h. */

static void lean(size_t rows, size_t c, const float *x, const float *m, const float *w,
                 int add, float *y)
{
    for (size_t i = 0; i < rows * c; i += c)
        for (size_t j = 0; j < c; j += 16) {
            size_t left = c - j, at = i + j;
            vec d = v_sub(load_cols(x + at, left), load_cols(m + j, left));
            d = v_mul(load_cols(w + j, left), d);
            store_cols(y + at, left, add ? v_add(load_cols(y + at, left), d) : d);
        }
}

static void apart(size_t n, float g, const float *a, const float *b, int add, float *y)
{
    const vec vg = v_set1(g);
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i;
        vec d = v_mul(vg, v_sub(load_cols(a + i, left), load_cols(b + i, left)));
        store_cols(y + i, left, add ? v_add(load_cols(y + i, left), d) : d);
    }
}

LANE void down_dot(size_t rows, size_t c, size_t left, const float *x, const float *y,
                   float *s, const int wide)
{
    vec a[WIDE];
    UNROLL
    for (int w = 0; w < wide; w++)
        a[w] = v_zero();
    for (size_t i = 0; i < rows; i++, x += c, y += c) {
        UNROLL
        for (int w = 0; w < wide; w++)
            a[w] = wide > 1 ? v_fma(v_load(x + 16 * w), v_load(y + 16 * w), a[w])
                            : v_fma(load_cols(x, left), load_cols(y, left), a[w]);
    }
    UNROLL
    for (int w = 0; w < wide; w++)
        store_cols(s + 16 * w, left, a[w]);
}

static void col_dot(size_t rows, size_t c, const float *x, const float *y, float *s)
{
    size_t j = 0;
    for (; j + 16 * WIDE <= c; j += 16 * WIDE)
        down_dot(rows, c, 16, x + j, y + j, s + j, WIDE);
    for (; j < c; j += 16)
        down_dot(rows, c, c - j, x + j, y + j, s + j, 1);
}

/* The greatest of n >= 1 numbers, by comparisons alone: the order cannot be seen. */
LANE float greatest(size_t n, const float *x)
{
    float lane[16], top = x[0];
    vec t = v_set1(top);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        t = v_max(v_load(x + i), t);
    for (; i < n; i++)
        top = x[i] > top ? x[i] : top;
    v_store(lane, t);
    for (i = 0; i < 16; i++)
        top = lane[i] > top ? lane[i] : top;
    return top;
}

static float softmax(size_t n, const float *x, float *p, float *top)
{
    const vec shift = v_set1(*top = greatest(n, x));
    for (size_t i = 0; i < n; i += 16)
        store_cols(p + i, n - i, v_exp(v_sub(load_cols(x + i, n - i), shift)));
    const float all = sum(n, p);
    const vec by = v_set1(all);
    for (size_t i = 0; i < n; i += 16)
        store_cols(p + i, n - i, v_div(load_cols(p + i, n - i), by));
    return all;
}
