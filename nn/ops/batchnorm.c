/* batchnorm: every column (channel) gets mean zero and variance one over the rows of this
 * call, then a scale and a shift of its own; optionally + residual and ReLU in one pass.
 *
 *   forward    mu_j, var_j over the R rows (var with denominator R)
 *              y_ij = act(gamma_j (x_ij - mu_j) / sqrt(var_j + eps) + beta_j + r_ij)
 *   backward   g = dy, masked by y > 0 under ReLU;   xh = (x - mu) / sqrt(var + eps)
 *              dgamma_j += sum_i g xh      dbeta_j += sum_i g      dr += g
 *              dx += gamma_j / sqrt(var_j + eps) (g - mean(g) - xh mean(g xh))
 *
 * (Ioffe, Szegedy, "Batch Normalization", 2015; conventions of the spec's section 1.1:
 * running = (1 - momentum) running + momentum batch, with the R - 1 variance.)  Images are
 * rows too: (n, h, w, c) has n h w rows, so the 1d and the 2d form are the same operator.
 * Two views are two calls.  With NN_EVAL the running statistics take the place of the
 * batch's and dx is gamma / sqrt(var + eps) g alone.
 *
 * Moments: chunks of NN_ROWS rows around their own mean, joined in double as a tree.  What
 * a mean m far above the spread s costs is float32's share of it, about 1e-7 m / s. */
#include <math.h>

#include "nn/base.h"
#include "nn/ops/inner.h"

typedef struct setting {
    nn_running running;
    int relu, affine, residual, batch;          /* batch: statistics of this call */
} setting;

/* what is kept, each c floats */
enum { MEAN, ISTD, SCALE, SHIFT, KEPT };

static const setting *of(const nn_node *y)
{
    return (const void *)y->attr;
}

/* The places of gamma, beta and the residual among the inputs. */
static nn_node *gamma_of(const nn_node *y)
{
    return of(y)->affine ? y->in[1] : NULL;
}

static nn_node *beta_of(const nn_node *y)
{
    return of(y)->affine ? y->in[2] : NULL;
}

static nn_node *residual_of(const nn_node *y)
{
    return of(y)->residual ? y->in[y->ins - 1] : NULL;
}

static void shape(nn_node *y)
{
    const nn_node *x = y->in[0], *r = residual_of(y);
    size_t c = (size_t)nn_cols(x);
    NN_NEED(!of(y)->affine || (nn_count(y->in[1]) == c && nn_count(y->in[2]) == c),
            "batchnorm: %zu channels, gamma has %zu", c, nn_count(y->in[1]));
    NN_NEED(!r || nn_shape_same(&r->shape, &x->shape),
            "batchnorm: residual of another shape");
    NN_NEED(!of(y)->batch || nn_rows(x) > 1,
            "batchnorm: the variance of one row is unknown");
    y->shape = x->shape;
    y->kept = KEPT * c;
}

static nn_bn columns_of(const nn_node *y, size_t c)
{
    return (nn_bn){ .a = y->keep + SCALE * c, .b = y->keep + SHIFT * c,
                    .mean = y->keep + MEAN * c, .relu = of(y)->relu };
}

typedef struct pass {                           /* what the jobs of one loop share */
    const nn_node *y;
    const float *val, *dy;                      /* val: y's, or NULL (kern.h) */
    size_t rows, c, chunks;
    float *work;                                /* 2c floats per worker */
    double *part;                               /* 2c doubles per chunk */
    nn_bn bn;
    float *dx, *dr;
    int add;
} pass;

/* A pass that only reads goes through the chunks from the last to the first, and the pass
 * after it from the first to the last: each begins with what the cache still holds. */
static void moments_chunk(void *ctx, size_t job, int worker)
{
    pass *s = ctx;
    size_t chunk = s->chunks - 1 - job;
    size_t n = nn_chunk_rows(s->rows, chunk), c = s->c;
    const float *x = s->y->in[0]->val + chunk * NN_ROWS * c;
    float *mean = s->work + (size_t)worker * 2 * c, *sq = mean + c;
    double *sum = s->part + chunk * 2 * c;

    nn_kern_now->col_sum(n, c, x, mean);
    for (size_t j = 0; j < c; j++) {
        sum[j] = mean[j];
        mean[j] /= (float)n;
    }
    nn_kern_now->col_sq(n, c, x, mean, sq);
    for (size_t j = 0; j < c; j++)
        sum[c + j] = sq[j];
}

