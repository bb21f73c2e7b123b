/* The functions of a kernel table, written once over 16 lanes.
 *
 * ref.c, avx2.c and avx512.c include, in this order: lanes.h, their own lanes_*.h,
 * an enum with MR (rows of a tile) and NV (vectors of 16 in a row of a tile), and this
 * file.  A new instruction set (NEON: four registers of four) adds a lanes header and
 * one such file.  What the lane functions promise, the same in every set:
 *
 *   v_set1 v_load v_store           16 floats, any alignment
 *   v_load_part v_store_part        the first n <= 16; touches no byte beyond them;
 *                                   a partial load fills the other lanes with zero
 *   v_add v_sub v_mul v_div v_sqrt  rounded once, to nearest
 *   v_fma(a, b, c)                  a b + c, rounded once
 *   v_max v_min                     a > b ? a : b    a < b ? a : b
 *   v_gt v_pick(m, a, b)            a > b, false for NaN;   m ? a : b
 *   v_abs v_sign(a, s)              |a|    |a| with the sign of s
 *   v_power(n)                      2^n, n integral, -126 <= n <= 127
 *   v_split(x, &e)                  x = m 2^e, root(1/2) <= m < root(2), x normal
 *   v_fold(a)                       sum of the lanes, folded 8-4-2-1
 *
 * The result depends on the sign of a zero or on which NaN nowhere but in v_max, v_min,
 * whose second operand wins: max(0, x) keeps a NaN, max(x, 0) would hide it. */

enum { NR = 16 * NV, WIDE = 4 };    /* WIDE: columns' vectors summed side by side */

_Static_assert((int)MR <= (int)NN_TILE_ROWS, "callers hold NN_TILE_ROWS row pointers");

LANE vec v_zero(void)
{
    return v_set1(0);
}

LANE vec v_relu(vec x)
{
    return v_max(v_zero(), x);
}

/* ---- tiles ----------------------------------------------------------------------
 * Each form is written once as an inline function whose last three arguments are
 * constants: mr rows, nv vectors per row, and edge = 1 for tiles that are not full.  An
 * edge tile reads no row of A, no column of B and no element of C beyond those the tile
 * has: rows that are not there repeat the last one, and their sums are dropped. */

enum { LOW = (2 * MR + 2) / 3 };    /* tiles of a few rows are not worth MR */

LANE void put(vec s[MR][NV], const nn_tile *t, const int mr, const int nv,
              const int edge)
{
    float *c = t->c;
    UNROLL
    for (int i = 0; i < mr; i++, c += t->ldc) {
        if (edge && i >= t->rows)
            break;
        UNROLL
        for (int v = 0; v < nv; v++) {
            size_t left = (size_t)(t->cols - 16 * v);
            if (edge && left < 16) {
                if (t->add)
                    s[i][v] = v_add(v_load_part(c + 16 * v, left), s[i][v]);
                v_store_part(c + 16 * v, left, s[i][v]);
            } else {
                if (t->add)
                    s[i][v] = v_add(v_load(c + 16 * v), s[i][v]);
                v_store(c + 16 * v, s[i][v]);
            }
        }
    }
}

LANE vec get(const float *b, const nn_tile *t, int v, const int edge)
{
    size_t left = (size_t)(t->cols - 16 * v);
    return edge && left < 16 ? v_load_part(b + 16 * v, left) : v_load(b + 16 * v);
}

LANE int row_of(const nn_tile *t, int i, const int edge)
{
    return edge && i >= t->rows ? t->rows - 1 : i;
}

/* Sets the sums to zero and calls for the lines of C, which are wanted at the end. */
LANE void begin(vec s[MR][NV], const nn_tile *t, const int mr, const int edge)
{
    for (int i = 0; i < (edge ? t->rows : mr); i++)
        __builtin_prefetch(t->c + (size_t)i * t->ldc, 1);
    UNROLL
    for (int i = 0; i < mr; i++)
        UNROLL
        for (int v = 0; v < NV; v++)
            s[i][v] = v_zero();
}

