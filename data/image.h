#ifndef DATA_IMAGE_H
#define DATA_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "nn/base.h"

/* Pictures in files: JPEG, PNG, BMP and binary PNM to bytes, bytes to PNG.  The format is
 * told by the contents, not by the name.
 *
 * What comes out is what Pillow gives with exif_transpose and convert("RGB") or
 * convert("L"): the EXIF orientation is applied (a broken EXIF block counts as none),
 * transparency is dropped and the colours beneath are shown, 16 bits become the upper 8.
 * Grey is (19595 R + 38470 G + 7471 B) / 65536, rounded: 0.299, 0.587, 0.114.  PNG, BMP
 * and PNM are equal to Pillow's byte for byte.  JPEG differs by 0.04 of 255 in the mean
 * and by 12 at most over 515 photographs, since two decoders round differently; with half
 * the chroma columns and an odd width, by more in the two last columns.  The bytes are
 * the same on every machine.
 *
 * Every other content of a file is NN_EDATA and one line that names the file, the fault
 * and the remedy: nothing is half decoded.  A PNG's checksums are compared; a JPEG has
 * none, but its segments must lead to its end marker, with a scan of every component
 * before it.  What cannot be seen is a gap in the coded data of a scan.
 *
 * A header is compared with the size of the file and with the limits below before memory
 * is asked for.  All functions may be called from several threads. */
enum {
    DATA_PICTURE_BYTES = 64 << 20,      /* of a file: a photograph has a tenth */
    DATA_PICTURE_PIXELS = 64 << 20,     /* beyond every camera that fills a data set; the
                                           decoder needs up to 12 bytes a pixel */
    DATA_PICTURE_SIDE = 1 << 15         /* pixels; no product of two overflows */
};

typedef struct data_picture {
    int h, w, c;                        /* c = 1 or 3 */
    uint8_t *pixel;                     /* (h, w, c), malloc'ed */
} data_picture;

/* `channels` is 1 or 3; `name` stands for the bytes in messages.  Unless the result is
 * NN_OK, *out is empty. */
nn_status data_picture_read(const char *file, int channels, data_picture *out,
                            nn_err *err);
nn_status data_picture_decode(const uint8_t *bytes, size_t size, const char *name,
                              int channels, data_picture *out, nn_err *err);
void      data_picture_free(data_picture *p);

/* As PNG: under a temporary name beside `file`, then renamed.  NN_ERUN. */
nn_status data_picture_write(const char *file, const data_picture *p, nn_err *err);

/* 1 for names ending in .jpg .jpeg .png .bmp .ppm .pgm .pnm, in any case. */
int data_picture_suffix(const char *name);

#endif
