#include "experiments/machine.h"

#include <stdlib.h>

#include "experiments/words.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

nn_status ex_machine_choose(int threads, nn_err *err)
{
    char known[128] = "";
    ex_words w = { .at = known, .size = sizeof known };

    if (!nn_kern_choose(NULL)) {
        for (int i = 0; i < nn_kern_count(); i++)
            ex_say(&w, "%s%s", i ? ", " : "", nn_kern_at(i)->name);
        return nn_fail(err, NN_ECONFIG, "FULLRANK_KERN=%.40s: no such kernel table on this"
                       " machine; there is %s", getenv("FULLRANK_KERN"), known);
    }
    if (threads > 0)
        nn_par_set_threads(threads);
    return NN_OK;
}
