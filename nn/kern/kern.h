#ifndef NN_KERN_H
#define NN_KERN_H

#include <stddef.h>

/* Kernels: everything that profits from SIMD, once per instruction set.
 *
 * A table holds the same functions for one instruction set.  All tables give the same
 * bits, because all follow one plan:
 *   - matrix products: one accumulator per element of C, k in order, always fused
 *     multiply-add, blocks of at most NN_TERMS terms, each block added to C once
 *   - convolutions: the same with whole patches instead of blocks; see conv.c
 *   - sums: 16 virtual lanes (element i goes to lane i mod 16), folded 8-4-2-1
 *   - columns (channels): one accumulator per column, rows in order
 *   - no reciprocal or root approximations; max(a, b) is a > b ? a : b
 * What a NaN's payload and sign are is not part of the plan; that it is one, is.
 * tests/test_kern.c compares the tables byte for byte on ragged shapes. */
enum {
    NN_LANES = 16,          /* part of the result's format */
    NN_KC = 256,            /* pixels in a convolution's unit, terms in a block of
                               distances: part of the format */
    NN_TERMS = 512,         /* terms in a product's block: part of the format */
    NN_TILE_ROWS = 32,      /* no table has tiles of more rows */
    NN_ROWS = 256,          /* rows of one chunk in column sums: part of the format */
    NN_PANEL = 24           /* columns of one packed panel of doubles */
};

/* Where a tile of sums goes: c(i,j) at c[i * ldc + j] for i < rows, j < cols; add = 0
 * overwrites, 1 adds. */
typedef struct nn_tile {
    float *c;
    size_t ldc;
    int rows, cols, add;                /* 1 <= rows <= mr, 1 <= cols <= nr */
} nn_tile;

/* What batch normalisation does to each column. */
typedef struct nn_bn {
    const float *a, *b, *mean, *q, *u;
    int relu;
} nn_bn;

/* Where a strip of Winograd's tiles goes: pixel (i,j) at y + i * row + j * c for i < high,
 * j < wide; add = 0 overwrites, 1 adds. */
typedef struct nn_wino_strip {
    float *y;
    size_t row, high, wide;             /* high <= 4 */
    int add;
} nn_wino_strip;

/* Rows that pull at a row x: the sum of weight_m (x - rows[from_m]), m in order.  Row i
 * begins at rows[i * stride]. */
typedef struct nn_pulls {
    size_t count;
    const int *from;
    const float *weight;
    const float *rows;
    size_t stride;
} nn_pulls;

/* high x wide neighbouring pixels, whose rows begin `row` floats apart. */
typedef struct nn_window {
    size_t high, wide, row;
} nn_window;

