#ifndef EX_DATA_TASK_H
#define EX_DATA_TASK_H

#include <jansson.h>

#include "data/data.h"
#include "experiments/data_command.h"

/* Inside of `fullrank data`: what one command is about.  One file for each of its verbs;
 * data_open.c finds out which set is meant. */
enum { EX_TRAIN, EX_TEST, EX_PARTS };

typedef struct ex_data_task {
    const ex_data_options *o;
    const data_source *source;
    data_settings data;
    data_augment augment;               /* resolved */
    uint64_t seed;                      /* of the views */
    int views;                          /* of an image in one step of the run */
    data_images part[EX_PARTS];
    nn_arena own;
} ex_data_task;

/* Reads word[1] and the settings behind it; fills all but `part`. */
nn_status ex_data_open(ex_data_task *t, nn_err *err);
nn_status ex_data_read(ex_data_task *t, nn_err *err);   /* fills `part`, as a run does */

/* The set whose files lie in `path`; its data.dir goes to *dir.  NULL: the text says why
 * that cannot be told. */
const data_source *ex_data_guess(const char *path, nn_arena *a, const char **dir,
                                 nn_err *err);
/* "; did you mean 'X'?", or what to do instead. */
const char *ex_data_near(const char *name, char *out, size_t size);

/* 1: the reader finds the files of a set, in the folder or file *where; "" when it needs
 * none. */
int ex_data_here(const data_source *d, const data_settings *s, char *where, size_t size);
/* Where file f of a set lies below `dir`, packed or unpacked (*plain = 1); 0: nowhere.
 * path has 4096 bytes. */
int ex_data_file(const char *dir, const data_file *f, char *path, int *plain);
/* MD5 as 32 hex digits; 0: cannot be read. */
int ex_data_md5(const char *path, char out[33]);

/* Signals that end the program wait while a file is being written, so that none is left
 * half-way under another name; 1: one waits. */
void ex_data_hold(void);
int  ex_data_waits(void);
void ex_data_let_go(void);

nn_status ex_data_list(ex_data_task *t, FILE *out, nn_err *err);
nn_status ex_data_check(ex_data_task *t, FILE *out, nn_err *err);
nn_status ex_data_fetch_help(ex_data_task *t, FILE *out, nn_err *err);
nn_status ex_data_show(ex_data_task *t, FILE *out, nn_err *err);
nn_status ex_data_export(ex_data_task *t, FILE *out, nn_err *err);

#endif
