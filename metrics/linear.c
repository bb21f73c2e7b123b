/* The linear probe: what a linear classifier gets out of frozen features (spec 11.2).
 *
 * Features are standardised: x_ij <- (x_ij - mean_j) / std_j over the training rows.
 *
 *   ridge   W = (X'X/n + lambda I)^-1 X'Y/n        Y = one-hot less its column means
 *           Targets of +1 and -1 would double every score and so change no decision;
 *           less the mean, the bias is the share of the class and needs no equation.
 *           One product [X | one-hot]'[X | one-hot] in double holds all the sums.
 *   SGD     G = (softmax(XW) - one-hot) / batch,   V <- momentum V + X'G,   W <- W - lr V
 *           The bias is one more row of W, for a feature that is always 1.
 *
 * The ridge is exact and takes as long as a product; the logistic regression is what
 * papers report.  Both see only what a plane can part: read them beside eval/knn, and
 * beside the same figure for raw pixels and for the untrained network. */
#include <math.h>
#include <string.h>

#include "metrics/met.h"
#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/linalg.h"
#include "nn/par.h"
#include "nn/rng.h"

const met_linear_settings met_linear_default = {
    .lr = 0.1, .momentum = 0.9, .epochs = 50, .batch = 256,
};

/* The first of equals wins, so the usual rate comes first. */
static const double lambdas[] = { 1e-4, 1e-3, 1e-2, 1e-1 }, rates[] = { 0.1, 0.01, 1 };

enum {
    ROWS = 256,                 /* rows of a job */
    AHEAD = 16                  /* batches that are gathered at once */
};

static const double pi = 0x1.921fb54442d18p+1;

/* Labelled rows: those of x that `row` names, or all. */
typedef struct rows {
    const float *x;
    const uint16_t *label;
    const uint32_t *row;
    int n;
} rows;

static size_t row_at(const rows *r, int i)
{
    return r->row ? r->row[i] : (size_t)i;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int stopped(const met_linear_settings *s)
{
    return s->stop && *s->stop;
}

static size_t jobs_of(int n)
{
    return ((size_t)n + ROWS - 1) / ROWS;
}

/* ---- judging ----------------------------------------------------------------------- */

typedef struct judge { const met_linear_map *f; const rows *r; int *right; } judge;

static int best_class(const met_linear_map *f, const float *x)
{
    double score[MET_MOST_CLASSES];
    int best = 0;

    for (int c = 0; c < f->classes; c++)
        score[c] = f->bias[c];
    for (int j = 0; j < f->d; j++) {
        double xj = (x[j] - f->mean[j]) * f->by[j];
        for (int c = 0; c < f->classes; c++)
            score[c] += xj * f->w[(size_t)j * f->classes + c];
    }
    for (int c = 1; c < f->classes; c++)
        if (score[c] > score[best])
            best = c;
    return best;
}

static void judge_rows(void *ctx, size_t job, int worker)
{
    const judge *q = ctx;
    int first = (int)job * ROWS, end = least(first + ROWS, q->r->n), right = 0;
    (void)worker;

    for (int i = first; i < end; i++) {
        size_t at = row_at(q->r, i);
        right += best_class(q->f, q->r->x + at * (size_t)q->f->d) == q->r->label[at];
    }
    q->right[job] = right;
}

static double share_of(const met_linear_map *f, const rows *r, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), jobs = jobs_of(r->n);
    judge q = { f, r, NN_NEW(scratch, int, jobs) };
    long right = 0;

    nn_par_run(jobs, judge_rows, &q);
    for (size_t i = 0; i < jobs; i++)
        right += q.right[i];
    nn_arena_rewind(scratch, mark);
    return (double)right / r->n;
}

/* ---- ridge ------------------------------------------------------------------------- */

/* Means and covariances of [X | one-hot], wide = d + classes columns. */
typedef struct moments {
    int d, wide;
    const rows *r;
    float *z;                   /* (n, wide) */
    double *mean, *c;           /* (wide), (wide, wide) */
} moments;

