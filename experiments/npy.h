#ifndef EX_NPY_H
#define EX_NPY_H

#include "nn/arena.h"
#include "nn/base.h"

/* Matrices as NumPy's files (.npy), whose header data/npy.h reads.
 *
 * What is read: float32 or float64 of either byte order, rows one after the other (C
 * order), two dimensions.  float64 is rounded to float32; beyond its range that is an
 * infinity. */
typedef struct ex_npy {
    int rows, cols;
    float *val;                         /* rows x cols */
} ex_npy;

/* val is in the arena.  NN_EDATA: not there, not such a file, another kind of array, or a
 * length that does not fit its shape; the text names the file. */
nn_status ex_npy_read(const char *file, nn_arena *a, ex_npy *out, nn_err *err);

/* The same of an array of 2 to EX_NPY_DIMS dimensions: all but the last count rows, in
 * the order of the file, so (8, 7, 7, 64) is 392 rows of 64.  *shape as it was. */
enum { EX_NPY_DIMS = 8 };
typedef struct ex_npy_shape { int dims, dim[EX_NPY_DIMS]; } ex_npy_shape;

nn_status ex_npy_read_rows(const char *file, nn_arena *a, ex_npy *out,
                           ex_npy_shape *shape, nn_err *err);

/* float32, int32 or uint8, little-endian, version 1.0.  The file is replaced as a whole or
 * stays as it was.  NN_ERUN: it cannot be written. */
nn_status ex_npy_write(const char *file, const ex_npy *m, nn_err *err);
nn_status ex_npy_write_floats(const char *file, const ex_npy_shape *shape,
                              const float *val, nn_err *err);
nn_status ex_npy_write_ints(const char *file, const ex_npy_shape *shape, const int *val,
                            nn_err *err);

/* The same item by item, for arrays that lie nowhere as a whole: item(ctx, i), for i from
 * 0 to dim[0] - 1, is the next dim[1] x dim[2] x ... numbers; NULL: leave the file. */
typedef enum ex_npy_kind { EX_NPY_FLOAT, EX_NPY_INT, EX_NPY_BYTE } ex_npy_kind;
typedef const void *ex_npy_item(void *ctx, int i);
nn_status ex_npy_write_items(const char *file, ex_npy_kind kind,
                             const ex_npy_shape *shape, ex_npy_item *item, void *ctx,
                             nn_err *err);

#endif
