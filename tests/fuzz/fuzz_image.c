#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data/image_head.h"

/* Pictures: the decoder for both numbers of channels, and EXIF blocks.
 *
 * A PNG's checksums would stop nearly every mutation at the door, so that a PNG is tried
 * as it is and, in a copy, with checksums that match. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void decode(const uint8_t *bytes, size_t size)
{
    for (int channels = 1; channels <= 3; channels += 2) {
        data_picture p;
        nn_err err;
        nn_status status = data_picture_decode(bytes, size, "x", channels, &p, &err);
        NN_NEED((status == NN_OK && p.pixel && p.c == channels)
                    || (status == NN_EDATA && !p.pixel),
                "status %d", status);
        data_picture_free(&p);
    }
}

static uint32_t length_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void mend_checksums(uint8_t *png, size_t size)
{
    for (size_t at = 8; size - at >= 12; ) {
        size_t n = length_at(png + at);
        if (n > size - at - 12)
            return;
        uint32_t sum = (uint32_t)crc32(0, png + at + 4, (unsigned)n + 4);
        for (int i = 0; i < 4; i++)
            png[at + 8 + n + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += n + 12;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    int orientation = data_orientation(bytes, size);

    NN_NEED(orientation >= 1 && orientation <= 8, "orientation %d", orientation);
    decode(bytes, size);
    if (size >= 8 && memcmp(bytes, "\x89PNG", 4) == 0) {
        uint8_t *copy = malloc(size);
        memcpy(copy, bytes, size);
        mend_checksums(copy, size);
        decode(copy, size);
        free(copy);
    }
    return 0;
}