static void join_rows(void *ctx, size_t job, int worker)
{
    const moments *m = ctx;
    int first = (int)job * ROWS, end = least(first + ROWS, m->r->n);
    size_t d = (size_t)m->d, wide = (size_t)m->wide;
    (void)worker;

    for (int i = first; i < end; i++) {
        size_t at = row_at(m->r, i);
        float *z = m->z + (size_t)i * wide;
        memcpy(z, m->r->x + at * d, sizeof *z * d);
        memset(z + d, 0, sizeof *z * (wide - d));
        z[d + m->r->label[at]] = 1;
    }
}

static void moments_of(moments *m, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);

    m->z = NN_NEW(scratch, float, (size_t)m->r->n * (size_t)m->wide);
    nn_par_run(jobs_of(m->r->n), join_rows, m);
    nn_col_mean(m->r->n, m->wide, m->z, m->mean, scratch);
    nn_gram(m->r->n, m->wide, m->z, m->mean, m->r->n, m->c, scratch);
    nn_arena_rewind(scratch, mark);
}

/* Covariances become correlations on the way: std_j is the root of their diagonal. */
static int solve(const moments *m, double lambda, met_linear_map *f, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), d = (size_t)m->d, wide = (size_t)m->wide;
    size_t classes = wide - d;
    double *a = NN_NEW(scratch, double, d * d);

    for (size_t j = 0; j < d; j++) {
        double var = m->c[j * wide + j];
        f->mean[j] = m->mean[j];
        f->by[j] = var > 0 ? 1 / sqrt(var) : 0;
    }
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j <= i; j++)
            a[i * d + j] = m->c[i * wide + j] * f->by[i] * f->by[j];
        a[i * d + i] += lambda;
        for (size_t c = 0; c < classes; c++)
            f->w[i * classes + c] = m->c[i * wide + d + c] * f->by[i];
    }
    for (size_t c = 0; c < classes; c++)
        f->bias[c] = m->mean[d + c];
    int failed = nn_cholesky((int)d, a);
    if (!failed)
        nn_cholesky_solve((int)d, a, (int)classes, f->w);
    f->strength = lambda;
    nn_arena_rewind(scratch, mark);
    return !failed;
}

static int ridge(const met_linear_settings *s, const rows *all, const rows *kept,
                 const rows *held, met_linear_map *f, nn_arena *scratch)
{
    size_t wide = (size_t)f->d + (size_t)f->classes;
    moments m = { .d = f->d, .wide = (int)wide, .r = kept,
                  .mean = NN_NEW(scratch, double, wide),
                  .c = NN_NEW(scratch, double, wide * wide) };
    double lambda = s->lambda > 0 ? s->lambda : lambdas[0], best = -1;

    if (s->lambda == 0 && held->n > 0) {
        moments_of(&m, scratch);
        for (size_t i = 0; i < NN_COUNT(lambdas) && !stopped(s); i++) {
            double share =
                solve(&m, lambdas[i], f, scratch) ? share_of(f, held, scratch) : -1;
            if (share > best) {
                best = share;
                lambda = lambdas[i];
            }
        }
    }
    if (stopped(s))
        return 0;
    m.r = all;
    moments_of(&m, scratch);
    return solve(&m, lambda, f, scratch);
}

/* ---- logistic regression by SGD ---------------------------------------------------- */

/* The rows of some batches, standardised, each with a 1 behind it. */
typedef struct stage {
    const met_linear_map *f;
    const rows *r;
    const uint32_t *order;
    int first, n;               /* rows order[first] ... of r */
    float *x;                   /* (n, d + 1) */
    uint16_t *label;
} stage;