/* Terms of a full tile go STRIDE at a time, so that counters and jumps take no room from
 * the multiplications; where two threads share a core that is felt.  IN_ORDER keeps the
 * compiler from mixing terms, for which there are not registers enough. */
enum { STRIDE = 4 };
#define IN_ORDER __asm__ volatile("" ::: "memory")

/* One term of all sums of a tile: A's element of row i at a[at[i]], B's row at b. */
LANE void term(vec s[MR][NV], const float *a, const size_t at[MR], const float *b,
               const nn_tile *t, const int mr, const int nv, const int edge)
{
    vec bk[NV];
    UNROLL
    for (int v = 0; v < nv; v++)
        bk[v] = get(b, t, v, edge);
    UNROLL
    for (int i = 0; i < mr; i++) {
        vec ai = v_set1(a[at[i]]);
        UNROLL
        for (int v = 0; v < nv; v++)
            s[i][v] = v_fma(ai, bk[v], s[i][v]);
    }
    IN_ORDER;
}

LANE void sum_panel(size_t kc, const float *a, size_t lda, const float *b, size_t ldb,
                    const nn_tile *t, const int mr, const int nv, const int edge)
{
    vec s[MR][NV];
    size_t at[MR], k = 0;
    UNROLL
    for (int i = 0; i < mr; i++)
        at[i] = (size_t)row_of(t, i, edge);
    begin(s, t, mr, edge);
    for (; !edge && k + STRIDE <= kc; k += STRIDE, a += STRIDE * lda, b += STRIDE * ldb) {
        UNROLL
        for (size_t q = 0; q < STRIDE; q++)
            term(s, a + q * lda, at, b + q * ldb, t, mr, nv, edge);
    }
    ONE_BY_ONE
    for (; k < kc; k++, a += lda, b += ldb)
        term(s, a, at, b, t, mr, nv, edge);
    put(s, t, mr, nv, edge);
}

LANE void sum_taps(size_t kc, const float *const *pix, size_t at, const float *b,
                   size_t ldb, const nn_tile *t, const int mr, const int nv,
                   const int edge)
{
    vec s[MR][NV];
    size_t off[MR], k = 0;
    UNROLL
    for (int i = 0; i < mr; i++)
        off[i] = (size_t)row_of(t, i, edge);
    begin(s, t, mr, edge);
    for (; !edge && k + STRIDE <= kc; k += STRIDE, b += STRIDE * ldb) {
        UNROLL
        for (size_t q = 0; q < STRIDE; q++)
            term(s, pix[k + q] + at, off, b + q * ldb, t, mr, nv, edge);
    }
    ONE_BY_ONE
    for (; k < kc; k++, b += ldb)
        term(s, pix[k] + at, off, b, t, mr, nv, edge);
    put(s, t, mr, nv, edge);
}

/* The same with A's element of row i at r[i][k]. */
LANE void term_rows(vec s[MR][NV], const float *const r[MR], size_t k, const float *b,
                    const nn_tile *t, const int mr, const int nv, const int edge)
{
    vec bk[NV];
    UNROLL
    for (int v = 0; v < nv; v++)
        bk[v] = get(b, t, v, edge);
    UNROLL
    for (int i = 0; i < mr; i++) {
        vec ai = v_set1(r[i][k]);
        UNROLL
        for (int v = 0; v < nv; v++)
            s[i][v] = v_fma(ai, bk[v], s[i][v]);
    }
    IN_ORDER;
}

/* part = 1: B has no more columns than the tile and must not be read beyond them */
LANE void sum_rows(size_t segs, size_t kc, size_t gap, const float *const *row,
                   const float *b, size_t ldb, const int part, const nn_tile *t,
                   const int mr, const int nv, const int edge)
{
    vec s[MR][NV];
    const float *r[MR];
    UNROLL
    for (int i = 0; i < mr; i++)
        r[i] = row[row_of(t, i, edge)];
    begin(s, t, mr, edge);
    for (size_t at = 0; segs > 0; segs--, at += gap) {
        size_t k = at;
        for (; !edge && k + STRIDE <= at + kc; k += STRIDE, b += STRIDE * ldb) {
            UNROLL
            for (size_t q = 0; q < STRIDE; q++)
                term_rows(s, r, k + q, b + q * ldb, t, mr, nv, 0);
        }
        ONE_BY_ONE
        for (; k < at + kc; k++, b += ldb)
            term_rows(s, r, k, b, t, mr, nv, edge && part);
    }
    put(s, t, mr, nv, edge);
}

