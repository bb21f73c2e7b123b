/* sign and bit_entropy: a codebook of all corners {-s, s}^D, which is never stored
 * ("Language Model Beats Diffusion - Tokenizer is Key to Visual Generation", Yu et al.,
 * 2023: lookup-free quantisation).
 *
 *   sign          y = s if z > 0, else -s          dz += dy, straight through
 *   bit_entropy   e = mean_i H(p_i) - gamma H(mean_i p_i),   p_i = softmax_c(2 tau z_i.c)
 *
 * The first term makes every vector sure of its corner, the second keeps all corners in
 * use.  p_i is a product over columns, so that with x = 4 tau s z, P = 1 / (1 + exp(-x)):
 *
 *   H(p_i) = sum_j h(x_ij),   h(x) = -P ln P - (1 - P) ln (1 - P),   h' = -x P (1 - P)
 *
 * The mean is no product.  Columns are cut into groups of b bits, one after another and
 * as equal as can be; m = mean_i p_i is worked out over the 2^b corners of each, and the
 * entropies of groups are added (an upper bound of that of all columns together).  With
 * w = -ln m, E over the corners of one group by p_i:
 *
 *   dx_ij += -de / n P (1 - P) (x_ij + gamma (E[w | bit j = 1] - E[w | bit j = 0]))
 *
 * p_i grows bit by bit: half 0 of a level is the level before times 1 - P, half 1 that
 * times P.  On the way back w is folded over the bits that came later.  The difference of
 * E is thus a sum of differences, and nothing is lost where a bit is sure. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/ops/inner.h"

enum {
    MOST_BITS = 12,
    ROWS = 64                           /* of a sum over rows: part of the format */
};

/* ---- sign -------------------------------------------------------------------------- */

static void sign_shape(nn_node *y)
{
    const float s = *(const float *)(const void *)y->attr;
    NN_NEED(s > 0, "sign: wanted a size above 0, got %g", (double)s);
    y->shape = y->in[0]->shape;
}

static void sign_forward(nn_node *y, nn_arena *scratch)
{
    const float s = *(const float *)(const void *)y->attr, *z = y->in[0]->val;
    const size_t n = nn_count(y);
    (void)scratch;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)                      /* a NaN stays one */
        y->val[i] = z[i] > 0 ? s : z[i] <= 0 ? -s : z[i];
}

static void sign_backward(nn_node *y, nn_arena *scratch)
{
    (void)scratch;
    nn_grad_pass(y->in[0], 1, y->grad);
}

/* ---- bit_entropy ------------------------------------------------------------------- */

typedef struct entropy { float s, tau, gamma; int group; } entropy;

static const entropy *setting_of(const nn_node *y)
{
    return (const entropy *)(const void *)y->attr;
}

/* Group g: columns from .. from + bits - 1; its corners begin at `corner` among all. */
typedef struct span { size_t from, bits, corner; } span;

static size_t groups_of(const nn_node *y)
{
    const size_t d = (size_t)nn_cols(y->in[0]), most = (size_t)setting_of(y)->group;
    return (d + most - 1) / most;
}

static span span_of(const nn_node *y, size_t group)
{
    const size_t d = (size_t)nn_cols(y->in[0]), groups = groups_of(y);
    span s = {0};
    for (size_t g = 0; g <= group; g++) {
        s.corner += g ? (size_t)1 << s.bits : 0;
        s.from = g * d / groups;
        s.bits = (g + 1) * d / groups - s.from;
    }
    return s;
}

/* keeps w of all groups, in double; nothing where gamma = 0 */
static void entropy_shape(nn_node *y)
{
    const entropy *e = setting_of(y);
    NN_NEED(y->in[0]->shape.rank == 2 && nn_count(y->in[0]) > 0,
            "bit_entropy: wanted rows");
    NN_NEED(e->s > 0 && e->tau > 0 && e->gamma >= 0 && e->group > 0
                && e->group <= MOST_BITS,
            "bit_entropy: s = %g, tau = %g, gamma = %g, groups of %d bits (at most %d)",
            (double)e->s, (double)e->tau, (double)e->gamma, e->group, MOST_BITS);
    y->shape = nn_shape1(1);
    if (e->gamma > 0) {
        const span last = span_of(y, groups_of(y) - 1);
        y->kept = (last.corner + ((size_t)1 << last.bits)) * sizeof(double)
                / sizeof(float);
    }
}

