/* A codebook from outside: which codes are hit, where they lie, how they move.
 *
 *   p_k = count_k / n
 *
 *   usage       share of k with count_k > 0               of at most 1 - (1 - 1/K)^n
 *   perplexity  exp(-sum_k p_k ln p_k)                    as many codes hit alike
 *   corrected   the same of an entropy that is higher     "Note on the bias of
 *               by (used - 1)/(2 n)                       information estimates",
 *                                                         Miller, 1955
 *
 *   erank       exp(-sum pi ln pi), pi = s_j / sum s      s: singular values of the
 *   participation  (sum s^2)^2 / sum s^4                  centred codebook */
#include "metrics/code.h"

#include <math.h>
#include <string.h>

#include "metrics/order.h"
#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/kern.h"
#include "nn/linalg.h"
#include "nn/par.h"

enum { ROWS = 256 };            /* codes of one sum or job: part of the result */

static const double
    seldom = 10,                /* U_eps counts codes above 1/10 of a fair share */
    moves = 0.01,
    twin = 1e-6;

/* ---- counts ------------------------------------------------------------------------ */

/* ln(1 + x): what 1 + x lost by rounding comes back as x / (u - 1) (Kahan) */
static double log1p_of(double x)
{
    double u = 1 + x;

    return u == 1 ? x : nn_log(u) * (x / (u - 1));
}

/* 1 - exp(y) for y <= 0, -infinity too; by the same device where the difference would
 * cancel */
static double one_less_exp(double y)
{
    double e = nn_exp(y);

    if (y < -1)
        return 1 - e;
    return e == 1 ? -y : (1 - e) * (y / nn_log(e));
}

static double chance(double k, double n)
{
    return one_less_exp(n * log1p_of(-1 / k));
}

static double total(size_t k, const float *count)
{
    double n = 0;

    NN_NEED(k > 0, "counts of no codes");
    for (size_t i = 0; i < k; i++) {
        NN_NEED(count[i] >= 0 && isfinite(count[i]), "code %zu was hit %g times", i,
                count[i]);
        n += count[i];
    }
    return n;
}

/* Sums of sums of ROWS terms: one long sum of equal terms rounds to one side. */
static double entropy_of(size_t k, const float *count, double n)
{
    double h = 0;

    for (size_t first = 0; first < k; first += ROWS) {
        double part = 0;
        for (size_t i = first; i < k && i < first + ROWS; i++)
            if (count[i] > 0)
                part -= count[i] / n * nn_log(count[i] / n);
        h += part;
    }
    return h;
}

met_usage met_code_usage(size_t k, const float *count)
{
    met_usage u = { .k = (double)k, .n = total(k, count) };
    double often = 0;

    if (u.n == 0) {
        u.usage = u.usage_max = u.usage_eps = NAN;
        u.perplexity = u.perplexity_corrected = NAN;
        return u;
    }
    for (size_t i = 0; i < k; i++) {
        u.used += count[i] > 0;
        often += seldom * u.k * count[i] > u.n;         /* whole numbers: no rounding */
    }
    double entropy = entropy_of(k, count, u.n);
    u.usage = u.used / u.k;
    u.usage_max = chance(u.k, u.n);
    u.usage_eps = often / u.k;
    u.perplexity = nn_exp(entropy);
    u.perplexity_corrected = nn_exp(entropy + (u.used - 1) / (2 * u.n));
    return u;
}

/* floor(log2(p k) + 1/2) by the exponent of the float format: no logarithm */
static int bin_of(double fair)
{
    static const double root = 0x1.6a09e667f3bcdp+0;
    int b = MET_CODE_FAIR + ilogb(fair * root);

    return b < 1 ? 1 : b > MET_CODE_BINS - 1 ? MET_CODE_BINS - 1 : b;
}

void met_code_histogram(size_t k, const float *count, double bins[MET_CODE_BINS])
{
    double n = total(k, count);

    memset(bins, 0, sizeof *bins * MET_CODE_BINS);
    for (size_t i = 0; i < k; i++)
        bins[count[i] > 0 ? bin_of((double)k * count[i] / n) : 0]++;
    for (int b = 0; b < MET_CODE_BINS; b++)
        bins[b] /= (double)k;
}