static void stage_rows(void *ctx, size_t job, int worker)
{
    const stage *g = ctx;
    int first = (int)job * ROWS, end = least(first + ROWS, g->n), d = g->f->d;
    (void)worker;

    for (int i = first; i < end; i++) {
        size_t at = row_at(g->r, (int)g->order[g->first + i]);
        const float *x = g->r->x + at * (size_t)d;
        float *to = g->x + (size_t)i * ((size_t)d + 1);
        for (int j = 0; j < d; j++)
            to[j] = (float)((x[j] - g->f->mean[j]) * g->f->by[j]);
        to[d] = 1;
        g->label[i] = g->r->label[at];
    }
}

/* Weights, their velocity and gradient (d + 1, classes), scores (batch, classes). */
typedef struct learner {
    size_t d1, classes;
    float *w, *v, *dw, *g;
} learner;

static void step(const learner *l, const float *x, const uint16_t *label, int batch,
                 float lr, float momentum, nn_arena *scratch)
{
    size_t n = (size_t)batch, d1 = l->d1, classes = l->classes;
    const float share = 1 / (float)batch;
    float top;

    nn_gemm(n, classes, d1, (nn_mat){ x, d1, 1 }, (nn_mat){ l->w, classes, 1 }, l->g,
            classes, NULL, scratch);
    for (size_t i = 0; i < n; i++) {
        float *g = l->g + i * classes;
        nn_kern_now->softmax(classes, g, g, &top);
        g[label[i]] -= 1;
    }
    nn_gemm(d1, classes, n, (nn_mat){ x, 1, d1 }, (nn_mat){ l->g, classes, 1 }, l->dw,
            classes, NULL, scratch);
    for (size_t i = 0; i < d1 * classes; i++) {
        l->v[i] = momentum * l->v[i] + share * l->dw[i];
        l->w[i] -= lr * l->v[i];
    }
}

static void descend(const met_linear_settings *s, double lr, const rows *r,
                    met_linear_map *f, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), d1 = (size_t)f->d + 1;
    size_t classes = (size_t)f->classes, batch = (size_t)least(s->batch, r->n);
    learner l = { d1, classes, NN_NEW0(scratch, float, d1 * classes),
                  NN_NEW0(scratch, float, d1 * classes),
                  NN_NEW(scratch, float, d1 * classes),
                  NN_NEW(scratch, float, batch * classes) };
    uint32_t *order = NN_NEW(scratch, uint32_t, r->n);
    stage g = { .f = f, .r = r, .order = order,
                .x = NN_NEW(scratch, float, AHEAD * batch * d1),
                .label = NN_NEW(scratch, uint16_t, AHEAD * batch) };
    double steps = (double)s->epochs * (((size_t)r->n + batch - 1) / batch), done = 0;

    for (int epoch = 0; epoch < s->epochs && !stopped(s); epoch++) {
        nn_rng rng = nn_rng_at(s->seed, NN_RNG_METRIC, (uint32_t)epoch,
                               nn_hash_name("linear probe, order"));
        nn_rng_permute(&rng, order, (uint32_t)r->n);
        for (g.first = 0; g.first < r->n && !stopped(s); g.first += g.n) {
            g.n = least(AHEAD * (int)batch, r->n - g.first);
            nn_par_run(jobs_of(g.n), stage_rows, &g);
            for (int i = 0; i < g.n; i += (int)batch)
                step(&l, g.x + (size_t)i * d1, g.label + i, least((int)batch, g.n - i),
                     (float)(lr / 2 * (1 + nn_cos(pi * (done++ / steps)))),
                     (float)s->momentum, scratch);
        }
    }
    for (size_t i = 0; i < (d1 - 1) * classes; i++)
        f->w[i] = l.w[i];
    for (size_t c = 0; c < classes; c++)
        f->bias[c] = l.w[(d1 - 1) * classes + c];
    f->strength = lr;
    nn_arena_rewind(scratch, mark);
}

