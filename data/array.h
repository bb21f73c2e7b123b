#ifndef DATA_ARRAY_H
#define DATA_ARRAY_H

#include <stdio.h>
#include "data/npy.h"
#include "data/places.h"
#include "data/zip.h"

/* NumPy arrays by name: the entries NAME.npy of one .npz file, or files PREFIXNAME.npy, a
 * prefix being a folder with "/" or the beginning of file names. */
typedef struct data_store {
    data_zip *zip;                      /* NULL: files */
    char path[DATA_PATH];               /* of the archive, or the prefix */
} data_store;

/* path: a .npz file, a folder or a prefix. */
nn_status data_store_open(data_store *s, const char *path, nn_arena *a, nn_err *err);
void      data_store_close(data_store *s);
int       data_store_has(const data_store *s, const char *name);

/* An array that is being read: from its header on, row after row in C order whatever the
 * order of the file is.  Of an archive one at a time. */
typedef struct data_array {
    data_store *store;
    FILE *file;
    char name[512];                     /* for messages: the file, and the array in it */
    data_npy npy;
    char kind;                          /* 'u', 'i', 'f', 'b', or another of NumPy's */
    int bytes, big;                     /* of a number, most significant first */
    int n;                              /* rows: the first dimension */
    size_t row;                         /* bytes of each */
    unsigned char *whole;               /* of an array in Fortran order */
    int at;                             /* the next row */
} data_array;

/* NN_EDATA: damaged, or a type that no number has, or one dimension too large; the header
 * is held against the size of the file before anything is asked for. */
nn_status data_array_open(data_store *s, const char *name, data_array *out, nn_err *err);

/* The next row to `to`.  An array in Fortran order is read as a whole at the first one,
 * into the arena: on top of what the caller has taken, and his to rewind. */
nn_status data_array_row(data_array *x, nn_arena *a, unsigned char *to, nn_err *err);

/* Ends reading.  After the last row: what an archive says about the whole of it. */
nn_status data_array_close(data_array *x, nn_status so_far, nn_err *err);

#endif