static int is_full(const nn_tile *t, int mr, int nv)
{
    return t->rows == mr && t->cols == 16 * nv;
}

/* calls sum(..., t, mr, nv, edge) with the smallest constants that hold the tile */
#define FITTED(sum, ...)                                                                 \
    do {                                                                                 \
        if (is_full(t, MR, NV))                                                          \
            sum(__VA_ARGS__, t, MR, NV, 0);                                              \
        else if (is_full(t, LOW, NV))                                                    \
            sum(__VA_ARGS__, t, LOW, NV, 0);                                             \
        else if (NV > 1 && is_full(t, MR, 1))                                            \
            sum(__VA_ARGS__, t, MR, 1, 0);                                               \
        else if (NV > 1 && t->cols <= 16)                                                \
            sum(__VA_ARGS__, t, MR, 1, 1);                                               \
        else if (t->rows <= LOW)                                                         \
            sum(__VA_ARGS__, t, LOW, NV, 1);                                             \
        else                                                                             \
            sum(__VA_ARGS__, t, MR, NV, 1);                                              \
    } while (0)

static void tile_panel(size_t kc, const float *a, size_t lda, const float *b, size_t ldb,
                       const nn_tile *t)
{
    if (is_full(t, MR, NV) && lda == MR && ldb == NR)
        sum_panel(kc, a, MR, b, NR, t, MR, NV, 0);      /* packed: distances known */
    else
        FITTED(sum_panel, kc, a, lda, b, ldb);
}

static void tile_rows(size_t segs, size_t kc, size_t gap, const float *const *row,
                      const float *b, const nn_tile *t)
{
    FITTED(sum_rows, segs, kc, gap, row, b, NR, 0);
}

static void tile_plain(size_t kc, const float *const *row, const float *b, size_t ldb,
                       const nn_tile *t)
{
    FITTED(sum_rows, 1, kc, 0, row, b, ldb, 1);
}

static void tile_taps(size_t kc, const float *const *pix, size_t at, const float *b,
                      size_t ldb, const nn_tile *t)
{
    FITTED(sum_taps, kc, pix, at, b, ldb);
}

/* s <- 0.999 s + 0.0001 tends to 0.1: never a denormal, never an overflow.  No two chains
 * start alike, or the compiler would keep one of them. */
static float burn(size_t n, const float *x)
{
    vec s[MR][NV], a = v_set1(0.999f), b = v_set1(0.0001f), all = v_zero();
    UNROLL
    for (int i = 0; i < MR; i++)
        UNROLL
        for (int v = 0; v < NV; v++)
            s[i][v] = v_add(v_load(x), v_set1((float)(i * NV + v)));
    for (size_t k = 0; k < n; k++) {
        UNROLL
        for (int i = 0; i < MR; i++)
            UNROLL
            for (int v = 0; v < NV; v++)
                s[i][v] = v_fma(s[i][v], a, b);
    }
    UNROLL
    for (int i = 0; i < MR; i++)
        UNROLL
        for (int v = 0; v < NV; v++)
            all = v_add(all, s[i][v]);
    return v_fold(all);
}

/* ---- sums over n elements: element i goes to lane i mod 16 ------------------------- */

static float dot(size_t n, const float *x, const float *y)
{
    vec s = v_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = v_fma(v_load(x + i), v_load(y + i), s);
    if (i < n)
        s = v_fma(v_load_part(x + i, n - i), v_load_part(y + i, n - i), s);
    return v_fold(s);
}

