/* The online probe: a classifier that learns beside the method (spec 11.3).
 *
 *   x_ij = (h_ij - mean_j) / sqrt(var_j + 1e-5)    over the batch, var the population's
 *   G    = (softmax(x W' + b) - one-hot) / n       the gradient of the mean cross-entropy
 *   V <- momentum V + G'x,  W <- W - lr V          b alike
 *   running <- 0.9 running + 0.1 batch             var there with n - 1 for n
 *
 * Statistics as BatchNorm of PyTorch keeps them, so that features of any scale can be
 * followed while they change; in evaluation the running ones stand for the batch's.  Its
 * figure lags behind the features: read the linear probe at the end for the record. */
#include <math.h>
#include <string.h>

#include "metrics/met.h"
#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/linalg.h"
#include "nn/par.h"

enum { ROWS = 64 };                     /* rows of a job */

static const double eps = 1e-5, renewal = 0.1;          /* BatchNorm's usual figures */

met_online met_online_of(int d, int classes, nn_arena *a)
{
    size_t size = (size_t)d * (size_t)classes;
    met_online o = { .d = d, .classes = classes, .weight = NN_NEW(a, float, size),
                     .bias = NN_NEW(a, float, classes),
                     .weight_velocity = NN_NEW(a, float, size),
                     .bias_velocity = NN_NEW(a, float, classes),
                     .mean = NN_NEW(a, float, d), .var = NN_NEW(a, float, d) };

    met_online_start(&o);
    return o;
}

void met_online_start(met_online *o)
{
    NN_NEED(o->d > 0 && o->classes > 0 && o->classes <= MET_MOST_CLASSES,
            "online probe: %d features, %d classes", o->d, o->classes);
    size_t d = (size_t)o->d, classes = (size_t)o->classes;

    o->lr = 0.1f;
    o->momentum = 0.9f;
    memset(o->weight, 0, sizeof *o->weight * d * classes);
    memset(o->weight_velocity, 0, sizeof *o->weight_velocity * d * classes);
    memset(o->bias, 0, sizeof *o->bias * classes);
    memset(o->bias_velocity, 0, sizeof *o->bias_velocity * classes);
    memset(o->mean, 0, sizeof *o->mean * d);
    for (size_t j = 0; j < d; j++)
        o->var[j] = 1;
}

/* x = (h - mean) by, where `by` comes as the standard deviation of the batch. */
typedef struct batch { int n, d; const float *h; double *mean, *by; float *x; } batch;

static void normalise_rows(void *ctx, size_t job, int worker)
{
    const batch *b = ctx;
    int first = (int)job * ROWS, end = first + ROWS < b->n ? first + ROWS : b->n;
    (void)worker;

    for (int i = first; i < end; i++) {
        const float *h = b->h + (size_t)i * b->d;
        float *x = b->x + (size_t)i * b->d;
        for (int j = 0; j < b->d; j++)
            x[j] = (float)((h[j] - b->mean[j]) * b->by[j]);
    }
}

static void normalise(met_online *o, batch *b, nn_arena *scratch)
{
    double unbiased = b->n > 1 ? b->n / (b->n - 1.0) : 1;

    nn_col_mean(b->n, b->d, b->h, b->mean, scratch);
    met_col_std(b->n, b->d, b->h, b->mean, b->by, scratch);
    for (int j = 0; j < b->d; j++) {
        double var = b->by[j] * b->by[j];
        o->mean[j] = (float)((1 - renewal) * o->mean[j] + renewal * b->mean[j]);
        o->var[j] = (float)((1 - renewal) * o->var[j] + renewal * unbiased * var);
        b->by[j] = 1 / sqrt(var + eps);
    }
    nn_par_run(((size_t)b->n + ROWS - 1) / ROWS, normalise_rows, b);
}

static void update(const met_online *o, size_t n, const float *gradient, float *velocity,
                   float *value)
{
    for (size_t i = 0; i < n; i++) {
        velocity[i] = o->momentum * velocity[i] + gradient[i];
        value[i] -= o->lr * velocity[i];
    }
}

double met_online_step(met_online *o, const float *h, const uint16_t *label, int rows,
                       nn_arena *scratch)
{
    met_check_labels("online probe:", label, rows, o->classes);
    if (rows < 1 || !met_finite(h, (size_t)rows * o->d))
        return NAN;
    size_t mark = nn_arena_mark(scratch), n = (size_t)rows, d = (size_t)o->d;
    size_t classes = (size_t)o->classes;
    batch b = { rows, o->d, h, NN_NEW(scratch, double, d), NN_NEW(scratch, double, d),
                NN_NEW(scratch, float, n * d) };
    float *g = NN_NEW(scratch, float, n * classes);
    float *dw = NN_NEW(scratch, float, classes * d);
    float *db = NN_NEW0(scratch, float, classes);
    const nn_epilogue e = { .bias = o->bias };
    double loss = 0;

    normalise(o, &b, scratch);
    nn_gemm(n, classes, d, (nn_mat){ b.x, d, 1 }, (nn_mat){ o->weight, 1, d }, g, classes,
            &e, scratch);
    for (size_t i = 0; i < n; i++) {
        float *gi = g + i * classes, score = gi[label[i]], top;
        float sum = nn_kern_now->softmax(classes, gi, gi, &top);
        loss += nn_log(sum) + ((double)top - score);
        gi[label[i]] -= 1;
        for (size_t c = 0; c < classes; c++) {
            gi[c] /= (float)rows;
            db[c] += gi[c];
        }
    }
    nn_gemm(classes, d, n, (nn_mat){ g, 1, classes }, (nn_mat){ b.x, d, 1 }, dw, d, NULL,
            scratch);
    update(o, classes * d, dw, o->weight_velocity, o->weight);
    update(o, classes, db, o->bias_velocity, o->bias);
    nn_arena_rewind(scratch, mark);
    return loss / rows;
}

double met_online_test(const met_online *o, const float *h, const uint16_t *label, int n,
                       nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), d = (size_t)o->d, classes = (size_t)o->classes;
    met_linear_map f = { .d = o->d, .classes = o->classes,
                         .mean = NN_NEW(scratch, double, d),
                         .by = NN_NEW(scratch, double, d),
                         .w = NN_NEW(scratch, double, d * classes),
                         .bias = NN_NEW(scratch, double, classes) };

    for (size_t j = 0; j < d; j++) {
        f.mean[j] = o->mean[j];
        f.by[j] = 1 / sqrt(o->var[j] + eps);
        for (size_t c = 0; c < classes; c++)
            f.w[j * classes + c] = o->weight[c * d + j];
    }
    for (size_t c = 0; c < classes; c++)
        f.bias[c] = o->bias[c];
    double share = met_linear_share(&f, h, label, n, scratch);
    nn_arena_rewind(scratch, mark);
    return share;
}
