#ifndef DATA_CIFAR_H
#define DATA_CIFAR_H

#include <stdio.h>
#include "data/data.h"

/* A record of CIFAR's binary files: one or more label bytes, then 1,024 red, 1,024 green
 * and 1,024 blue bytes, each plane row by row.  CIFAR-100 has two labels, the coarse one
 * first. */
enum { DATA_CIFAR_SIDE = 32, DATA_CIFAR_PIXELS = 3 * 32 * 32 };

typedef struct data_cifar_kind {
    int labels, which;                  /* label bytes, and the one that is wanted */
    int classes;
} data_cifar_kind;

/* The next n records of a file, channels last. */
nn_status data_cifar_records(FILE *file, const char *path, data_cifar_kind kind, int n,
                             uint8_t *pixel, uint16_t *label, nn_err *err);

#endif