static float sum(size_t n, const float *x)
{
    vec s = v_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        s = v_add(s, v_load(x + i));
    if (i < n)
        s = v_add(s, v_load_part(x + i, n - i));
    return v_fold(s);
}

static float dist2(size_t n, const float *x, const float *y)
{
    vec s = v_zero(), d;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        d = v_sub(v_load(x + i), v_load(y + i));
        s = v_fma(d, d, s);
    }
    if (i < n) {
        d = v_sub(v_load_part(x + i, n - i), v_load_part(y + i, n - i));
        s = v_fma(d, d, s);
    }
    return v_fold(s);
}

/* ---- elementwise ------------------------------------------------------------------ */

static void axpy(size_t n, float a, const float *x, float *y)
{
    vec va = v_set1(a);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v_store(y + i, v_fma(va, v_load(x + i), v_load(y + i)));
    if (i < n)
        v_store_part(y + i, n - i,
                     v_fma(va, v_load_part(x + i, n - i), v_load_part(y + i, n - i)));
}

LANE vec nearest(vec x)                     /* |x| < 2^22; ties to even */
{
    vec big = v_set1(0x1.8p23f);
    return v_sub(v_add(x, big), big);
}

#include "nn/kern/vmath.h"

LANE void map(size_t n, const float *x, float *y, vec (*f)(vec))
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v_store(y + i, f(v_load(x + i)));
    if (i < n)
        v_store_part(y + i, n - i, f(v_load_part(x + i, n - i)));
}

static void exp_each(size_t n, const float *x, float *y)
{
    map(n, x, y, v_exp);
}

static void log_each(size_t n, const float *x, float *y)
{
    map(n, x, y, v_log);
}

static void tanh_each(size_t n, const float *x, float *y)
{
    map(n, x, y, v_tanh);
}

static void gelu(size_t n, const float *x, float *y, float *slope)
{
    vec v, s;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v = v_gelu(v_load(x + i), &s);
        v_store(y + i, v);
        v_store(slope + i, s);
    }
    if (i < n) {
        v = v_gelu(v_load_part(x + i, n - i), &s);
        v_store_part(y + i, n - i, v);
        v_store_part(slope + i, n - i, s);
    }
}

/* ---- columns: one accumulator per column, rows in order ------------------------------
 * STEP rows at a time, whole rows: memory is read in the order in which it lies, and the
 * accumulators rest in the results, which the fastest cache holds. */

enum { STEP = 8 };

LANE vec load_cols(const float *p, size_t left)
{
    return left < 16 ? v_load_part(p, left) : v_load(p);
}

LANE void store_cols(float *p, size_t left, vec a)
{
    if (left < 16)
        v_store_part(p, left, a);
    else
        v_store(p, a);
}

static size_t step_of(size_t rows)
{
    return rows < STEP ? rows : STEP;
}

static void clear(size_t n, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 0;
}

/* `left` columns, 16 at most, of STEP rows. */
LANE void sum_some(size_t step, size_t c, size_t left, const float *x, float *s)
{
    vec a = load_cols(s, left);
    for (size_t i = 0; i < step; i++, x += c)
        a = v_add(a, load_cols(x, left));
    store_cols(s, left, a);
}

static void col_sum(size_t rows, size_t c, const float *x, float *s)
{
    clear(c, s);
    for (size_t step; rows > 0; rows -= step, x += step * c) {
        size_t j = 0;
        step = step_of(rows);
        for (; j + 16 <= c; j += 16)
            sum_some(step, c, 16, x + j, s + j);
        if (j < c)
            sum_some(step, c, c - j, x + j, s + j);
    }
}

LANE void sq_some(size_t step, size_t c, size_t left, const float *x, const float *mean,
                  float *q)
{
    vec a = load_cols(q, left), m = load_cols(mean, left);
    for (size_t i = 0; i < step; i++, x += c) {
        vec d = v_sub(load_cols(x, left), m);
        a = v_fma(d, d, a);
    }
    store_cols(q, left, a);
}

