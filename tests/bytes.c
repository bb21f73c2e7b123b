#include "tests/bytes.h"

#include <check.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/par.h"

/* The table for AVX-512 in plain C (avx512_simde.c), where the processor has none. */
extern const nn_kern nn_kern_avx512_emulated __attribute__((weak));

static void same(const outcome *a, const outcome *b, const char *who, int number)
{
    ck_assert_msg(memcmp(a->at, b->at, sizeof(float) * a->n) == 0, "%s %d", who, number);
}

void bytes_of_every_table(outcome (*of)(int shape), int shape)
{
    nn_kern_now = nn_kern_at(0);
    outcome first = of(shape);
    for (int k = 1; k <= nn_kern_count(); k++) {
        nn_kern_now = k < nn_kern_count() ? nn_kern_at(k) : &nn_kern_avx512_emulated;
        if (!nn_kern_now)
            continue;
        outcome o = of(shape);
        same(&first, &o, nn_kern_now->name, 0);
    }
}

void bytes_of_every_team(outcome (*of)(int shape), int shape)
{
    nn_par_set_threads(1);
    outcome first = of(shape);
    for (int team = 2; team <= 7; team += team == 3 ? 4 : 1) {
        nn_par_set_threads(team);
        outcome o = of(shape);
        same(&first, &o, "team", team);
    }
}
