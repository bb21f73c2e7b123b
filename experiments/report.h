#ifndef EX_REPORT_H
#define EX_REPORT_H

#include <stdio.h>
#include "nn/base.h"

/* Reads `runs` run folders, writes one self-contained HTML page to the file `out` and
 * prints the table of all runs to `table`.
 *
 * The page holds everything it needs (data, style, Chart.js) and never asks the network.
 * It is written beside `out` under a temporary name, fsynced and renamed: the old page
 * stays whole until the new one is.  The same folders give the same bytes.
 *
 * `out` NULL: only the table.  `table` NULL: only the page.  The table uses colour when
 * it goes to a terminal and NO_COLOR is not set; colour never carries meaning alone.
 *
 * Returns NN_ECONFIG when a path is not a run folder or `out` cannot be a page, NN_ERUN
 * when a file is damaged or cannot be written; the text names file, cause and remedy.
 * A run that is unfinished, interrupted or failed is shown as such and is no error. */
nn_status ex_report(int runs, const char *const *run, const char *out, FILE *table,
                    nn_err *err);

#endif
