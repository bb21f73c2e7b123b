/* lid: the logarithm of the local intrinsic dimension around each row of X (n x d), from
 * the distances r_1 <= ... <= r_k = w to its k nearest among the other rows of X and all
 * rows of a reference, if there is one ("LDReg: Local
 * Dimensionality Regularized Self-Supervised Learning", Huang et al., 2024; spec 4.2).
 *
 *   mom        LID = mu / (w - mu)      mu = mean of r_1 .. r_(k-1)     the authors' code
 *   mom_paper  the same                 mu = mean of r_1 .. r_k         the paper
 *   mle        LID = k / q              q = -sum_(j<k) ln(r_j / w + 1e-4)    their log
 *   hill       LID = k / q              q = -sum_(j<k) ln(r_j / w)
 *   unbiased   LID = (k - 2) / q
 *
 *   forward    y_i = ln LID_i
 *   backward   dx_i += dy_i sum_j g_ij (x_i - x_j) / r_ij        g_ij = dy_i / dr_ij
 *              and, where the neighbours may move too, dx_j the opposite
 *
 * A row is left out of its own neighbours by its place; copies of it are not.  Rows of
 * the reference never move: LDReg on BYOL takes one online view for X, the other one and
 * the two of the momentum network for reference.
 *
 * Points whose neighbours all are far and equally far have a high dimension: raising the
 * mean of y_i spreads every neighbourhood over more directions.  Scaling X changes
 * nothing.
 *
 * Edges: k is clamped to two less than there are rows (as the authors do); with less than
 * two neighbours (three for unbiased) y_i = 0 without a gradient.  So it is when all
 * neighbours are copies (w = 0): a collapsed point must not look rich.  A copy keeps its
 * r_j = 0 in the mean but has no direction, hence no gradient.  Both mu and w - mu are at
 * least 1e-4 w + 1e-12, and q at least 1e-4 (k - 1): without the floor, equidistant
 * neighbours have no finite dimension; nn_lid_floored counts such points.  hill and
 * unbiased take ratios below 1e-12 for 1e-12.  A row with a NaN makes its own y_i NaN; a
 * reference that is not finite makes all of them so. */
#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/pairs.h"
#include "nn/ops/pairs.h"

enum { SOME = 32 };             /* rows of a job */

static const double FLOOR = 1e-4, LEAST = 1e-12;        /* spec 4.5 */

static const nn_lid_settings *of(const nn_node *y)
{
    return (const void *)y->attr;
}

static const nn_node *reference_of(const nn_node *y)
{
    return y->ins > 1 ? y->in[1] : NULL;
}

static size_t all_rows(const nn_node *y)
{
    const nn_node *reference = reference_of(y);
    return (size_t)nn_rows(y->in[0]) + (reference ? (size_t)nn_rows(reference) : 0);
}

/* Neighbours of a row; 0 when they are too few to tell a dimension. */
static int neighbours(const nn_node *y)
{
    int k = of(y)->k, most = (int)all_rows(y) - 2;
    k = k < most ? k : most;
    return k < (of(y)->estimator == NN_LID_UNBIASED ? 3 : 2) ? 0 : k;
}

/* Kept: for each row its k neighbours, the weights g_ij / r_ij, and 1 if floored. */
typedef struct kept { int *from; float *weight, *floored; } kept;

static kept kept_of(const nn_node *y)
{
    const size_t pairs = nn_count(y) * (size_t)neighbours(y);
    return (kept){ (int *)y->keep, y->keep + pairs, y->keep + 2 * pairs };
}

static void shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2 && nn_rows(y->in[0]) > 0 && of(y)->k > 1,
            "lid: wanted rows of features and two neighbours or more, got k = %d",
            of(y)->k);
    NN_NEED(!reference_of(y) || (reference_of(y)->shape.rank == 2
                                 && nn_cols(reference_of(y)) == nn_cols(y->in[0])),
            "lid: the reference is not rows of %d features", nn_cols(y->in[0]));
    y->shape = nn_shape1(nn_rows(y->in[0]));
    y->kept = nn_count(y) * (size_t)(2 * neighbours(y) + 1);
}

/* ---- one point: ln LID from the distances r (k), and g_j = d ln LID / d r_j ------- */

typedef struct point { int k; const double *r; double *g; int floored; } point;

static double moments(point *p, int m)
{
    const double w = p->r[p->k - 1], low = FLOOR * w + LEAST;
    double mu = 0;
    for (int j = 0; j < m; j++)
        mu += p->r[j];
    mu /= m;

    const int low_a = mu < low, low_b = w - mu < low;
    const double a = low_a ? low : mu, b = low_b ? low : w - mu;
    const double to_mu = (low_a ? 0 : 1 / a) + (low_b ? 0 : 1 / b);
    for (int j = 0; j < p->k; j++)
        p->g[j] = j < m ? to_mu / m : 0;
    p->g[p->k - 1] += (low_a ? FLOOR / a : 0) - (low_b ? FLOOR : 1) / b;
    p->floored = low_a || low_b;
    return nn_log(a) - nn_log(b);
}

