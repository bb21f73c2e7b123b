#include "experiments/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

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

void ex_machine_cpu(char *out, size_t size)
{
    char line[512];
    struct utsname u;
    FILE *f = fopen("/proc/cpuinfo", "r");

    out[0] = 0;
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            snprintf(out, size, "%s", colon + 2);
            out[strcspn(out, "\n")] = 0;
            break;
        }
    }
    if (f)
        fclose(f);
    if (!out[0] && uname(&u) == 0)
        snprintf(out, size, "%s", u.machine);
}
