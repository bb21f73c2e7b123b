/* The verdict: one word for the state of the embeddings z.  The first rule that applies:
 *
 *   diverged               loss, std or effective rank is not finite
 *   complete collapse      sqrt(d) std of unit rows < 0.35
 *   dimensional collapse   effective rank of z below a floor (see `least`)
 *   healthy                otherwise
 *
 * Where the limits come from (docs/metrics.md has the tables): SimSiam and its ablations
 * on a toy (10 classes in 8 latent dimensions, d = 64, n = 3000) and on Fashion-MNIST
 * (conv3, d = 128, n = 2048, learning rates 0.05 and 0.2), one seed each.
 *
 *   sqrt(d)*std      healthy .78 to 1.00        collapsed to a point .03 to .29
 *   effective rank   healthy 4.7 to 6.8         lost dimensions 1.5 to 3.7
 *                    before training 20 and 24
 *
 * 0.35 is the limit that proposition S1 sets, whose healthy side starts at 0.70.  A rank
 * of 4 parts all these runs.  A network that had less than 20 before training is held to
 * a fifth of what it had: training always lowers the rank, so a share of d alone would
 * call healthy runs collapsed.  Below 2 there is little more than one direction, whatever
 * the network had before: proposition S5 draws that line. */
#include "metrics/met.h"

#include <math.h>
#include <stdio.h>

#include "nn/elem.h"

static const double
    least_std = 0.35,
    untrained_share = 0.2,
    untold_share = 1.0 / 16,    /* 20.0 of 64 is about a third; a fifth of that */
    most_rank = 4,              /* rank follows the data, not d: see above */
    least_rank = 2,
    gaussian_share = 0.5;       /* no floor above half of what isotropic data reach */

/* The floor under the effective rank, and words for where it comes from. */
static double least(double untrained, int n, int d, const char **from)
{
    double m = n < d ? n : d, gaussian = m * nn_exp(-m * m / (2.0 * n * d));
    double floor = untrained > 0 ? untrained_share * untrained : untold_share * d;

    *from = untrained > 0 ? "1/5 of the untrained, at most 4" : "1/16 of d, at most 4";
    if (floor > most_rank)
        floor = most_rank;
    if (floor < least_rank) {
        floor = least_rank;
        *from = "the least for any network";
    }
    if (floor > gaussian_share * gaussian) {
        floor = gaussian_share * gaussian;
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
        snprintf(j.why, sizeof j.why, "loss = %g, sqrt(d)*std = %g, erank = %g", loss,
                 std, erank);
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
