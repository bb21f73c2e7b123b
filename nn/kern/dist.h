/* Work on pairs of rows, part of body.h: what the tree term and the local dimension are
 * made of (pairs.h, nn/ops/tree.c, nn/ops/lid.c).
 *
 * Distances come from differences, not from scalar products: where two rows nearly
 * coincide, a product of floats has lost their distance.  It costs one subtraction per
 * multiply-add, which a processor with adders of their own does on the side. */

LANE void sum_dist(size_t kc, const float *a, const float *b, const nn_tile *t,
                   const int nv, const int edge)
{
    vec s[MR][NV], bk[NV];
    begin(s, t, MR, edge);
    for (size_t k = 0; k < kc; k++, a += MR, b += NR) {
        UNROLL
        for (int v = 0; v < nv; v++)
            bk[v] = v_load(b + 16 * v);
        UNROLL
        for (int i = 0; i < MR; i++) {
            vec ai = v_set1(a[i]);
            UNROLL
            for (int v = 0; v < nv; v++) {
                vec d = v_sub(ai, bk[v]);
                s[i][v] = v_fma(d, d, s[i][v]);
            }
        }
    }
    put(s, t, MR, nv, edge);
}

static void tile_dist(size_t kc, const float *a, const float *b, const nn_tile *t)
{
    if (is_full(t, MR, NV))
        sum_dist(kc, a, b, t, NV, 0);
    else if (NV > 1 && t->cols <= 16)
        sum_dist(kc, a, b, t, 1, 1);
    else
        sum_dist(kc, a, b, t, NV, 1);
}

/* how many x_i < limit; lanes count exactly up to 2^24 */
static size_t count_less(size_t n, const float *x, float limit)
{
    vec l = v_set1(limit), one = v_set1(1), count[WIDE];
    size_t i = 0;
    UNROLL
    for (int w = 0; w < WIDE; w++)
        count[w] = v_zero();
    for (; i + 16 * WIDE <= n; i += 16 * WIDE) {
        UNROLL
        for (int w = 0; w < WIDE; w++) {
            mask less = v_gt(l, v_load(x + i + 16 * w));
            count[w] = v_add(count[w], v_pick(less, one, v_zero()));
        }
    }
    size_t sum = 0;
    UNROLL
    for (int w = 0; w < WIDE; w++)
        sum += (size_t)v_fold(count[w]);
    for (; i < n; i++)
        sum += x[i] < limit;
    return sum;
}

/* the smallest of 16 candidates, the first of equals; n when none is finite */
static size_t first_least(size_t n, vec least, vec at)
{
    float value[16], from[16], low = INFINITY;
    size_t best = n;
    v_store(value, least);
    v_store(from, at);
    for (size_t i = 0; i < 16; i++) {
        size_t here = (size_t)from[i] + i;
        if (value[i] < low || (value[i] == low && low < INFINITY && here < best)) {
            low = value[i];
            best = here;
        }
    }
    return best;
}

static size_t tree_reach(size_t n, const float *row, float from, float *best, float *via)
{
    static const float lane[16] = { 0, 1, 2,  3,  4,  5,  6,  7,
                                    8, 9, 10, 11, 12, 13, 14, 15 };
    vec f = v_set1(from), in = v_set1(-1), far = v_set1(INFINITY), least = far;
    vec at = v_zero();
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i;
        vec b = load_cols(best + i, left), r = load_cols(row + i, left);
        mask nearer = v_gt(b, r);
        b = v_pick(nearer, r, b);
        store_cols(best + i, left, b);
        store_cols(via + i, left, v_pick(nearer, f, load_cols(via + i, left)));

        vec out = v_pick(v_gt(b, in), b, far);
        if (left < 16)
            out = v_pick(v_gt(v_set1((float)left), v_load(lane)), out, far);
        mask less = v_gt(least, out);
        least = v_pick(less, out, least);
        at = v_pick(less, v_set1((float)i), at);
    }
    return first_least(n, least, at);
}

LANE void pull_cols(const float *x, const nn_pulls *p, size_t at, size_t left, float *d,
                    const int wide)
{
    vec s[WIDE], xj[WIDE];
    UNROLL
    for (int w = 0; w < wide; w++) {
        s[w] = wide > 1 ? v_load(d + at + 16 * w) : load_cols(d + at, left);
        xj[w] = wide > 1 ? v_load(x + at + 16 * w) : load_cols(x + at, left);
    }
    for (size_t m = 0; m < p->count; m++) {
        const float *y = p->rows + (size_t)p->from[m] * p->stride + at;
        vec c = v_set1(p->weight[m]);
        UNROLL
        for (int w = 0; w < wide; w++) {
            vec ym = wide > 1 ? v_load(y + 16 * w) : load_cols(y, left);
            s[w] = v_fma(c, v_sub(xj[w], ym), s[w]);
        }
    }
    UNROLL
    for (int w = 0; w < wide; w++)
        store_cols(d + at + 16 * w, left, s[w]);
}

/* PULLED vectors of columns at a time: their sums, x and one term stay in registers. */
enum { PULLED = 2 };

static void pull(size_t n, const float *x, const nn_pulls *p, float *d)
{
    size_t j = 0;
    for (; j + 16 * PULLED <= n; j += 16 * PULLED)
        pull_cols(x, p, j, 16, d, PULLED);
    for (; j < n; j += 16)
        pull_cols(x, p, j, n - j, d, 1);
}
