#ifndef EX_FORMULA_H
#define EX_FORMULA_H

#include "nn/base.h"

/* Quantities of expected.tsv: arithmetic on the figures of runs.
 *
 *   sum      product { ("+" | "-") product }
 *   product  signed { ("*" | "/") signed }
 *   signed   "-" signed | number | "(" sum ")" | FUNCTION "(" sum { "," sum } ")" | figure
 *   figure   RUN ":" KEY              full:eval/linear    full:collapse/erank@0
 *   FUNCTION min max (two sums), abs ln (one)
 *
 * A RUN is letters, digits and "_".  A KEY takes every letter, digit, "_", ".", "/" and
 * "@" that follows, so that a division after a figure needs a space before the "/":
 * "a:loss / b:loss".
 *
 * All is done in double.  A figure that is NaN, a division of 0 by 0 and the ln of a
 * negative number make the whole NaN, min and max included: no band holds NaN. */
typedef struct ex_figure {
    char run[64], key[128];             /* key without the "@..." */
    char at[16];                        /* "", "0", "best", "12" */
} ex_figure;

/* The value of a figure; anything but NN_OK ends the evaluation. */
typedef nn_status ex_figure_get(void *from, const ex_figure *f, double *value,
                                nn_err *err);

/* The value of `text`.  A mistake in it is NN_ECONFIG with one line that begins with
 * `where` ("expected.tsv:3") and tells the column within `text`, counted from 1. */
nn_status ex_formula(const char *text, const char *where, ex_figure_get *get, void *from,
                     double *value, nn_err *err);

#endif
