/* Rank: how many directions the embeddings use, from eigenvalues or singular values.
 *
 *   erank           exp(-sum p ln p), p = lambda_i / sum lambda                     (M4)
 *                   "The effective rank", Roy and Vetterli, 2007
 *   rankme          the same with p = sigma_i / sum sigma + 1e-7, X not centred     (M5)
 *                   "RankMe", Garrido et al., 2023
 *   participation   (sum lambda)^2 / sum lambda^2                                   (M6)
 *   cond            lambda_1 / max(lambda_d, 1e-12 lambda_1)                       (M14)
 *   alpha           a of the fit lambda_i ~ i^-a, least squares of ln lambda over
 *                   ln i, i = 3 ... min(n, d)/2; "alpha-ReQ", Agrawal et al., 2022  (M8)
 *   stable_rank     sum sigma_i^2 / sigma_1^2                                       (M7)
 *   numerical_rank  how many lambda_i are above 1e-3 lambda_1                      (M19)
 *   top             2/d sum_k (sum_{i <= k} lambda_i / sum lambda) - 1 - 1/d       (M16)
 *                   the area between the cumulated spectrum and a flat one's: 0 flat,
 *                   1 - 1/d at rank one
 *   sui             2 h s / (h + s), h = participation / d, s = erank / d.  OURS, not
 *                   verified: "Spectral Scaling Laws in Language Models" names such an
 *                   index, its formula could not be read
 *
 * lambda: eigenvalues of the centred covariance; sigma: singular values of X.  All are
 * free of scale: a cloud that shrinks to a point keeps its rank, so read them beside
 * collapse/raw_std.  A constant has effective rank 1 by convention.  rankme alone sees a
 * large mean, as one dominant singular value.  All grow with n: compare at equal n. */
#include <math.h>

#include "metrics/marchenko.h"
#include "metrics/met.h"
#include "nn/elem.h"

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static double total(const double *x, int n)
{
    double s = 0;

    for (int i = 0; i < n; i++)
        s += x[i];
    return s;
}

/* exp of the entropy of p_i = x_i / sum + eps */
static double perplexity(const double *x, int n, double eps)
{
    double sum = total(x, n), h = 0;

    if (sum == 0)
        return 1;
    for (int i = 0; i < n; i++) {
        double p = x[i] / sum + eps;
        if (p > 0)
            h -= p * nn_log(p);
    }
    return nn_exp(h);
}

static double erank_value(met_view *v)
{
    return v->usable ? perplexity(met_lambda(v), v->d, 0) : NAN;
}

/* d exp(-c/2) for c = d/n <= 1 (the entropy of the Marchenko-Pastur law); X and X' have
 * the same spectrum, so n and d change places beyond. */
static double erank_ideal(int n, int d, int k)
{
    double m = smaller(n, d), c = m * m / ((double)n * d);
    (void)k;
    return m * nn_exp(-c / 2);
}

static double rankme_value(met_view *v)
{
    return v->usable ? perplexity(met_sigma(v), smaller(v->n, v->d), 1e-7) : NAN;
}

/* With r = E sqrt(x): entropy ln(m r) - E[sqrt(x) ln sqrt(x)] / r */
static double rankme_ideal(int n, int d, int k)
{
    met_mp e = met_mp_of(n, d);
    (void)k;
    return smaller(n, d) * e.root * nn_exp(-e.root_log_root / e.root);
}

static double participation_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const double *w = met_lambda(v);
    double sum = total(w, v->d), squares = 0;

    for (int i = 0; i < v->d; i++)
        squares += (w[i] / (sum > 0 ? sum : 1)) * (w[i] / (sum > 0 ? sum : 1));
    return sum > 0 ? 1 / squares : 1;
}

static double participation_ideal(int n, int d, int k)
{
    (void)k;
    return (double)n * d / ((double)n + d);             /* d / (1 + c) */
}

static double cond_value(met_view *v)
{
    if (!v->usable || met_lambda(v)[0] == 0)
        return NAN;
    const double *w = met_lambda(v);
    double least = w[v->d - 1] / w[0];

    return 1 / (least > 1e-12 ? least : 1e-12);
}

static double cond_ideal(int n, int d, int k)
{
    double root = sqrt((double)d / n), r = (1 + root) / (1 - root);
    (void)k;
    return d < n && r * r < 1e12 ? r * r : 1e12;
}

/* Least squares of y over t. */
typedef struct line { double n, t, y, tt, ty; } line;

static void line_add(line *l, double t, double y)
{
    l->n++;
    l->t += t;
    l->y += y;
    l->tt += t * t;
    l->ty += t * y;
}

static double line_slope(const line *l)
{
    return (l->n * l->ty - l->t * l->y) / (l->n * l->tt - l->t * l->t);
}

/* The range ends where the spectrum does; NaN below three points. */
static double alpha_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const double *w = met_lambda(v);
    line l = {0};

    for (int i = 3; i <= smaller(v->n, v->d) / 2 && w[i - 1] > 0; i++)
        line_add(&l, nn_log(i), nn_log(w[i - 1]));
    return l.n >= 3 ? -line_slope(&l) : NAN;
}

