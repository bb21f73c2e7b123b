#ifndef EX_PROGRESS_H
#define EX_PROGRESS_H

#include "experiments/runlog.h"

/* What a person sees while a run trains.
 *
 * One bar on the error terminal (images per second, loss, time left), and one line per
 * evaluated epoch on `out`: the collapse as it happens.  Colour and bars of blocks only
 * on a terminal that can show them; NO_COLOR is honoured.  quiet: nothing of all this. */
typedef struct ex_progress {
    FILE *out;                          /* NULL: quiet */
    int bar, colour, blocks;            /* what the terminals can do */
    int linear;                         /* 1: a column for the linear probe */
    int vectors;                        /* 1: the set has no pictures */
    int codes;                          /* 1: columns of a codebook, not of the spread */
    double start, drawn;                /* seconds: first step, last drawing */
    double untrained_knn;
    long before;                        /* steps done by earlier processes of the run */
    int shown;                          /* a bar is on the screen now */
} ex_progress;

/* Listeners for data_on_news: what loading tells, on the error terminal.  The second one,
 * of --quiet and --json, hears remarks only. */
void ex_progress_news(const char *text, long done, long of);
void ex_progress_remarks(const char *text, long done, long of);

/* Seconds from an arbitrary start, never going back. */
double ex_seconds(void);

/* A row of `cells` cells of which the share x in [0, 1] is full: "###..", or blocks where
 * the terminal can show them.  3 bytes a cell. */
int         ex_has_blocks(FILE *out);
const char *ex_gauge(int blocks, double x, int cells, char *out);

void ex_progress_start(ex_progress *p, const ex_run *run, const ex_folder *f, FILE *out,
                       int quiet);
/* What the table below is to be held against.  f: the last evaluation. */
void ex_progress_baselines(ex_progress *p, const ex_run *run, const ex_evaluator *e,
                           const ex_baselines *b, const ex_figures *f);
void ex_progress_step(ex_progress *p, const ex_run *run, const data_batch *b, double loss,
                      double images_per_s);
/* judged = 0: an epoch without an evaluation, f is not looked at. */
void ex_progress_epoch(ex_progress *p, const ex_epoch *e, const ex_figures *f,
                       int judged);
void ex_progress_note(ex_progress *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The closing lines: outcome, figures with their references, the folder. */
void ex_progress_end(ex_progress *p, const ex_log *l, const ex_evaluator *e,
                     const ex_figures *f, int judged);

#endif