/* Mean and summed squares about it of the rows of two neighbouring groups. */
static void join(double *a, const double *b, double na, double nb, size_t c)
{
    for (size_t j = 0; j < c; j++) {
        double gap = b[j] / nb - a[j] / na;
        a[c + j] += b[c + j] + gap * gap * (na * nb / (na + nb));
        a[j] += b[j];
    }
}

static void batch_moments(nn_node *y, double *mean, double *var, nn_arena *scratch)
{
    size_t rows = (size_t)nn_rows(y), c = (size_t)nn_cols(y), chunks = nn_chunks(rows);
    pass s = { .y = y, .rows = rows, .c = c, .chunks = chunks,
               .work = NN_NEW(scratch, float, 2 * c * (size_t)nn_par_threads()),
               .part = NN_NEW(scratch, double, 2 * c * chunks) };

    nn_par_run(chunks, moments_chunk, &s);
    for (size_t gap = 1; gap < chunks; gap *= 2)
        for (size_t i = 0; i + gap < chunks; i += 2 * gap) {
            size_t right =
                i + 2 * gap < chunks ? gap * NN_ROWS : rows - (i + gap) * NN_ROWS;
            join(s.part + i * 2 * c, s.part + (i + gap) * 2 * c, (double)(gap * NN_ROWS),
                 (double)right, c);
        }
    for (size_t j = 0; j < c; j++) {
        mean[j] = s.part[j] / (double)rows;
        var[j] = s.part[c + j] / (double)rows;
    }
}

static void update_running(const nn_running *r, const double *mean, const double *var,
                           size_t rows, size_t c)
{
    double m = (double)r->momentum, unbiased = (double)rows / (double)(rows - 1);
    for (size_t j = 0; j < c; j++) {
        r->mean[j] = (float)((1 - m) * (double)r->mean[j] + m * mean[j]);
        r->var[j] = (float)((1 - m) * (double)r->var[j] + m * var[j] * unbiased);
    }
}

static void apply_chunk(void *ctx, size_t chunk, int worker)
{
    pass *s = ctx;
    size_t at = chunk * NN_ROWS * s->c;
    const nn_node *r = residual_of(s->y);
    (void)worker;
    nn_kern_now->bn_apply(nn_chunk_rows(s->rows, chunk), s->c, &s->bn,
                          s->y->in[0]->val + at, r ? r->val + at : NULL,
                          s->y->val + at);
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const setting *o = of(y);
    size_t rows = (size_t)nn_rows(y), c = (size_t)nn_cols(y);
    double *mean = NN_NEW(scratch, double, c), *var = NN_NEW(scratch, double, c);
    float *keep_mean = y->keep + MEAN * c, *istd = y->keep + ISTD * c,
          *scale = y->keep + SCALE * c, *shift = y->keep + SHIFT * c;

    if (o->batch) {
        batch_moments(y, mean, var, scratch);
        if (y->tape->mode == NN_TRAIN && o->running.mean)
            update_running(&o->running, mean, var, rows, c);
    }
    for (size_t j = 0; j < c; j++) {
        double mu = o->batch ? mean[j] : (double)o->running.mean[j];
        double v = o->batch ? var[j] : (double)o->running.var[j];
        double i = 1 / sqrt(v + (double)o->running.eps);
        double a = o->affine ? (double)y->in[1]->val[j] * i : i;
        keep_mean[j] = (float)mu;
        istd[j] = (float)i;
        scale[j] = (float)a;
        shift[j] = (float)((o->affine ? (double)y->in[2]->val[j] : 0) - mu * a);
    }
    pass s = { .y = y, .rows = rows, .c = c, .bn = columns_of(y, c) };
    nn_par_run(nn_chunks(rows), apply_chunk, &s);
}

static void sums_chunk(void *ctx, size_t job, int worker)
{
    pass *s = ctx;
    size_t chunk = s->chunks - 1 - job;
    size_t at = chunk * NN_ROWS * s->c, c = s->c;
    float *g = s->work + (size_t)worker * 2 * c, *gx = g + c;
    double *part = s->part + chunk * 2 * c;

    nn_kern_now->bn_sums(nn_chunk_rows(s->rows, chunk), c, &s->bn,
                         s->y->in[0]->val + at, s->val ? s->val + at : NULL, s->dy + at,
                         g, gx);
    for (size_t j = 0; j < 2 * c; j++)
        part[j] = g[j];
}