/* The statistics are those of all rows, the held ones included: they need no label. */
static void sgd(const met_linear_settings *s, const rows *all, const rows *kept,
                const rows *held, met_linear_map *f, nn_arena *scratch)
{
    double lr = s->lr > 0 ? s->lr : rates[0], best = -1;

    nn_col_mean(all->n, f->d, all->x, f->mean, scratch);
    met_col_std(all->n, f->d, all->x, f->mean, f->by, scratch);
    for (int j = 0; j < f->d; j++)
        f->by[j] = f->by[j] > 0 ? 1 / f->by[j] : 0;
    size_t tried = s->lr == 0 && held->n > 0 ? NN_COUNT(rates) : 0;
    for (size_t i = 0; i < tried && !stopped(s); i++) {
        descend(s, rates[i], kept, f, scratch);
        double share = share_of(f, held, scratch);
        if (share > best) {
            best = share;
            lr = rates[i];
        }
    }
    descend(s, lr, all, f, scratch);
}

/* ---- both -------------------------------------------------------------------------- */

static void check_settings(const met_linear_settings *s, int d)
{
    NN_NEED(s->classes > 0 && s->classes <= MET_MOST_CLASSES && d > 0,
            "linear probe: %d classes, %d features", s->classes, d);
    NN_NEED(s->lambda >= 0 && s->lr >= 0 && s->momentum >= 0 && s->momentum < 1,
            "linear probe: lambda %g, lr %g, momentum %g", s->lambda, s->lr, s->momentum);
    NN_NEED(s->protocol == MET_RIDGE || (s->epochs > 0 && s->batch > 0),
            "linear probe: %d epochs, batch %d", s->epochs, s->batch);
}

int met_linear_fit(const met_linear_settings *s, int d, const float *x,
                   const uint16_t *label, int n, met_linear_map *f, nn_arena *arena)
{
    check_settings(s, d);
    met_check_labels("linear probe: training", label, n, s->classes);
    if (n < 1 || !met_finite(x, (size_t)n * d))
        return 0;
    *f = (met_linear_map){ .d = d, .classes = s->classes,
                           .mean = NN_NEW(arena, double, d),
                           .by = NN_NEW(arena, double, d),
                           .w = NN_NEW(arena, double, (size_t)d * s->classes),
                           .bias = NN_NEW(arena, double, s->classes) };

    size_t mark = nn_arena_mark(arena);
    uint32_t *order = NN_NEW(arena, uint32_t, n);
    nn_rng rng = nn_rng_at(s->seed, NN_RNG_METRIC, 0,
                           nn_hash_name("linear probe, split"));
    nn_rng_permute(&rng, order, (uint32_t)n);
    const rows all = { x, label, NULL, n }, held = { x, label, order, n / 10 };
    const rows kept = { x, label, order + held.n, n - held.n };
    int fitted = 1;
    if (s->protocol == MET_RIDGE)
        fitted = ridge(s, &all, &kept, &held, f, arena);
    else
        sgd(s, &all, &kept, &held, f, arena);
    nn_arena_rewind(arena, mark);
    if (stopped(s))
        return 0;
    for (size_t i = 0; i < (size_t)d * s->classes; i++)
        fitted &= isfinite(f->w[i]) != 0;
    for (int c = 0; c < s->classes; c++)
        fitted &= isfinite(f->bias[c]) != 0;
    return fitted;
}

double met_linear_share(const met_linear_map *f, const float *x, const uint16_t *label,
                        int n, nn_arena *scratch)
{
    met_check_labels("linear probe: test", label, n, f->classes);
    if (n < 1 || !met_finite(x, (size_t)n * f->d))
        return NAN;
    return share_of(f, &(rows){ x, label, NULL, n }, scratch);
}

double met_linear(const met_linear_settings *s, int d, const float *train,
                  const uint16_t *train_label, int n, const float *test,
                  const uint16_t *test_label, int m, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    met_linear_map f;
    double share = NAN;

    if (met_linear_fit(s, d, train, train_label, n, &f, scratch))
        share = met_linear_share(&f, test, test_label, m, scratch);
    nn_arena_rewind(scratch, mark);
    return share;
}
