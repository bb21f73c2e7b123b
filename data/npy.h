#ifndef DATA_NPY_H
#define DATA_NPY_H

#include <stddef.h>
#include <stdint.h>
#include "nn/base.h"

/* The header of a NumPy file (.npy, "NumPy format version 1.0" and later): eight bytes
 * "\x93NUMPY" and the version, the length of a header, a header that is a literal of
 * Python, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }", and the numbers.
 * What is pickled is never looked at. */
enum { DATA_NPY_DIMS = 32 };

typedef struct data_npy {
    char descr[32];                     /* "<f4"; empty: no plain type but a record */
    int fortran, dims;
    long long dim[DATA_NPY_DIMS];       /* LLONG_MAX: or more */
    size_t length;                      /* bytes up to the first number */
    int seen;                           /* bit 0 descr, 1 fortran_order, 2 shape */
} data_npy;

/* Where bytes come from: up to n of them to `to`; returns how many came. */
typedef size_t data_npy_pull(void *from, void *to, size_t n);
size_t data_npy_pull_file(void *file, void *to, size_t n);      /* of a FILE * */

/* `name` is for the text of NN_EDATA: no such file, another version, a header that ends
 * early or makes no sense. */
nn_status data_npy_header(data_npy_pull *pull, void *from, const char *name,
                          data_npy *out, nn_err *err);

/* "(3, 4, 5)" */
const char *data_npy_shape(const data_npy *h, char *out, size_t size);

/* Numbers of the array; UINT64_MAX: more than can be counted in bytes. */
uint64_t data_npy_count(const data_npy *h);

/* One number of n bytes, of either byte order: as bits, as float32 or float64 rounded to
 * float. */
uint64_t data_npy_bits(const unsigned char *b, int n, int big);
float    data_npy_float(const unsigned char *b, int n, int big);

/* The start of a file of version 1.0: magic, version, length and header, padded with
 * blanks so that the numbers begin at a multiple of 64, as NumPy does for mapped files.
 * `out` has DATA_NPY_START bytes; returns how many are used. */
enum { DATA_NPY_START = 256 };          /* eight dimensions of ten digits fit */
size_t data_npy_start(const data_npy *h, unsigned char *out);

#endif