static double alpha_ideal(int n, int d, int k)
{
    met_mp_walk w = met_mp_start(n, d);
    line l = {0};
    (void)k;

    for (int i = 1; i <= smaller(n, d) / 2; i++) {
        double x = met_mp_next(&w);
        if (i >= 3)
            line_add(&l, nn_log(i), nn_log(x));
    }
    return l.n >= 3 ? -line_slope(&l) : NAN;
}

static double stable_rank_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const double *s = met_sigma(v);
    double sum = 0;

    for (int i = 0; i < smaller(v->n, v->d) && s[0] > 0; i++)
        sum += (s[i] / s[0]) * (s[i] / s[0]);
    return s[0] > 0 ? sum : 1;
}

/* n d / (sqrt n + sqrt d)^2: the upper edge of the Marchenko-Pastur law */
static double stable_rank_ideal(int n, int d, int k)
{
    double edge = sqrt(n) + sqrt(d);
    (void)k;
    return (double)n * d / (edge * edge);
}

static const double numerical_share = 1e-3;

static double numerical_rank_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    const double *w = met_lambda(v);
    int count = 0;

    for (int i = 0; i < v->d; i++)
        count += w[i] > numerical_share * w[0];
    return count > 0 ? count : 1;
}

/* Quantiles of the Marchenko-Pastur law above that share of its upper edge */
static double numerical_rank_ideal(int n, int d, int k)
{
    int m = smaller(n, d), count = 0;
    double edge = 1 + sqrt((double)m / (n + d - m));
    met_mp_walk w = met_mp_start(n, d);
    (void)k;

    while (count < m && met_mp_next(&w) > numerical_share * edge * edge)
        count++;
    return count;
}

/* Sums of a descending spectrum, and the sum of these sums. */
typedef struct area { double sum, sums; } area;

static void area_add(area *a, double lambda)
{
    a->sum += lambda;
    a->sums += a->sum;
}

static double area_value(const area *a, int d)
{
    return a->sum > 0 ? 2 * a->sums / (d * a->sum) - 1 - 1.0 / d : 1 - 1.0 / d;
}

static double top_value(met_view *v)
{
    if (!v->usable)
        return NAN;
    area a = {0};

    for (int i = 0; i < v->d; i++)
        area_add(&a, met_lambda(v)[i]);
    return area_value(&a, v->d);
}

static double top_ideal(int n, int d, int k)
{
    met_mp_walk w = met_mp_start(n, d);
    area a = {0};
    (void)k;

    for (int i = 0; i < d; i++)
        area_add(&a, i < smaller(n, d) ? met_mp_next(&w) : 0);
    return area_value(&a, d);
}

static double harmonic(double a, double b)
{
    return 2 * a * b / (a + b);
}

static double sui_value(met_view *v)
{
    return harmonic(participation_value(v), erank_value(v)) / v->d;
}

static double sui_ideal(int n, int d, int k)
{
    return harmonic(participation_ideal(n, d, k), erank_ideal(n, d, k)) / d;
}

const met_metric met_erank = {
    .name = "collapse/erank",
    .about = "effective rank: exp of the entropy of the covariance spectrum",
    .reference = "isotropic Gaussian",
    .value = erank_value, .ideal = erank_ideal,
};

const met_metric met_rankme = {
    .name = "collapse/rankme",
    .about = "RankMe: exp of the entropy of the singular values, not centred",
    .reference = "isotropic Gaussian of mean 0",
    .value = rankme_value, .ideal = rankme_ideal,
};

const met_metric met_participation = {
    .name = "collapse/participation",
    .about = "directions in use: (sum lambda)^2 / sum lambda^2",
    .reference = "isotropic Gaussian",
    .value = participation_value, .ideal = participation_ideal,
};

const met_metric met_cond = {
    .name = "collapse/cond",
    .about = "condition number of the covariance, at most 1e12",
    .reference = "isotropic Gaussian",
    .value = cond_value, .ideal = cond_ideal,
};

const met_metric met_alpha = {
    .name = "collapse/alpha",
    .about = "decay of the spectrum: exponent a of lambda_i ~ i^-a",
    .reference = "isotropic Gaussian",
    .value = alpha_value, .ideal = alpha_ideal,
};

const met_metric met_stable_rank = {
    .name = "collapse/stable_rank",
    .about = "stable rank: sum of squared singular values over the largest",
    .reference = "isotropic Gaussian of mean 0",
    .value = stable_rank_value, .ideal = stable_rank_ideal,
};

const met_metric met_numerical_rank = {
    .name = "collapse/numerical_rank",
    .about = "directions with more than 1/1000 of the largest variance",
    .reference = "isotropic Gaussian",
    .value = numerical_rank_value, .ideal = numerical_rank_ideal,
};

const met_metric met_top = {
    .name = "collapse/top",
    .about = "concentration of the spectrum: 0 flat, near 1 a single direction",
    .reference = "isotropic Gaussian",
    .value = top_value, .ideal = top_ideal,
};

const met_metric met_sui = {
    .name = "collapse/sui",
    .about = "share of directions used, from two ranks (ours, unverified)",
    .reference = "isotropic Gaussian",
    .value = sui_value, .ideal = sui_ideal,
};
