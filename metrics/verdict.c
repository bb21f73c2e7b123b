/* The verdict: one word for the state of the embeddings z.  The first rule that applies:
 *
 *   diverged               loss, std or effective rank is not finite
 *   complete collapse      sqrt(d) std of unit rows < 0.35
 *   dimensional collapse   effective rank of z below a floor (see `least`)
 *   healthy                otherwise
 *
 * Where the limits come from: SimSiam and its ablations on a toy of 10 classes in 8 latent
 * dimensions, 64-dimensional z, n = 3000, one seed.  std was .85 and more in every run
 * that kept stop-gradient and .24 to .29 in those that collapsed to a point; 0.35 is the
 * limit of proposition S1, whose healthy side starts at 0.70.  Effective rank was 20.0
 * before training, 4.9 and 5.0 in healthy runs, and 2.8, 2.9 and 3.7 in runs that keep
 * their std but lose dimensions (no stop-gradient, no predictor, BatchNorm on the
 * output): a fifth of the untrained rank, 4.0, parts the two.  Training always lowers
 * the rank, so a share of d alone would call healthy runs collapsed. */
#include "metrics/met.h"

#include <math.h>
#include <stdio.h>

#include "nn/elem.h"

static const double
    least_std = 0.35,
    untrained_share = 0.2,
    untold_share = 1.0 / 16,    /* 20.0 of 64 is about a third; a fifth of that */
    untold_most = 4,            /* the toy's limit: rank follows the data, not d */
    gaussian_share = 0.5;       /* no floor above half of what isotropic data reach */

/* The floor under the effective rank, and words for where it comes from. */
static double least(double untrained, int n, int d, const char **from)
{
    double m = n < d ? n : d, most = m * nn_exp(-m * m / (2.0 * n * d)) * gaussian_share;
    double floor = untold_share * d;

    *from = "1/16 of d, 2 to 4";
    if (floor < 2)
        floor = 2;
    if (floor > untold_most)
        floor = untold_most;
    if (untrained > 0) {
        floor = untrained_share * untrained;
        *from = "1/5 of the untrained";
    }
    if (floor > most) {
        floor = most;
        *from = "half of a Gaussian's";
    }
    return floor;
}

met_judged met_judge(double loss, double std, double erank, double untrained_erank,
                     int n, int d)
{
    const char *from;
    double floor = least(untrained_erank, n, d, &from);
    met_judged j = { .verdict = MET_HEALTHY };

    if (!isfinite(loss) || !isfinite(std) || !isfinite(erank)) {
        j.verdict = MET_DIVERGED;
        snprintf(j.why, sizeof j.why, "loss = %g, sqrt(d)*std = %g, erank = %g", loss, std,
                 erank);
    } else if (std < least_std) {
        j.verdict = MET_COMPLETE;
        snprintf(j.why, sizeof j.why, "sqrt(d)*std = %.3f < %.2f", std, least_std);
    } else if (erank < floor) {
        j.verdict = MET_DIMENSIONAL;
        snprintf(j.why, sizeof j.why, "erank = %.2f of %d < %.2f (%s)", erank, d, floor,
                 from);
    } else {
        snprintf(j.why, sizeof j.why, "sqrt(d)*std = %.3f >= %.2f, erank = %.2f of %d >= "
                 "%.2f (%s)", std, least_std, erank, d, floor, from);
    }
    return j;
}

const char *met_verdict_word(met_verdict v)
{
    static const char *const word[] = {
        [MET_HEALTHY] = "healthy",
        [MET_DIMENSIONAL] = "dimensional collapse",
        [MET_COMPLETE] = "complete collapse",
        [MET_DIVERGED] = "diverged",
    };
    return word[v];
}
