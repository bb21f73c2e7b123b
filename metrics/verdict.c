/* The verdict: one word for the state of the embeddings z.  The first rule that applies:
 *
 *   diverged               loss, std or effective rank is not finite
 *   complete collapse      sqrt(d) std of unit rows < 0.35
 *   dimensional collapse   effective rank of z below a floor (see `least`)
 *   healthy                otherwise
 *
 * Where the limits come from (docs/metrics.md has the tables): SimSiam with and without
 * stop-gradient or predictor, on a toy (10 classes in 8 latent dimensions, d = 64), on
 * Fashion-MNIST and on the generated shapes (conv3, d = 128), one seed each.
 *
 *                                    toy            Fashion-MNIST    shapes
 *   sqrt(d)*std, healthy             .85 to .98     .78 to 1.00      .71 to .77
 *   ... collapsed to a point         .24 to .29     .01 to .09       .04 to .15
 *   rank / untrained, healthy        .25            .16 to .28       .15 to .19
 *   ... lost dimensions              .14 to .19     .06 to .08       .06 to .10
 *
 * 0.35 is the limit that proposition S1 sets, whose healthy side starts at 0.70.  A rank
 * of 0.15 of the untrained network's parts all runs but one (the toy without predictor,
 * .19, passes as healthy).  Training always lowers the rank, so a share of d alone would
 * call healthy runs collapsed.  Below 2 there is little more than one direction, whatever
 * the network had before: proposition S5 draws that line.
 *
 * A codebook is judged by itself:
 *
 *   codebook dying         used < half of what uniform chance hits in as many draws
 *   healthy                otherwise
 *
 * Chance and not K is the measure, because few draws cannot hit many codes.  Half, since
 * then a book of half the size would have served: an index costs a bit that says nothing.
 * It also parts the small trials of 256 and 512 codes that the limit was set with (one or
 * two seeds each): plain and moving-average books reach .02 to .23 of K (one, in two
 * dimensions, .44), those that are restarted or moved as a whole .57 to 1. */
#include "metrics/code.h"
#include "metrics/met.h"

#include <math.h>
#include <stdio.h>

#include "nn/elem.h"

const double met_least_std = 0.35;

static const double
    untrained_share = 0.15,
    untold_share = 1.0 / 16,    /* an untrained network has about a third of d */
    untold_most = 3,            /* 0.15 of 20, the toy's: rank follows the data, not d */
    least_rank = 2,
    gaussian_share = 0.5;       /* no floor above half of what isotropic data reach */

/* The floor under the effective rank, and words for where it comes from. */
static double least(double untrained, int n, int d, const char **from)
{
    double m = n < d ? n : d, gaussian = m * nn_exp(-m * m / (2.0 * n * d));
    double floor = untold_share * d < untold_most ? untold_share * d : untold_most;

    *from = "1/16 of d, at most 3";
    if (untrained > 0) {
        floor = untrained_share * untrained;
        *from = "0.15 of the untrained";
    }
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
    } else if (std < met_least_std) {
        j.verdict = MET_COMPLETE;
        snprintf(j.why, sizeof j.why, "sqrt(d)*std = %.3f < %.2f", std, met_least_std);
    } else if (erank < floor) {
        j.verdict = MET_DIMENSIONAL;
        snprintf(j.why, sizeof j.why, "erank = %.2f of %d < %.2f (%s)", erank, d, floor,
                 from);
    } else {
        snprintf(j.why, sizeof j.why, "sqrt(d)*std = %.3f >= %.2f, erank = %.2f of %d >= "
                 "%.2f (%s)", std, met_least_std, erank, d, floor, from);
    }
    return j;
}

static const double least_used = 0.5;

met_judged met_judge_codes(const met_usage *u)
{
    double chance = u->usage_max * u->k;
    met_judged j = { .verdict = MET_HEALTHY };

    if (u->used < least_used * chance)
        j.verdict = MET_CODEBOOK;
    if (u->n > 0)
        snprintf(j.why, sizeof j.why, "%.0f of %.0f codes used, chance would reach %.0f",
                 u->used, u->k, chance);
    else
        snprintf(j.why, sizeof j.why, "no vector was quantised");
    return j;
}

const char *met_verdict_word(met_verdict v)
{
    static const char *const word[] = {
        [MET_HEALTHY] = "healthy",
        [MET_DIMENSIONAL] = "dimensional collapse",
        [MET_COMPLETE] = "complete collapse",
        [MET_CODEBOOK] = "codebook dying",
        [MET_DIVERGED] = "diverged",
    };
    return word[v];
}