double met_code_churn(size_t n, const int *before, const int *now)
{
    size_t changed = 0;

    for (size_t i = 0; i < n; i++)
        changed += before[i] != now[i];
    return n > 0 ? (double)changed / (double)n : NAN;
}

/* ---- codes ------------------------------------------------------------------------- */

/* The rows that were hit, or all as they are. */
static const float *hit(size_t k, size_t d, const float *code, const float *count,
                        size_t *rows, nn_arena *scratch)
{
    *rows = k;
    if (!count)
        return code;
    float *x = NN_NEW(scratch, float, k * d);

    *rows = 0;
    for (size_t i = 0; i < k; i++)
        if (count[i] > 0)
            memcpy(x + (*rows)++ * d, code + i * d, sizeof *x * d);
    return x;
}

/* From the m greatest eigenvalues of the Gram matrix, lambda = s^2. */
static met_rank rank_of(int m, const double *lambda)
{
    double roots = 0, sum = 0, squares = 0, entropy = 0;

    for (int j = 0; j < m; j++) {
        roots += sqrt(lambda[j]);
        sum += lambda[j];
    }
    if (sum == 0)
        return (met_rank){ 1, 1 };
    for (int j = 0; j < m; j++) {
        double p = sqrt(lambda[j]) / roots, share = lambda[j] / sum;
        squares += share * share;
        if (p > 0)
            entropy -= p * nn_log(p);
    }
    return (met_rank){ nn_exp(entropy), 1 / squares };
}

met_rank met_code_rank(size_t k, size_t d, const float *code, const float *count,
                       nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), rows;
    const float *x = hit(k, d, code, count, &rows, scratch);
    met_rank r = { NAN, NAN };

    if (rows > 0 && met_finite(x, rows * d)) {
        int n = (int)rows, m = (int)(rows < d ? rows : d);
        double *mean = NN_NEW(scratch, double, d), *lambda = NN_NEW(scratch, double, m);
        nn_col_mean(n, (int)d, x, mean, scratch);
        met_spectrum(n, (int)d, x, mean, 1, lambda, scratch);
        r = rank_of(m, lambda);
    }
    nn_arena_rewind(scratch, mark);
    return r;
}

typedef struct paths {
    size_t k, d;
    const float *before, *now;
    double *length, *way;               /* |before|, |now - before| */
} paths;

static void measure(void *ctx, size_t job, int worker)
{
    const paths *p = ctx;
    size_t end = (job + 1) * ROWS < p->k ? (job + 1) * ROWS : p->k;
    (void)worker;

    for (size_t i = job * ROWS; i < end; i++) {
        const float *a = p->before + i * p->d, *b = p->now + i * p->d;
        p->length[i] = sqrt(nn_kern_now->dot(p->d, a, a));
        p->way[i] = sqrt(nn_kern_now->dist2(p->d, a, b));
    }
}

double met_code_moved(size_t k, size_t d, const float *before, const float *now,
                      nn_arena *scratch)
{
    if (k == 0 || !met_finite(before, k * d) || !met_finite(now, k * d))
        return NAN;
    size_t mark = nn_arena_mark(scratch), moved = 0;
    paths p = { k, d, before, now, .length = NN_NEW(scratch, double, k),
                .way = NN_NEW(scratch, double, k) };

    nn_par_run((k + ROWS - 1) / ROWS, measure, &p);
    met_ascend(p.length, (int)k);
    double median = met_quantile(p.length, (int)k, 0.5);
    for (size_t i = 0; i < k; i++)
        moved += p.way[i] > moves * median;
    nn_arena_rewind(scratch, mark);
    return (double)moved / (double)k;
}

met_near met_code_near(size_t k, const float *dist, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    met_near r = { NAN, NAN, NAN };
    double *x = NN_NEW(scratch, double, k), twins = 0;
    int known = k > 1;

    for (size_t i = 0; i < k; i++) {
        x[i] = dist[i];
        twins += x[i] < twin;
        known &= !isnan(dist[i]);
    }
    if (known) {
        met_ascend(x, (int)k);
        r = (met_near){ x[0], met_quantile(x, (int)k, 0.5), twins };
    }
    nn_arena_rewind(scratch, mark);
    return r;
}