static double slope_of(const nn_node *y)                /* dx/dz */
{
    return 4 * (double)setting_of(y)->tau * (double)setting_of(y)->s;
}

/* A bit that is 1 with probability one, and 0 with the rest, each with all its digits. */
typedef struct bit { double x, one, none; } bit;

static bit bit_of(double x)
{
    const double t = nn_exp(-fabs(x)), likely = 1 / (1 + t), rare = t / (1 + t);
    return x > 0 ? (bit){ x, likely, rare } : (bit){ x, rare, likely };
}

/* ln (1 + t) + |x| t / (1 + t); the logarithm so that a t below 1e-16 counts, too. */
static double bit_entropy_of(double x)
{
    const double t = nn_exp(-fabs(x)), u = 1 + t;
    const double log_u = u == 1 ? t : nn_log(u) * (t / (u - 1));
    return log_u + fabs(x) * t / u;
}

/* Levels of p, level k being 2^k numbers from p[2^k] on; the last is p_i of the group. */
static void grow(const span *s, const bit *of, double *p)
{
    p[1] = 1;
    for (size_t k = 0; k < s->bits; k++) {
        const size_t half = (size_t)1 << k;
        const double *from = p + half;
        double *none = p + 2 * half, *one = none + half;
        for (size_t c = 0; c < half; c++) {
            none[c] = from[c] * of[k].none;
            one[c] = from[c] * of[k].one;
        }
    }
}

/* E[w | bit 1] - E[w | bit 0] of every bit of a group, from the last to the first; v
 * holds w and is folded. */
static void fold(const span *s, const bit *of, const double *p, double *v, double *apart)
{
    for (size_t k = s->bits; k-- > 0;) {
        const size_t half = (size_t)1 << k;
        double sum = 0;
        for (size_t c = 0; c < half; c++) {
            const double none = v[c], one = v[c + half];
            sum += p[half + c] * (one - none);
            v[c] = of[k].none * none + of[k].one * one;
        }
        apart[k] = sum;
    }
}

typedef struct pass {
    nn_node *y;
    span s;
    double *part;                       /* 2^bits per chunk of rows */
    double *p;                          /* per worker: levels, then v */
    double *row;                        /* per row: H(p_i) */
    float *dz;
    int add;
} pass;

enum { LEVELS = 2 << MOST_BITS, SPACE = LEVELS + (1 << MOST_BITS) };

static size_t row_chunks(const nn_node *y)
{
    return ((size_t)nn_rows(y->in[0]) + ROWS - 1) / ROWS;
}

static size_t end_of(const nn_node *y, size_t chunk)
{
    const size_t n = (size_t)nn_rows(y->in[0]), end = (chunk + 1) * ROWS;
    return end < n ? end : n;
}

static void bits_of(const nn_node *y, const span *s, size_t row, bit *of)
{
    const float *z = y->in[0]->val + row * (size_t)nn_cols(y->in[0]) + s->from;
    for (size_t k = 0; k < s->bits; k++)
        of[k] = bit_of(slope_of(y) * (double)z[k]);
}

static void sure_job(void *ctx, size_t chunk, int worker)
{
    const pass *a = ctx;
    const size_t d = (size_t)nn_cols(a->y->in[0]);
    (void)worker;
    for (size_t i = chunk * ROWS; i < end_of(a->y, chunk); i++) {
        const float *z = a->y->in[0]->val + i * d;
        a->row[i] = 0;
        for (size_t j = 0; j < d; j++)
            a->row[i] += bit_entropy_of(slope_of(a->y) * (double)z[j]);
    }
}

static void mean_job(void *ctx, size_t chunk, int worker)
{
    const pass *a = ctx;
    const size_t corners = (size_t)1 << a->s.bits;
    double *p = a->p + (size_t)worker * SPACE, *part = a->part + chunk * corners;
    bit of[MOST_BITS];
    memset(part, 0, sizeof *part * corners);
    for (size_t i = chunk * ROWS; i < end_of(a->y, chunk); i++) {
        bits_of(a->y, &a->s, i, of);
        grow(&a->s, of, p);
        for (size_t c = 0; c < corners; c++)
            part[c] += p[corners + c];
    }
}

/* H(m) of a group; w becomes -ln m.  A corner that no vector can reach counts nothing,
 * but its w stands beside others and must be a number. */
