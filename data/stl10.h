#ifndef DATA_STL10_H
#define DATA_STL10_H

#include <stdio.h>
#include "data/data.h"

/* Images of STL-10's X files: 9,216 red, green and blue bytes, each plane column by
 * column.  Labels of its y files: one byte each, from 1. */
enum { DATA_STL10_SIDE = 96, DATA_STL10_PIXELS = 3 * 96 * 96, DATA_STL10_CLASSES = 10 };

nn_status data_stl10_images(FILE *file, const char *path, int n, uint8_t *pixel,
                            nn_err *err);
nn_status data_stl10_labels(FILE *file, const char *path, int n, uint16_t *label,
                            nn_err *err);

#endif
