#include "experiments/ask.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>
#include <zlib.h>

#include "data/data.h"
#include "experiments/machine.h"
#include "experiments/progress.h"
#include "experiments/version.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

/* The product that is timed: as fast as larger ones, and its matrices are a fraction of
 * what the program itself takes. */
enum { SIZE = 384 };
static const double timing_seconds = 0.4;

/* Billions of floating point operations per second of the product C = AB; the best of
 * what fits into the time, because other programs only ever slow it down. */
static double gemm_speed(void)
{
    nn_arena a = {0}, scratch = {0};
    size_t n = (size_t)SIZE * SIZE;
    float *x = NN_NEW(&a, float, n), *y = NN_NEW(&a, float, n), *c = NN_NEW(&a, float, n);
    double best = HUGE_VAL, start = ex_seconds();

    for (size_t i = 0; i < n; i++)
        x[i] = y[i] = (float)(i % 7) - 3;
    do {
        double from = ex_seconds();
        nn_gemm(SIZE, SIZE, SIZE, (nn_mat){ x, SIZE, 1 }, (nn_mat){ y, SIZE, 1 }, c, SIZE,
                NULL, &scratch);
        double took = ex_seconds() - from;
        best = took < best ? took : best;
    } while (ex_seconds() - start < timing_seconds);
    nn_arena_free(&a);
    nn_arena_free(&scratch);
    return 2e-9 * SIZE * SIZE * SIZE / best;
}

static void print_tables(FILE *out)
{
    fputs("kernel tables", out);
    for (const char *const *name = nn_kern_names(); *name; name++) {
        int usable = 0;
        for (int i = 0; i < nn_kern_count(); i++)
            usable |= strcmp(nn_kern_at(i)->name, *name) == 0;
        fprintf(out, "%s %s%s", name == nn_kern_names() ? "" : ",", *name,
                strcmp(*name, nn_kern_now->name) == 0 ? " (chosen)"
                : usable ? " (usable)" : " (not on this processor)");
    }
    fputc('\n', out);
}

/* Returns the number of data sets that are not here. */
static int print_data(FILE *out)
{
    data_settings usual;
    char where[1024];
    int missing = 0;

    nn_setting_defaults(data_setting_table, &usual);
    for (int i = 0; i < data_source_count(); i++) {
        const data_source *d = data_source_at(i);
        usual.name = d->name;
        int here = d->present(&usual, where, sizeof where);
        missing += !here && !d->own;
        if (!here && d->own)
            fprintf(out, "data set      %s: your own files, named in data.dir\n", d->name);
        else if (here)
            fprintf(out, "data set      %s: %s\n", d->name,
                    where[0] ? where : "built in");
        else if (d->package)
            fprintf(out, "data set      %s: not here; apt-get install %s\n", d->name,
                    d->package);
        else
            fprintf(
                out,
                "data set      %s: not here; put its files into a folder and name it in"
                " FULLRANK_DATA or data.dir\n",
                d->name);
    }
    return missing;
}

nn_status ex_doctor(int threads, FILE *out, nn_err *err)
{
    char cpu[256];

    if (!nn_kern_choose(NULL))
        return nn_fail(err, NN_ECONFIG,
                       "FULLRANK_KERN=%.40s: no such kernel table on this"
                       " machine; unset it",
                       getenv("FULLRANK_KERN"));
    if (threads > 0)
        nn_par_set_threads(threads);
    ex_machine_cpu(cpu, sizeof cpu);
    fprintf(out, "fullrank      %s, %s\n", EX_VERSION, EX_COMPILER);
    fprintf(out, "libraries     libyaml %s, jansson %s, zlib %s\n",
            yaml_get_version_string(), jansson_version_str(), zlibVersion());
    fprintf(out, "processor     %s, %ld cores online\n", cpu,
            sysconf(_SC_NPROCESSORS_ONLN));
    print_tables(out);
    fprintf(out, "threads       %d%s\n", nn_par_threads(),
            getenv("OMP_NUM_THREADS") ? " (OMP_NUM_THREADS)" : "");
    fprintf(out, "speed         %.1f GFLOP/s in a product of %d x %d matrices\n",
            gemm_speed(), SIZE, SIZE);
    const char *folder = getenv("FULLRANK_DATA");
    fprintf(out, "FULLRANK_DATA %s\n", folder && *folder ? folder : "not set");
    int missing = print_data(out);
    fprintf(out, "\n%s\n",
            missing == 0 ? "everything is here"
                         : "all of fullrank works; only the data sets marked 'not here' "
                           "need installing");
    return NN_OK;
}
