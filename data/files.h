#ifndef DATA_FILES_H
#define DATA_FILES_H

#include <stdio.h>
#include "data/data.h"
#include "data/places.h"

/* Files of a set: found, opened, and complained about in one way by all readers; and a
 * file for others, written whole or not at all. */

/* Opens a regular file for reading and tells its size.  A folder, a pipe or a device is
 * refused, and none of them is waited for. */
nn_status data_open(const char *path, int *file, long long *bytes, nn_err *err);
nn_status data_open_stream(const char *path, FILE **file, long long *bytes, nn_err *err);

/* "PATH: cannot be read: REASON"; error 0: it became shorter meanwhile. */
nn_status data_unreadable(const char *path, int error, nn_err *err);

/* Has `put` write a file under a temporary name beside `file`, which then takes its
 * place; put returns 0, with errno, when it cannot.  A folder or a device is not
 * replaced.  NN_ERUN: nothing has changed. */
typedef int data_put(FILE *f, const void *what);
nn_status data_write(const char *file, data_put *put, const void *what, nn_err *err);

/* Any bytes, as names of files are, as UTF-8 fit for people and JSON: what is none
 * becomes \xNN. */
const char *data_readable(const char *name, nn_arena *a);

/* Whether dir/name+ending is there; its path goes to `path`, of DATA_PATH bytes. */
int data_is_there(const char *dir, const char *name, const char *ending, char *path);

/* min(all, limit), where a limit of 0 is none. */
int data_limited(int all, int limit);

/* A set in files without headers, of a size that is known to the byte. */
typedef struct data_fixed_file {
    const char *name;
    int records, record;                /* how many, of how many bytes each */
} data_fixed_file;

typedef struct data_fixed {
    const char *set, *folder;           /* its name, and that of its archive's folder */
    const data_fixed_file *file; int files;
    const char *archive;                /* what it is published as */
    const char *how;                    /* how to get it: the end of messages */
} data_fixed;

/* The folder with any of the set's files, or NULL: an incomplete one is for the reader
 * to name, no reason to take other data from somewhere else. */
const char *data_fixed_place(const data_fixed *f, const data_settings *s, data_places *p);
nn_status   data_fixed_not_found(const data_fixed *f, const data_places *p, nn_err *err);

/* Opens a file of the folder that has the size it should have. */
nn_status data_fixed_open(const data_fixed *f, const char *dir, int file, char *path,
                          FILE **out, nn_err *err);

/* Mean and deviation of the bytes of train's images per channel on the 0..1 scale, exact
 * sums; of numbers all together, in order; for both parts.  A deviation of 0 becomes 1. */
void data_measure(data_images *train, data_images *test);

#endif
