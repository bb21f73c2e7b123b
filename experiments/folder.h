#ifndef EX_FOLDER_H
#define EX_FOLDER_H

#include <stddef.h>
#include "experiments/config.h"

/* The newest checkpoint, and the one before it. */
#define EX_LAST "last.safetensors"
#define EX_PREV "prev.safetensors"

/* Who holds a lock on this file writes the run. */
#define EX_LOCK ".lock"

/* The folder of a run: <out>/<name>/<method>-<dataset>-<digest8>/s<seed>.
 *
 * It is made and tried out before training begins, so that a folder that cannot be
 * written is reported in the first second and not after the first epoch.  While it is
 * open no other process can open it here, as far as the file system knows locks. */
typedef struct ex_folder {
    char path[1024], checkpoints[1040];
    int lock;
    char was[32];                       /* state of the run that lies there; "" if none */
    int was_saved;                      /* 1: it had a checkpoint when it wrote that */
} ex_folder;

/* What it is called and what lies there; then it is made and opened. */
nn_status ex_folder_name(ex_folder *f, const ex_config *c, nn_err *err);
nn_status ex_folder_open(ex_folder *f, nn_err *err);
void      ex_folder_close(ex_folder *f);

/* Takes away what an earlier run left; nothing to say when it is not there. */
void      ex_folder_remove(const ex_folder *f, const char *name);

/* The state in a run folder's status.json, "" if there is none; 1: a checkpoint had been
 * written by then. */
int ex_folder_state(const char *path, char *state, size_t size);
/* 1: there is a last or a prev, good or bad. */
int ex_folder_has_checkpoint(const ex_folder *f);

/* A file that is replaced as a whole: written under a temporary name, fsynced, renamed,
 * and the folder fsynced.  Whoever looks, at any moment and after any kill, sees the old
 * file or the new one.  A failure is NN_ERUN with the file, the cause and a remedy; the
 * temporary file is gone then and the old one stands. */
typedef struct ex_file {
    char folder[1100], final[1200], temporary[1208];
    int file;                           /* -1: closed */
} ex_file;

nn_status ex_file_begin(ex_file *f, const char *folder, const char *name, nn_err *err);
nn_status ex_file_add(ex_file *f, const void *bytes, size_t n, nn_err *err);
/* Writes over what was added before. */
nn_status ex_file_patch(ex_file *f, size_t at, const void *bytes, size_t n, nn_err *err);
/* `keep`: the name that the old file goes on under; NULL: it is replaced. */
nn_status ex_file_commit(ex_file *f, const char *keep, nn_err *err);

/* All of it in one call. */
nn_status ex_file_put(const char *folder, const char *name, const char *text,
                      size_t bytes, nn_err *err);

#endif