typedef struct nn_kern {
    const char *name;

    /* Tiles of mr x nr sums over k.  A tile reads only rows of A below t->rows and
     * columns of B below t->cols (but `rows` all nr: its B is packed, so padded).
     *   panel   A(i,k) = a[k * lda + i]        B(k,j) = b[k * ldb + j]
     *   rows    A(i,k) = row[i][s * gap + q]   B(k,j) = b[k * nr + j],  k = s * kc + q
     *   taps    A(i,k) = pix[k][at + i]        B(k,j) = b[k * ldb + j]
     *   plain   A(i,k) = row[i][k]             B(k,j) = b[k * ldb + j]
     * `rows` runs through `segs` segments of kc terms, all into one accumulator. */
    int mr, nr;
    void (*tile_panel)(size_t kc, const float *a, size_t lda, const float *b, size_t ldb,
                       const nn_tile *t);
    void (*tile_rows)(size_t segs, size_t kc, size_t gap, const float *const *row,
                      const float *b, const nn_tile *t);
    void (*tile_taps)(size_t kc, const float *const *pix, size_t at, const float *b,
                      size_t ldb, const nn_tile *t);
    void (*tile_plain)(size_t kc, const float *const *row, const float *b, size_t ldb,
                       const nn_tile *t);

    int low;    /* rows of the tiles that are as fast as full ones but lower; thin.c */

    /* n rounds of mr nr / 16 independent fused multiply-adds of 16 lanes: nothing but the
     * arithmetic units, for measuring what they can do.  x: 16 numbers to start from */
    float (*burn)(size_t n, const float *x);

    /* 16-lane sums over n elements */
    float (*dot)(size_t n, const float *x, const float *y);
    float (*sum)(size_t n, const float *x);
    float (*dist2)(size_t n, const float *x, const float *y);    /* sum (x - y)^2 */

    /* elementwise over n elements; y may be x */
    void (*axpy)(size_t n, float a, const float *x, float *y);   /* y = fma(a, x, y) */
    void (*exp)(size_t n, const float *x, float *y);  /* error, special values: vmath.h */
    void (*log)(size_t n, const float *x, float *y);
    void (*tanh)(size_t n, const float *x, float *y);
    void (*gelu)(size_t n, const float *x, float *y, float *slope);     /* slope: y' */

    /* columns of a row-major block of `rows` x `c`; results have c elements */
    void (*col_sum)(size_t rows, size_t c, const float *x, float *s);
    void (*col_sq)(size_t rows, size_t c, const float *x, const float *mean, float *q);
                                                    /* q_j = sum_i (x_ij - mean_j)^2 */
    /* Batch normalisation; `n` holds c floats of each kind that the formula names.
     *   apply   y = act(x a_j + b_j + r); r may be NULL.  The activation is max(0, v): a
     *           NaN passes through it, so that it can be noticed
     *   sums    s_j = sum_i g,  t_j = sum_i g (x - mean_j)
     *   grad    dx (+)= a_j g + q_j (x - mean_j) + u_j;  dr (+)= g unless dr is NULL
     * g is dy where the activation let it pass: y > 0, or with y = NULL x a_j + b_j > 0,
     * which is the same without r and reads less.  add bit 0: dx is added to, bit 1: dr
     * is.  dx or dr may be dy itself. */
    void (*bn_apply)(size_t rows, size_t c, const nn_bn *n, const float *x,
                     const float *r, float *y);
    void (*bn_sums)(size_t rows, size_t c, const nn_bn *n, const float *x, const float *y,
                    const float *dy, float *s, float *t);
    void (*bn_grad)(size_t rows, size_t c, const nn_bn *n, const float *x, const float *y,
                    const float *dy, int add, float *dx, float *dr);

    /* Winograd's F(4x4, 3x3) on c channels (wino.h, winograd.c), a strip of tiles at a
     * time.  A tile has 36 places, row by row, `gap` floats apart in memory.
     *   data    Bt x B from 6 rows of pixels     grad   A dy At from 4 rows
     *           down: the matrix on the left, over n floats of each row, to 6 rows `step`
     *           apart; along: the one on the right, over one such row, to 6 places.
     *           `ahead` floats after a row lies one that the next strip will want
     *   weight  G w Gt from 3 x 3 taps
     *   sum     At m A + bias to the pixels of a strip
     *   dweight dw += Gt m G to 3 x 3 taps */
    void (*wino_data_down)(const float *const *row, size_t n, size_t ahead, float *t,
                           size_t step);
    void (*wino_data_along)(const float *t, size_t tiles, size_t c, float *v, size_t gap);
    void (*wino_grad_down)(const float *const *row, size_t n, size_t ahead, float *t,
                           size_t step);
    void (*wino_grad_along)(const float *t, size_t tiles, size_t c, float *v, size_t gap);
    void (*wino_weight)(const float *const *tap, size_t c, float *u, size_t gap);
    void (*wino_sum)(const float *m, size_t gap, size_t c, const float *bias,
                     const nn_wino_strip *to);
    void (*wino_dweight)(const float *m, size_t gap, size_t c, float *const *tap);

    /* Windows of pixels of c channels (window.h).
     *   mix       y_j (+)= sum_k w[k * ldw] row[k][at + j] over n columns: one accumulator
     *             per column, k in order, fused; add = 0 overwrites y, 1 adds to it
     *   win_max   the greatest of each channel, the first of equals, the last NaN if there
     *             is one; won: its number in the window, counted row by row
     *   win_give  dx += dy in the pixel that won */
    void (*mix)(size_t kc, const float *w, size_t ldw, const float *const *row, size_t at,
                size_t n, int add, float *y);
    void (*win_max)(const nn_window *w, size_t c, const float *x, float *best, float *won);
    void (*win_give)(const nn_window *w, size_t c, const float *won, const float *dy,
                     float *dx);

    /* c(i,j) += sum_k a(k,i) b(k,j) in double, k in order, fused: packed panels with
     * a(k,i) at a[k * NN_PANEL + i], b alike, c(i,j) at c[i * ldc + j] for i < rows,
     * j < cols.  Works in whole tiles: c has NN_PANEL rows and columns.  When b is a,
     * elements above the diagonal are not promised. */
    void (*gram)(size_t k, const double *a, const double *b, size_t rows, size_t cols,
                 double *c, size_t ldc);

    /* One step of a tridiagonalisation (nn/linalg.c) on the eight rows of a symmetric
     * matrix from row m on, m a multiple of 8, `gap` doubles apart, columns 0 .. m + 7:
     * every row r becomes  row - u_r q - q_r u  (fused, in this order), then
     * p_k += v_r row_k for k < m,  and  p_r += row . v  over 8 lanes. */
    void (*reflect)(size_t m, double *row, size_t gap, const double *u, const double *q,
                    const double *v, double *p);

    /* The best of z . c - h for nr vectors over panels of mr codes (nearest.h):
     *   z(j,k) = z[k * nr + j]
     *   panel p: h(i) = -code[i], c(i,k) = code[(k + 1) * mr + i]
     *   code = code + p * (d + 1) * mr, its codes are number first + p * mr + i
     * best[j] is raised to the greatest score, which[j] set to the number of its code; a
     * score that is no greater than best[j] (or NaN) changes neither.  Every score is one
     * accumulator from -h, k in order. */
    void (*code_max)(size_t panels, size_t d, const float *code, float first,
                     const float *z, float *best, float *which);

    /* Losses (loss.h).  add = 0 overwrites y, 1 adds to it; y may be an input.
     *   lean      y_ij (+)= w_j (x_ij - m_j)  on `rows` x `c`
     *   apart     y_i (+)= g (a_i - b_i)
     *   col_dot   s_j = sum_i x_ij y_ij
     *   softmax   p = softmax(x), n >= 1: returns the sum of exp(x - *top) in 16 lanes,
     *             *top the greatest x */
    void (*lean)(size_t rows, size_t c, const float *x, const float *m, const float *w,
                 int add, float *y);
    void (*apart)(size_t n, float g, const float *a, const float *b, int add, float *y);
    void (*col_dot)(size_t rows, size_t c, const float *x, const float *y, float *s);
    float (*softmax)(size_t n, const float *x, float *p, float *top);

    /* Pairs of rows (dist.h, pairs.h).
     *   tile_dist    sums of (A(i,k) - B(k,j))^2, A(i,k) = a[k * mr + i], B(k,j) =
     *                b[k * nr + j]; both packed, so padded
     *   count_less   how many x_i < limit, NaN never; n < 2^24
     *   tree_reach   one step of Prim's tree: best_i = min(best_i, row_i), and via_i =
     *                from where that is less; returns the i of the least best_i >= 0,
     *                the first of equals, or n when none is finite.  Of a row in the
     *                tree best_i is -1
     *   pull         d_j += sum_m weight_m (x_j - row_mj) over n columns */
    void (*tile_dist)(size_t kc, const float *a, const float *b, const nn_tile *t);
    size_t (*count_less)(size_t n, const float *x, float limit);
    size_t (*tree_reach)(size_t n, const float *row, float from, float *best, float *via);
    void (*pull)(size_t n, const float *x, const nn_pulls *p, float *d);
} nn_kern;

/* The table in use: from the start of the process the best that the CPU has, or the one
 * named by FULLRANK_KERN if that can be used.
 * nn_kern_choose(NULL) reads the environment again.  It returns 0 and changes nothing
 * when the name is unknown or the CPU lacks it, so that main can tell the user.
 * Tables usable here: nn_kern_at(0..count-1), slowest first, NULL outside;  nn_kern_names
 * lists every compiled table, usable here or not. */
extern const nn_kern *nn_kern_now;
int            nn_kern_choose(const char *name);
int            nn_kern_count(void);
const nn_kern *nn_kern_at(int i);
const char *const *nn_kern_names(void);         /* NULL-terminated */

#endif
