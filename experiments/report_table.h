#ifndef EX_REPORT_TABLE_H
#define EX_REPORT_TABLE_H

#include <stdio.h>
#include "experiments/report_read.h"

/* Prints the last epoch of every run beside its reference values, and the notes below.
 * Up to three runs stand side by side; more get a line each.  `colour`: 1 to colour
 * the verdicts. */
void ex_report_table(FILE *f, const ex_record *rec, int runs, int colour);

/* 1 when `f` is a terminal that shows colours and NO_COLOR is not set. */
int  ex_wants_colour(FILE *f);

#endif
