#ifndef EX_LOSS_H
#define EX_LOSS_H

#include <stdio.h>
#include "nn/base.h"

/* `fullrank loss METHOD FILE.npy... [KEY=VALUE...]`: a method's or a regulariser's loss
 * on anybody's embeddings, and its gradient; docs/cli.md has what the files are.
 *
 * word[0] is the method, the rest are files and settings in any order; a word with '=' is
 * a setting unless it ends in ".npy".  `grad` (may be NULL) is the beginning of the names
 * of the gradients' files. */
typedef struct ex_loss_options {
    int words;
    const char *const *word;
    const char *grad;
    int json;
} ex_loss_options;

/* NN_ECONFIG: names, settings or the number of files; NN_EDATA: the files; NN_EDIVERGED:
 * loss or gradient is not finite; NN_ERUN: a gradient cannot be written. */
nn_status ex_loss(const ex_loss_options *o, FILE *out, nn_err *err);

#endif