static void col_sq(size_t rows, size_t c, const float *x, const float *mean, float *q)
{
    clear(c, q);
    for (size_t step; rows > 0; rows -= step, x += step * c) {
        size_t j = 0;
        step = step_of(rows);
        for (; j + 16 <= c; j += 16)
            sq_some(step, c, 16, x + j, mean + j, q + j);
        if (j < c)
            sq_some(step, c, c - j, x + j, mean + j, q + j);
    }
}

/* ---- batch normalisation ------------------------------------------------------------
 * Each loop is written once, as an inline function whose last argument is a constant. */

LANE void apply_some(const nn_bn *n, size_t j, size_t left, const float *x,
                     const float *r, float *y)
{
    vec v = v_fma(load_cols(x, left), load_cols(n->a + j, left),
                  load_cols(n->b + j, left));
    if (r)
        v = v_add(v, load_cols(r, left));
    store_cols(y, left, n->relu ? v_relu(v) : v);
}

static void bn_apply(size_t rows, size_t c, const nn_bn *bn, const float *x,
                     const float *r, float *y)
{
    const nn_bn n = *bn;                    /* nobody's stores reach the copy */
    for (size_t i = 0; i < rows; i++, x += c, y += c, r += r ? c : 0) {
        size_t j = 0;
        for (; j + 16 <= c; j += 16)
            apply_some(&n, j, 16, x + j, r ? r + j : NULL, y + j);
        if (j < c)
            apply_some(&n, j, c - j, x + j, r ? r + j : NULL, y + j);
    }
}

/* How to tell where the activation let dy pass: it is none, y > 0, x a + b > 0. */
enum { ALL, BY_Y, BY_X };

static int how(const nn_bn *n, const float *y)
{
    return !n->relu ? ALL : y ? BY_Y : BY_X;
}

LANE vec passed(const float *y, vec x, vec dy, vec a, vec b, size_t left, const int by)
{
    if (by == ALL)
        return dy;
    vec v = by == BY_Y ? load_cols(y, left) : v_fma(x, a, b);
    return v_pick(v_gt(v, v_zero()), dy, v_zero());
}

LANE void sums_some(const nn_bn *n, size_t step, size_t c, size_t j, size_t left,
                    const float *x, const float *y, const float *dy, float *s, float *t,
                    const int by)
{
    vec sj = load_cols(s + j, left), tj = load_cols(t + j, left);
    vec m = load_cols(n->mean + j, left), a = m, b = m;
    if (by == BY_X) {
        a = load_cols(n->a + j, left);
        b = load_cols(n->b + j, left);
    }
    for (size_t i = 0, at = j; i < step; i++, at += c) {
        vec v = load_cols(x + at, left), d = load_cols(dy + at, left);
        vec g = passed(by == BY_Y ? y + at : NULL, v, d, a, b, left, by);
        sj = v_add(sj, g);
        tj = v_fma(g, v_sub(v, m), tj);
    }
    store_cols(s + j, left, sj);
    store_cols(t + j, left, tj);
}

LANE void sums(size_t rows, size_t c, const nn_bn *n, const float *x, const float *y,
               const float *dy, float *s, float *t, const int by)
{
    clear(c, s);
    clear(c, t);
    for (size_t step; rows > 0; rows -= step) {
        size_t j = 0;
        step = step_of(rows);
        for (; j + 16 <= c; j += 16)
            sums_some(n, step, c, j, 16, x, y, dy, s, t, by);
        if (j < c)
            sums_some(n, step, c, j, c - j, x, y, dy, s, t, by);
        x += step * c;
        y += by == BY_Y ? step * c : 0;
        dy += step * c;
    }
}

static void bn_sums(size_t rows, size_t c, const nn_bn *bn, const float *x,
                    const float *y, const float *dy, float *s, float *t)
{
    const nn_bn n = *bn;
    int by = how(bn, y);
    if (by == ALL)
        sums(rows, c, &n, x, y, dy, s, t, ALL);
    else if (by == BY_Y)
        sums(rows, c, &n, x, y, dy, s, t, BY_Y);
    else
        sums(rows, c, &n, x, y, dy, s, t, BY_X);
}

