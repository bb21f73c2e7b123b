#ifndef EX_ASK_H
#define EX_ASK_H

#include <stdio.h>
#include "nn/base.h"

/* What the program knows about itself and the machine it runs on. */

/* `fullrank list WHAT`: methods, addons (what `add` in a configuration takes), models,
 * datasets, optimizers, quantisers, metrics or papers, one a line. */
nn_status ex_list(const char *what, FILE *out, nn_err *err);

/* `fullrank doctor`: processor, kernel tables, threads, speed, data sets, libraries; what
 * is missing and how to get it.  NN_ECONFIG when FULLRANK_KERN asks for what is not
 * there. */
nn_status ex_doctor(int threads, FILE *out, nn_err *err);

#endif
