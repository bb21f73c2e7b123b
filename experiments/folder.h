#ifndef EX_FOLDER_H
#define EX_FOLDER_H

#include <stddef.h>
#include "experiments/config.h"

/* The folder of a run: <out>/<name>/<method>-<dataset>-<digest8>/s<seed>.
 *
 * It is made and tried out before training begins, so that a folder that cannot be
 * written is reported in the first second and not after the first epoch.  While it is
 * open no other process can open it for writing. */
typedef struct ex_folder {
    char path[1024];
    int lock;
    char was[32];                       /* state of the run that lies there; "" if none */
} ex_folder;

nn_status ex_folder_open(ex_folder *f, const ex_config *c, nn_err *err);
void      ex_folder_close(ex_folder *f);

/* Replaces one file as a whole: temporary name, fsync, rename.  Whoever looks, at any
 * moment and after any kill, sees the old file or the new one. */
nn_status ex_file_put(const char *folder, const char *name, const char *text,
                      size_t bytes, nn_err *err);

#endif