LANE void grad_some(const nn_bn *n, size_t j, size_t left, const float *x, const float *y,
                    const float *dy, int add, float *dx, float *dr, const int by)
{
    vec v = load_cols(x, left), a = load_cols(n->a + j, left);
    vec b = by == BY_X ? load_cols(n->b + j, left) : a;
    vec g = passed(y, v, load_cols(dy, left), a, b, left, by);
    vec d = v_sub(v, load_cols(n->mean + j, left));
    d = v_fma(load_cols(n->q + j, left), d, load_cols(n->u + j, left));
    d = v_fma(a, g, d);
    if (dr) {                               /* first: dx may be dr, and adds to it then */
        if (add & 2)
            g = v_add(load_cols(dr, left), g);
        store_cols(dr, left, g);
    }
    if (add & 1)
        d = v_add(load_cols(dx, left), d);
    store_cols(dx, left, d);
}

LANE void grad(size_t rows, size_t c, const nn_bn *n, const float *x, const float *y,
               const float *dy, int add, float *dx, float *dr, const int by)
{
    for (size_t i = 0; i < rows * c; i += c) {
        size_t j = 0, at = i;
        for (; j + 16 <= c; j += 16, at += 16)
            grad_some(n, j, 16, x + at, by == BY_Y ? y + at : NULL, dy + at, add, dx + at,
                      dr ? dr + at : NULL, by);
        if (j < c)
            grad_some(n, j, c - j, x + at, by == BY_Y ? y + at : NULL, dy + at, add,
                      dx + at, dr ? dr + at : NULL, by);
    }
}

static void bn_grad(size_t rows, size_t c, const nn_bn *bn, const float *x,
                    const float *y, const float *dy, int add, float *dx, float *dr)
{
    const nn_bn n = *bn;
    int by = how(bn, y);
    if (by == ALL)
        grad(rows, c, &n, x, y, dy, add, dx, dr, ALL);
    else if (by == BY_Y)
        grad(rows, c, &n, x, y, dy, add, dx, dr, BY_Y);
    else
        grad(rows, c, &n, x, y, dy, add, dx, dr, BY_X);
}

/* ---- Winograd -------------------------------------------------------------------- */

#include "nn/kern/wino.h"
#include "nn/kern/nearest.h"
#include "nn/kern/loss.h"
#include "nn/kern/window.h"

/* ---- sums in double -------------------------------------------------------------- */

#include "nn/kern/double.h"

/* ---- pairs of rows --------------------------------------------------------------- */

#include "nn/kern/dist.h"

#define NN_KERN_TABLE(text)                                                              \
    {                                                                                    \
        .name = (text), .mr = MR, .nr = NR,                                              \
        .tile_panel = tile_panel, .tile_rows = tile_rows, .tile_taps = tile_taps,        \
        .tile_plain = tile_plain,                                                        \
        .low = LOW,                                                                      \
        .burn = burn, .dot = dot, .sum = sum, .dist2 = dist2, .axpy = axpy,              \
        .exp = exp_each, .log = log_each, .tanh = tanh_each, .gelu = gelu,               \
        .col_sum = col_sum, .col_sq = col_sq, .bn_apply = bn_apply,                      \
        .bn_sums = bn_sums, .bn_grad = bn_grad,                                          \
        .gram = gram, .reflect = reflect,                                                \
        .code_max = code_max,                                                            \
        .wino_data_down = wino_data_down, .wino_data_along = wino_data_along,            \
        .wino_grad_down = wino_grad_down, .wino_grad_along = wino_grad_along,            \
        .wino_weight = wino_weight, .wino_sum = wino_sum, .wino_dweight = wino_dweight,  \
        .lean = lean, .apart = apart, .col_dot = col_dot, .softmax = softmax,            \
        .mix = mix, .win_max = win_max, .win_give = win_give,                            \
        .tile_dist = tile_dist, .count_less = count_less,                                \
        .tree_reach = tree_reach, .pull = pull,                                          \
    }
