#ifndef EX_SETTINGS_H
#define EX_SETTINGS_H

#include "experiments/folder.h"
#include "experiments/words.h"

/* Whether a run may be gone on with: its settings against those of a checkpoint.
 *
 * `there` is the text of ex_config_lines that stands in the checkpoint.  1: the same;
 * 0: every key that differs is in *w, "optim.base_lr = 0.1 there, 0.2 here". */
int ex_settings_same(const ex_config *c, const char *there, ex_words *w);

/* NN_ECONFIG when an unfinished run of the same name and seed, but with other settings,
 * waits beside the folder of this one, which has no checkpoint: the user may take it for
 * this one.  Names the one with the fewest differences. */
nn_status ex_settings_neighbours(const ex_config *c, const ex_folder *folder,
                                 nn_err *err);

#endif