static double likelihood(point *p, nn_lid_estimator e)
{
    const double w = p->r[p->k - 1], low = FLOOR * (p->k - 1);
    double q = 0, along = 0;            /* along: -w dq / dw */
    for (int j = 0; j < p->k - 1; j++) {
        double t = p->r[j] / w, s = e == NN_LID_MLE ? t + FLOOR : t < LEAST ? LEAST : t;
        q -= nn_log(s);
        p->g[j] = e != NN_LID_MLE && t < LEAST ? 0 : 1 / (w * s);
        along += p->g[j] * p->r[j];
    }
    p->g[p->k - 1] = -along / w;
    p->floored = q < low;
    for (int j = 0; j < p->k; j++)
        p->g[j] = p->floored ? 0 : p->g[j] / q;
    return nn_log(e == NN_LID_UNBIASED ? p->k - 2 : p->k) - nn_log(p->floored ? low : q);
}

static double log_lid(point *p, nn_lid_estimator e)
{
    if (p->r[p->k - 1] == 0) {
        memset(p->g, 0, sizeof *p->g * (size_t)p->k);
        return 0;
    }
    if (e == NN_LID_MOM || e == NN_LID_MOM_PAPER)
        return moments(p, e == NN_LID_MOM ? p->k - 1 : p->k);
    return likelihood(p, e);
}

/* ---- all points ------------------------------------------------------------------- */

typedef struct points {
    nn_node *y;
    int k;
    kept to;
    const float *dist2;
    double *r, *g;                      /* k per worker */
} points;

static void points_job(void *ctx, size_t job, int worker)
{
    const points *c = ctx;
    const int n = nn_rows(c->y->in[0]), first = (int)job * SOME;
    double *r = c->r + (size_t)worker * (size_t)c->k;
    point p = { c->k, r, c->g + (size_t)worker * (size_t)c->k, 0 };

    for (int i = first; i < first + SOME && i < n; i++) {
        const size_t at = (size_t)i * (size_t)c->k;
        for (int j = 0; j < c->k; j++)
            r[j] = sqrt((double)c->dist2[at + (size_t)j]);
        p.floored = 0;
        c->y->val[i] = (float)log_lid(&p, of(c->y)->estimator);
        c->to.floored[i] = (float)p.floored;
        for (int j = 0; j < c->k; j++)
            c->to.weight[at + (size_t)j] = r[j] == 0 ? 0 : (float)(p.g[j] / r[j]);
    }
}

/* X, and below it the reference. */
static const float *stacked(const nn_node *y, nn_arena *scratch)
{
    const nn_node *x = y->in[0], *reference = reference_of(y);
    if (!reference)
        return x->val;
    const size_t n = nn_count(x), m = nn_count(reference);
    float *all = NN_NEW(scratch, float, n + m);
    memcpy(all, x->val, n * sizeof *all);
    memcpy(all + n, reference->val, m * sizeof *all);
    return all;
}

static int finite_reference(const nn_node *y)
{
    const nn_node *r = reference_of(y);
    return !r || isfinite(nn_kern_now->sum(nn_count(r), r->val));
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const nn_node *x = y->in[0];
    const size_t n = nn_count(y), k = (size_t)neighbours(y);
    const size_t workers = (size_t)nn_par_threads();

    const int finite = finite_reference(y);
    if (k == 0) {
        memset(y->val, 0, n * sizeof *y->val);
        memset(y->keep, 0, y->kept * sizeof *y->keep);
        return;
    }
    float *dist2 = NN_NEW(scratch, float, n * k);
    points c = { y, (int)k, kept_of(y), dist2, NN_NEW(scratch, double, workers * k),
                 NN_NEW(scratch, double, workers * k) };
    nn_neighbours(all_rows(y), (size_t)nn_cols(x), stacked(y, scratch), n, k, c.to.from,
                  dist2, scratch);
    nn_par_run((n + SOME - 1) / SOME, points_job, &c);
    for (size_t i = 0; !finite && i < n; i++)
        y->val[i] = NAN;
}

static void backward(nn_node *y, nn_arena *scratch)
{
    const int n = nn_rows(y->in[0]), k = neighbours(y);
    const kept c = kept_of(y);
    const int both = of(y)->pull == NN_LID_BOTH;
    const size_t pairs = (size_t)n * (size_t)k;
    nn_pull *list = NN_NEW(scratch, nn_pull, both ? 2 * pairs : pairs);
    size_t count = pairs;               /* in front: each row from its neighbours */

    for (size_t p = 0; p < pairs; p++) {
        const int i = (int)(p / (size_t)k);
        const float weight = y->grad[i] * c.weight[p];
        list[p] = (nn_pull){ i, c.from[p], weight };
        if (both && c.from[p] < n)
            list[count++] = (nn_pull){ c.from[p], i, weight };
    }
    nn_pull_all(y->in[0], reference_of(y), count, list, scratch);
}

int nn_lid_floored(const nn_node *y)
{
    int sum = 0;
    NN_NEED(y->op == &nn_op_lid && y->keep, "lid_floored: not a lid, or gone by");
    for (size_t i = 0; i < nn_count(y); i++)
        sum += kept_of(y).floored[i] > 0;
    return sum;
}

nn_node *nn_lid(nn_tape *t, nn_node *x, nn_node *reference, nn_lid_settings settings)
{
    return nn_record(t, &nn_op_lid, (nn_node *[]){ x, reference }, reference ? 2 : 1,
                     &settings, sizeof settings);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_lid(t, in[0], NULL, (nn_lid_settings){ 4, NN_LID_MOM, NN_LID_BOTH });
}

const nn_op nn_op_lid = { "lid", shape, forward, backward,
    { 1, { { 2, { 8, 5 } } }, example }, 0, NULL };
