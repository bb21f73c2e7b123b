#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include "nn/base.h"
#include "nn/tensor.h"

/* Golden files: named float32 tensors worked out elsewhere (tests/golden/make_golden.py
 * makes them and describes the format). */
typedef struct golden_record {
    char *name;
    nn_shape shape;                     /* rank 0: a scalar */
    size_t n;
    float *val;
} golden_record;

typedef struct golden { golden_record *list; int count, room; } golden;

/* Reads a file of the folder golden/ of $FULLRANK_TESTS (default "tests").  NN_EDATA when
 * it is missing or damaged. */
nn_status golden_read(golden *g, const char *file, nn_err *err);
void      golden_free(golden *g);

/* The same for a test, which fails if the file cannot be read. */
golden    golden_open(const char *file);

/* The record of this name; if there is none, golden_find gives NULL and golden_at fails
 * the test. */
const golden_record *golden_find(const golden *g, const char *name);
const golden_record *golden_at(const golden *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Largest difference over the largest golden value of the tensor.  One scale for the
 * whole tensor, because the error of a sum goes with the size of its terms, not with what
 * is left after they cancel.  A tensor that is zero by theory (all golden values under
 * GOLDEN_ZERO) is measured in absolute terms.  Not finite: infinity. */
double golden_gap(const golden_record *want, const float *got);
#define GOLDEN_ZERO 1e-9

/* Fails the test unless golden_gap <= tolerance; the text names record and figures. */
void golden_check(const golden_record *want, const float *got, double tolerance);

#endif
