/* Births, deaths and ages of codes: when was each hit for the first and the last time?
 *
 *   step s hits a code, last hit at l      born when l = 0 (never) or s - l > T
 *   at the end of step s                   dead when s - l >= T;  it dies when s - l = T
 *
 * After T idle steps, l + 1 .. l + T, the next hit comes at l + T + 1 at the soonest: so
 * a code that is born again has died, and births exceed deaths by the codes alive.
 * Of every step k floats are looked at; nothing else is stored. */
#include <math.h>

#include "metrics/code.h"
#include "metrics/order.h"
#include "nn/base.h"

enum { BIRTHS, DEATHS };

static const size_t most_steps = (size_t)1 << 24;      /* what a float counts exactly */

void met_life_step(met_life *l, const int *index, size_t n, size_t step)
{
    NN_NEED(step > 0 && step <= most_steps, "lives at step %zu", step);
    float now = (float)step, births = 0, deaths = 0;

    for (size_t i = 0; i < n; i++) {
        NN_NEED(index[i] >= 0 && (size_t)index[i] < l->k, "index %d of %zu codes",
                index[i], l->k);
        size_t j = (size_t)index[i];
        if (l->last_hit[j] == 0 || now - l->last_hit[j] > MET_LIFE_IDLE) {
            l->born[j] = now;
            births++;
        }
        l->last_hit[j] = now;
    }
    for (size_t j = 0; j < l->k; j++)
        deaths += l->last_hit[j] > 0 && now - l->last_hit[j] == MET_LIFE_IDLE;
    l->tally[BIRTHS] += births;
    l->tally[DEATHS] += deaths;
}

met_lives met_life_epoch(met_life *l, size_t epoch, size_t step, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch);
    double *age = NN_NEW(scratch, double, l->k);
    met_lives r = { .births = l->tally[BIRTHS], .deaths = l->tally[DEATHS] };
    int lives = 0;

    for (size_t j = 0; j < l->k; j++) {
        double idle = (double)step - l->last_hit[j];
        r.dead += idle >= MET_LIFE_IDLE;
        r.dead_epoch += idle >= (double)epoch;
        if (l->last_hit[j] > 0)
            age[lives++] = l->last_hit[j] - l->born[j] + 1;
    }
    met_ascend(age, lives);
    r.p50 = met_quantile(age, lives, 0.5);
    r.p90 = met_quantile(age, lives, 0.9);
    l->tally[BIRTHS] = l->tally[DEATHS] = 0;
    nn_arena_rewind(scratch, mark);
    return r;
}
