#ifndef BENCH_H
#define BENCH_H

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

#include "nn/base.h"

/* fullrank-bench: ours beside theirs on the same cores (bench/README.md).
 *
 * Every side is a process of its own, a partner, that does one thing when it is told to
 * and answers how long it took: our own code, a BLAS library, PyTorch.  The conductor
 * asks them in turn, in rotating order, so that in each round all sides meet the same
 * weather; a round gives one ratio, and what is reported is the median of the rounds.
 *
 * The words they exchange, one line each:
 *   request   SECONDS ITEM WORD...       work on it for about so long, at least once
 *   answer    MILLISECONDS VALUE         median time of one, and a number that all sides
 *                                        must agree on (nan: nothing to compare)
 *             - REASON                   cannot be done here
 * A new partner begins with "ready VERSION" or "- REASON". */

/* ---- what a partner can do (serve.c) ----------------------------------------------- */

/* make prepares an item from the words that follow its name, run does it once, value is
 * what to compare, drop frees.  make returns NULL for words it does not know; then `why`
 * may hold a reason.  run and value may be called any number of times. */
enum { BENCH_WHY = 160 };

typedef struct bench_item {
    const char *name;
    void *(*make)(int words, char *const *word, char *why);
    void (*run)(void *state);
    double (*value)(void *state);       /* NULL: nothing to compare */
    void (*drop)(void *state);
} bench_item;

extern const bench_item bench_item_peak, bench_item_gemm, bench_item_syrk,
    bench_item_conv, bench_item_step, bench_item_build, bench_item_vicreg,
    bench_item_tree, bench_item_lid, bench_item_vq, bench_item_erank, bench_item_knn,
    bench_item_metrics;

/* Serves requests from standard input until it ends; returns an exit code.  `side` is
 * "ours" or the name of a library (blas.c, onednn.c). */
int bench_serve(const char *side, int threads);

/* Another library's items: NULL-terminated, or NULL with a reason; fills `version`. */
const bench_item *const *bench_blas_open(const char *side, int threads, char *version,
                                         char *why);
const bench_item *const *bench_onednn_open(const char *side, int threads, char *version,
                                           char *why);
void *bench_load(const char *file);             /* a library, wherever Debian keeps it */
void  bench_symbol(void *library, const char *name, void *function);    /* its address */

/* Numbers with mean 0 and variance 1 that every side can make: element i of stream s is
 * a hash of (s, i), uniform in +-sqrt(3). */
void   bench_fill(float *x, size_t n, unsigned stream);
float *bench_new(size_t n, unsigned stream);        /* 64-byte aligned; free() */
int    bench_int(const char *word, int least, int most, int *out);  /* 1: fits */
double bench_now(void);                             /* seconds */

/* ---- partners (partner.c) ---------------------------------------------------------- */

typedef struct bench_partner {
    const char *name;
    int pid, to, from;                  /* pid 0: not there */
    char version[256];                  /* or why it is not there */
    double started;                     /* ms from its start to its first word */
} bench_partner;

typedef struct bench_reply { double ms, value; char why[BENCH_WHY]; } bench_reply;

/* `name` selects what is started: "ours", a library, "torch contiguous" ... */
void bench_partner_start(bench_partner *p, const char *name, const char *peer,
                         int threads, int bind);    /* peer: another build of ours */
int  bench_partner_ask(bench_partner *p, double seconds, const char *request,
                       bench_reply *r);             /* 1: done */
void bench_partner_stop(bench_partner *p);

/* ---- what is compared (gemm.c, conv.c, step.c, losses.c, metrics.c) ---------------- */

enum { BENCH_PARTNERS = 6, BENCH_ROUNDS = 64 };

typedef struct bench_row {
    const char *set;                    /* rows of one goal; geometric mean over them */
    const char *shape;                  /* as printed */
    const char *request;
    double flops;                       /* of one; 0: milliseconds are shown */
    double agree;                       /* values may differ by so much, 0: not asked */
} bench_row;

typedef struct bench_goal {
    const char *set, *what, *against;   /* against NULL: the best of all peers */
    double must, aim;                   /* ratio ours / theirs in speed; 0: no goal */
    int memory;                         /* 1: of the memory, theirs / ours */
} bench_goal;

typedef struct bench_kind {
    const char *name, *about;
    const char *partner[BENCH_PARTNERS];    /* ours first; NULL-terminated unless full */
    const char *baseline;               /* our own other form, never a peer; or NULL */
    int (*rows)(int quick, bench_row *row, int most);   /* the list; returns its length */
    const bench_goal *goals;            /* up to set == NULL */
    double seconds;                     /* a turn */
    int rounds;
    int fresh;                          /* 1: new partners for every row, and memory */
    const char *first;                  /* what comes before a step, or NULL: how long it
                                           takes from a process's start is shown */
    int bind;                           /* 1: threads of all sides are bound to cores */
} bench_kind;

extern const bench_kind bench_kind_gemm, bench_kind_conv, bench_kind_step,
    bench_kind_losses, bench_kind_metrics;

/* ---- the conductor (conduct.c) and what it prints (show.c) ------------------------- */

typedef struct bench_options {
    int threads, rounds, quick, json;   /* 0: as the kind has it */
    const char *only;                   /* rows whose set or shape holds this, or NULL */
    const char *peer;                   /* another fullrank-bench, or NULL */
} bench_options;

/* Medians over the rounds that counted. */
typedef struct bench_result {
    const bench_row *row;
    double ms[BENCH_PARTNERS];          /* 0: not there */
    double memory[BENCH_PARTNERS];      /* MiB, 0: not asked */
    double peak;                        /* GFLOP/s of plain multiply-adds, 0: not asked */
    double of_peak;                     /* ours, as a share of it, median of the rounds */
    /* speed, ours / theirs, for each partner: median, least and most of the rounds */
    double ratio[BENCH_PARTNERS], low[BENCH_PARTNERS], high[BENCH_PARTNERS];
    int best;                           /* the fastest peer, 0: none */
    int rounds, dropped;
    int disturbed;                      /* 1: no round was quiet; this is the last one */
    double stolen;                      /* share of the processor that the host took */
} bench_result;

int  bench_conduct(const bench_kind *k, const bench_options *o);    /* an exit code */

/* milliseconds from the start of each process until the kind's `first` was done */
void bench_show_start(const bench_partner *p, int partners);
void bench_show_head(const bench_kind *k, const bench_options *o, const bench_partner *p,
                     int partners);
void bench_show_row(const bench_kind *k, const bench_result *r, const bench_partner *p,
                    int partners);
void bench_show_goals(const bench_kind *k, const bench_result *r, int rows,
                      const bench_partner *p, int partners);
json_t *bench_json(const bench_kind *k, const bench_options *o, const bench_result *r,
                   int rows, const bench_partner *p, int partners);

#endif
