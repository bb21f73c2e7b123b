#ifndef DATA_IMAGE_HEAD_H
#define DATA_IMAGE_HEAD_H

#include "data/image.h"

/* Inside of data/image.c: what the bytes of a picture say about it, found out without a
 * decoder.  Everything the decoder would take on trust is looked at here first: sizes,
 * ends, checksums, tables that must not overflow, indices into palettes. */
typedef enum data_kind {
    DATA_JPEG, DATA_PNG, DATA_BMP, DATA_PNM
} data_kind;

typedef struct data_head {
    data_kind kind;
    int h, w;                           /* as stored, before the orientation */
    int c;                              /* 1 grey, 3 colours; alpha is not counted */
    int most;                           /* PNM: the value of white */
    size_t start;                       /* PNM: where the pixels begin */
    int orientation;                    /* EXIF, 1..8 */
} data_head;

/* NN_EDATA, with `name` in the text, unless the picture is whole. */
nn_status data_head_read(const uint8_t *bytes, size_t size, const char *name,
                         data_head *out, nn_err *err);

/* The orientation of a TIFF block as EXIF has it; 1 if there is none or it is broken. */
int data_orientation(const uint8_t *tiff, size_t size);

#endif