static double entropy_of_mean(pass *a, double *w)
{
    const size_t corners = (size_t)1 << a->s.bits, chunks = row_chunks(a->y);
    const double n = (double)nn_rows(a->y->in[0]), tiny = 0x1p-1022;
    nn_par_run(chunks, mean_job, a);
    nn_fold_double(a->part, chunks, corners);
    for (size_t c = 0; c < corners; c++) {
        const double m = a->part[c] / n;
        w[c] = -nn_log(m < tiny ? tiny : m);
        a->part[c] = m * w[c];
    }
    return nn_tree_sum(a->part, corners);
}

static void entropy_forward(nn_node *y, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(y->in[0]), chunks = row_chunks(y);
    double *w = (double *)(void *)y->keep;
    pass a = { .y = y, .row = NN_NEW(scratch, double, n),
               .p = NN_NEW(scratch, double, SPACE * (size_t)nn_par_threads()) };

    nn_par_run(chunks, sure_job, &a);
    double e = nn_tree_sum(a.row, n) / (double)n;
    for (size_t g = 0; w && g < groups_of(y); g++) {
        const size_t mark = nn_arena_mark(scratch);
        a.s = span_of(y, g);
        a.part = NN_NEW(scratch, double, chunks << a.s.bits);
        e -= (double)setting_of(y)->gamma * entropy_of_mean(&a, w + a.s.corner);
        nn_arena_rewind(scratch, mark);
    }
    y->val[0] = (float)e;
}

static void grad_row(const pass *a, const bit *of, const double *apart, size_t row)
{
    const nn_node *y = a->y;
    const double gamma = (double)setting_of(y)->gamma;
    const double f = -(double)y->grad[0] * slope_of(y) / (double)nn_rows(y->in[0]);
    float *dz = a->dz + row * (size_t)nn_cols(y->in[0]) + a->s.from;
    for (size_t k = 0; k < a->s.bits; k++) {
        const double far = of[k].x + gamma * apart[k];
        const float g = (float)(f * of[k].one * of[k].none * far);
        dz[k] = a->add ? dz[k] + g : g;
    }
}

static void grad_job(void *ctx, size_t chunk, int worker)
{
    const pass *a = ctx;
    const size_t corners = (size_t)1 << a->s.bits;
    const double *w = (const double *)(const void *)a->y->keep;
    double *p = a->p + (size_t)worker * SPACE, *v = p + LEVELS;
    bit of[MOST_BITS];
    double apart[MOST_BITS] = {0};
    for (size_t i = chunk * ROWS; i < end_of(a->y, chunk); i++) {
        bits_of(a->y, &a->s, i, of);
        if (w) {
            grow(&a->s, of, p);
            memcpy(v, w + a->s.corner, sizeof *v * corners);
            fold(&a->s, of, p, v, apart);
        }
        grad_row(a, of, apart, i);
    }
}

static void entropy_backward(nn_node *y, nn_arena *scratch)
{
    pass a = { .y = y,
               .p = NN_NEW(scratch, double, SPACE * (size_t)nn_par_threads()) };
    a.dz = nn_grad_into(y->in[0], &a.add);
    for (size_t g = 0; a.dz && g < groups_of(y); g++) {
        a.s = span_of(y, g);
        nn_par_run(row_chunks(y), grad_job, &a);
    }
}

nn_node *nn_sign(nn_tape *t, nn_node *z, float s)
{
    return nn_record(t, &nn_op_sign, &z, 1, &s, sizeof s);
}

nn_node *nn_bit_entropy(nn_tape *t, nn_node *z, float s, float tau, float gamma,
                        int group)
{
    const entropy e = { s, tau, gamma, group };
    return nn_record(t, &nn_op_bit_entropy, &z, 1, &e, sizeof e);
}

static nn_node *sign_example(nn_tape *t, nn_node *const *in)
{
    return nn_sign(t, in[0], 0.5f);
}
static nn_node *entropy_example(nn_tape *t, nn_node *const *in)
{
    return nn_bit_entropy(t, in[0], 0.5f, 1, 0.75f, 3);
}

const nn_op nn_op_sign = { "sign", sign_shape, sign_forward, sign_backward,
    { 1, { { 2, { 3, 4 } } }, sign_example }, NN_SURROGATE, NULL };
const nn_op nn_op_bit_entropy = { "bit_entropy", entropy_shape, entropy_forward,
    entropy_backward, { 1, { { 2, { 4, 5 } } }, entropy_example }, 0, NULL };