static void grad_chunk(void *ctx, size_t chunk, int worker)
{
    pass *s = ctx;
    size_t at = chunk * NN_ROWS * s->c, c = s->c;
    (void)worker;
    nn_kern_now->bn_grad(nn_chunk_rows(s->rows, chunk), c, &s->bn,
                         s->y->in[0]->val + at, s->val ? s->val + at : NULL, s->dy + at,
                         s->add, s->dx + at, s->dr ? s->dr + at : NULL);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    const setting *o = of(y);
    size_t rows = (size_t)nn_rows(y), c = (size_t)nn_cols(y), chunks = nn_chunks(rows);
    nn_node *r = residual_of(y);
    int add_x = 0, add_r = 0;
    float *dgamma = o->affine ? nn_grad_zeroed(gamma_of(y)) : NULL;
    float *dbeta = o->affine ? nn_grad_zeroed(beta_of(y)) : NULL;
    const float *istd = y->keep + ISTD * c, *scale = y->keep + SCALE * c;
    float *q = NN_NEW(scratch, float, c), *u = NN_NEW(scratch, float, c);
    pass s = { .y = y, .val = r ? y->val : NULL, .dy = y->grad, .rows = rows, .c = c,
               .chunks = chunks, .bn = columns_of(y, c),
               .work = NN_NEW(scratch, float, 2 * c * (size_t)nn_par_threads()),
               .part = NN_NEW(scratch, double, 2 * c * chunks) };

    s.bn.q = q;
    s.bn.u = u;
    nn_par_run(chunks, sums_chunk, &s);
    nn_fold_double(s.part, chunks, 2 * c);
    for (size_t j = 0; j < c; j++) {
        double g = s.part[j], gx = s.part[c + j] * (double)istd[j];     /* sum g, sum g xh */
        double share = o->batch ? -(double)scale[j] / (double)rows : 0;
        q[j] = (float)(share * gx * (double)istd[j]);
        u[j] = (float)(share * g);
        if (dgamma)
            dgamma[j] += (float)gx;
        if (dbeta)
            dbeta[j] += (float)g;
    }
    s.dr = r ? nn_grad_over(r, y, &add_r) : NULL;
    s.dx = nn_grad_over(y->in[0], y, &add_x);
    if (!s.dx && !s.dr)
        return;
    if (!s.dx)
        s.dx = NN_NEW(scratch, float, rows * c);
    s.add = (add_x ? 1 : 0) | (add_r ? 2 : 0);
    nn_par_run(chunks, grad_chunk, &s);
}

nn_node *nn_batchnorm(nn_tape *t, nn_node *x, nn_node *gamma, nn_node *beta,
                      nn_node *residual, nn_act act, nn_running running)
{
    nn_node *in[4] = { x };
    int ins = 1;
    setting o = { running, act == NN_RELU, gamma && beta, residual != NULL,
                  t->mode != NN_EVAL };

    NN_NEED(!gamma == !beta, "batchnorm: gamma and beta go together");
    NN_NEED(o.batch || running.mean, "batchnorm: evaluation without running statistics");
    if (o.affine) {
        in[ins++] = gamma;
        in[ins++] = beta;
    }
    if (residual)
        in[ins++] = residual;
    return nn_record(t, &nn_op_batchnorm, in, ins, &o, sizeof o);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_batchnorm(t, in[0], in[1], in[2], NULL, NN_LINEAR,
                        (nn_running){ .eps = 1e-5f });
}

static nn_node *example_residual(nn_tape *t, nn_node *const *in)
{
    return nn_batchnorm(t, in[0], in[1], in[2], in[3], NN_RELU,
                        (nn_running){ .eps = 1e-5f });
}

static nn_node *example_plain(nn_tape *t, nn_node *const *in)
{
    return nn_batchnorm(t, in[0], NULL, NULL, NULL, NN_RELU,
                        (nn_running){ .eps = 1e-5f });
}

const nn_op nn_op_batchnorm = {
    "batchnorm", shape, forward, backward,
    { 3, { { 2, { 9, 5 } }, { 1, { 5 } }, { 1, { 5 } } }, example },
    0, NULL
};

/* The same operator in its two fused forms, listed so that the gradient test sees them. */
const nn_op nn_op_batchnorm_relu = {
    "batchnorm_relu", shape, forward, backward,
    { 1, { { 2, { 9, 5 } } }, example_plain },
    0, NULL
};

const nn_op nn_op_batchnorm_add_relu = {
    "batchnorm_add_relu", shape, forward, backward,
    { 4, { { 4, { 2, 3, 2, 5 } }, { 1, { 5 } }, { 1, { 5 } }, { 4, { 2, 3, 2, 5 } } },
      example_residual },
    0, NULL
};
