/* A partner: does one thing when it is told to and answers how long it took. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench/bench.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

enum { WORDS = 12, LINE = 256, RUNS = 4096 };

static const bench_item *const ours[] = { &bench_item_peak,    &bench_item_gemm,
                                          &bench_item_syrk,    &bench_item_conv,
                                          &bench_item_step,    &bench_item_build,
                                          &bench_item_vicreg,  &bench_item_tree,
                                          &bench_item_lid,     &bench_item_vq,
                                          &bench_item_erank,   &bench_item_knn,
                                          &bench_item_metrics, NULL };

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The same hash stands in peers/torch_peer.py. */
void bench_fill(float *x, size_t n, unsigned stream)
{
    const float unit = 0x1p-31f * 1.7320508f; /* uniform in +-sqrt(3) */
    for (size_t i = 0; i < n; i++) {
        unsigned h = (unsigned)i * 0x9e3779b1u + stream * 0x7feb352du;
        h = (h ^ h >> 16) * 0x21f0aaadu;
        h = (h ^ h >> 15) * 0x735a2d97u;
        h ^= h >> 15;
        x[i] = (float)(int)(h ^ 0x80000000u) * unit;
    }
}

float *bench_new(size_t n, unsigned stream)
{
    float *x = aligned_alloc(4096, (n * sizeof *x + 4095) / 4096 * 4096);
    NN_NEED(x, "bench: no memory for %zu numbers", n);
    bench_fill(x, n, stream);
    return x;
}

int bench_int(const char *word, int least, int most, int *out)
{
    char *end;
    long v = strtol(word, &end, 10);
    if (end == word || *end || v < least || v > most)
        return 0;
    *out = (int)v;
    return 1;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median time in milliseconds over runs for about `seconds`, at least one. */
static double measure(const bench_item *item, void *state, double seconds)
{
    static double ms[RUNS];
    double start = bench_now(), last = start;
    int runs = 0;

    do {
        item->run(state);
        double t = bench_now();
        ms[runs++] = 1e3 * (t - last);
        last = t;
    } while (last - start < seconds && runs < RUNS);
    qsort(ms, (size_t)runs, sizeof *ms, by_value);
    return runs % 2 ? ms[runs / 2] : 0.5 * (ms[runs / 2 - 1] + ms[runs / 2]);
}

/* The item at hand: kept until another one is asked for. */
typedef struct hand {
    char request[LINE];
    const bench_item *item;
    void *state;
    double value;
} hand;

static void let_go(hand *h)
{
    if (h->item)
        h->item->drop(h->state);
    *h = (hand){ 0 };
}

static int take(hand *h, const bench_item *const *items, const char *request, char *why)
{
    char text[LINE], *word[WORDS], *rest = NULL;
    int words = 0;

    if (h->item && strcmp(h->request, request) == 0)
        return 1;
    let_go(h);
    snprintf(text, sizeof text, "%s", request);
    for (char *w = strtok_r(text, " ", &rest); w && words < WORDS;
         w = strtok_r(NULL, " ", &rest))
        word[words++] = w;
    snprintf(why, BENCH_WHY, "not done by this side");
    for (; words && *items; items++)
        if (strcmp((*items)->name, word[0]) == 0) {
            h->state = (*items)->make(words - 1, word + 1, why);
            if (!h->state)
                return 0;
            h->item = *items;
            snprintf(h->request, sizeof h->request, "%s", request);
            h->item->run(h->state); /* warms up; makes the value */
            h->value = h->item->value ? h->item->value(h->state) : NAN;
            return 1;
        }
    return 0;
}

static double resident_mib(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_maxrss / 1024;
}

int bench_serve(const char *side, int threads)
{
    const bench_item *const *items = ours;
    char line[LINE], version[256] = "", why[BENCH_WHY] = "";
    hand peak = { 0 }, h = { 0 };

    nn_par_set_threads(threads);
    if (strcmp(side, "ours") == 0)
        snprintf(version, sizeof version, "kernel table %s", nn_kern_now->name);
    else if (strncmp(side, "oneDNN", 6) == 0)
        items = bench_onednn_open(side, threads, version, why);
    else
        items = bench_blas_open(side, threads, version, why);
    if (!items) {
        printf("- %s\n", why);
        return NN_ERUN;
    }
    printf("ready %s\n", version);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        char *request;
        double seconds = strtod(line, &request);

        request += strspn(request, " ");
        request[strcspn(request, "\n")] = 0;
        if (strcmp(request, "memory") == 0) {
            printf("%.1f nan\n", resident_mib());
        } else {
            hand *use = strcmp(request, "peak") == 0 ? &peak : &h;
            if (take(use, items, request, why))
                printf("%.6f %.9g\n", measure(use->item, use->state, seconds),
                       use->value);
            else
                printf("- %s\n", why);
        }
        fflush(stdout);
    }
    let_go(&h);
    let_go(&peak);
    return NN_OK;
}
