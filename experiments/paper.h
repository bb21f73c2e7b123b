#ifndef EX_PAPER_H
#define EX_PAPER_H

#include <stdio.h>
#include "nn/arena.h"
#include "nn/base.h"

/* A paper is a folder: configurations, runs.tsv and expected.tsv.  Both files are tables
 * with one tab between two columns; lines that are empty or begin with '#' do not count;
 * the first line that counts names the columns.
 *
 *   runs.tsv       run  config  overrides
 *                  overrides: KEY=VALUE KEY=VALUE ..., may be empty
 *                  the comment "# quick: KEY=VALUE ..." is what --quick adds to every run
 *   expected.tsv   claim  what  quantity  band  published  setting  ours  kind
 *                  quantity: experiments/formula.h     kind: mechanism or result
 *                  band: "< X", "<= X", "> X", ">= X" or "in X Y"
 *
 * Rows of the same claim stand or fall together. */
typedef struct ex_band { char op[3]; double lo, hi; } ex_band;      /* "<" reads hi */

typedef enum ex_kind { EX_MECHANISM, EX_RESULT } ex_kind;

typedef struct ex_paper_run {
    const char *name, *config;          /* the config's whole path */
    int pairs; const char *const *pair;
    int line;
} ex_paper_run;

typedef struct ex_row {
    const char *claim, *what, *quantity, *band_text, *published, *setting, *ours;
    ex_band band;
    ex_kind kind;
    int line;
} ex_row;

typedef struct ex_paper {
    const char *name;                   /* the folder's own */
    const char *folder, *runs_file, *rows_file;
    ex_paper_run *run; int runs;
    ex_row *row; int rows;
    int quick_pairs; const char *const *quick;
    nn_arena text;                      /* all of the above */
} ex_paper;

/* Finds and reads a paper, all of it checked except what needs runs.  `name` with a '/'
 * is a folder; else it is looked for in ./experiments, in `experiments` beside the
 * program and in ../share/fullrank/experiments from there.  NN_ECONFIG with file, line
 * and cause.  ex_paper_free also after a failure. */
nn_status ex_paper_read(ex_paper *p, const char *name, nn_err *err);
void      ex_paper_free(ex_paper *p);

/* `fullrank list papers`: name, counts and folder, one a line. */
void ex_paper_list(FILE *out);

/* The run of that name, or NULL; and the nearest name. */
const ex_paper_run *ex_paper_run_of(const ex_paper *p, const char *name);
const char         *ex_paper_near_run(const ex_paper *p, const char *name);

/* 1: the value lies in the band; NaN lies in none. */
int ex_band_holds(const ex_band *b, double x);

#endif
