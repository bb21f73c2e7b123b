#include "data/files.h"
#include "data/image_head.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- stb ---- */

/* The largest piece of memory that the picture at hand can need.  A stream in a PNG says
 * nowhere how long it becomes, and stb_image would let it grow for ever.  Per thread,
 * because the allocator of stb_image is asked without a context. */
static _Thread_local size_t piece;

/* Cleared: what a broken file leaves out is black, and not what lay in memory. */
static void *take(size_t bytes)
{
    if (bytes > piece)
        return NULL;
    void *p = calloc(1, bytes);
    if (!p)
        nn_no_memory("a picture needs %zu bytes more", bytes);
    return p;
}

static void *take_more(void *old, size_t was, size_t bytes)
{
    if (bytes > piece)
        return NULL;
    char *p = realloc(old, bytes);
    if (!p)
        nn_no_memory("a picture needs %zu bytes more", bytes);
    if (bytes > was)
        memset(p + was, 0, bytes - was);
    return p;
}

/* Without vector code: broken coefficients overflow 16 bits in one instruction set and not
 * in the next, and the same file shall be the same bytes everywhere.  It costs a third of
 * the time. */
#define STBI_NO_SIMD
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_FAILURE_STRINGS
#define STBI_MAX_DIMENSIONS DATA_PICTURE_SIDE
#define STBI_ASSERT(x) ((void)0)
#define STBI_MALLOC(bytes) take(bytes)
#define STBI_REALLOC(old, bytes) take_more(old, bytes, bytes)
#define STBI_REALLOC_SIZED(old, was, bytes) take_more(old, was, bytes)
#define STBI_FREE(p) free(p)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
/* Static functions that the choices above leave without a body, and reading through
 * callbacks, which memory has none of.  These warnings come at the end of the file, so
 * that they cannot be put back in force here. */
#pragma GCC diagnostic ignored "-Wunused-function"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

/* ---- decoding ---- */

/* Pixel (y, x) of the upright picture lies at (y, x) of the stored one, or at (x, y) for
 * 5 to 8, with rows or columns counted from the other end. */
typedef struct turn { int swap, up, back; } turn;

static turn turn_of(int orientation)
{
    static const turn all[] = {
        [1] = { 0, 0, 0 }, [2] = { 0, 0, 1 }, [3] = { 0, 1, 1 }, [4] = { 0, 1, 0 },
        [5] = { 1, 0, 0 }, [6] = { 1, 1, 0 }, [7] = { 1, 1, 1 }, [8] = { 1, 0, 1 }
    };
    return all[orientation];
}

/* As Pillow: 16-bit weights that add up to one. */
static uint8_t grey_of(const uint8_t *rgb)
{
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

static void put_pixel(const uint8_t *in, int have, int want, uint8_t *out)
{
    if (have == want)
        memcpy(out, in, (size_t)want);
    else if (want == 1)
        *out = grey_of(in);
    else
        memset(out, *in, 3);
}

/* From (h, w, head->c) as stored to upright ones of p->c channels. */
static void set_upright(const data_head *head, const uint8_t *in, data_picture *p)
{
    turn t = turn_of(head->orientation);
    uint8_t *out = p->pixel;

    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++, out += p->c) {
            int row = t.swap ? x : y, column = t.swap ? y : x;
            row = t.up ? head->h - 1 - row : row;
            column = t.back ? head->w - 1 - column : column;
            size_t at = (size_t)row * (size_t)head->w + (size_t)column;
            put_pixel(in + at * (size_t)head->c, head->c, p->c, out);
        }
}

/* v / most of 255, to the nearest, halves to the even: Pillow's round(). */
static uint8_t scaled(unsigned v, unsigned most)
{
    unsigned twice = v < most ? 2 * 255 * v : 2 * 255 * most;
    unsigned q = (twice + most) / (2 * most);
    return (uint8_t)((twice + most) % (2 * most) == 0 && q % 2 ? q - 1 : q);
}

/* PNM is bytes in a row.  stb_image 2.27 would leave 16-bit files a buffer of half the
 * size, and does not scale values to 0..255. */
static uint8_t *decode_pnm(const data_head *head, const uint8_t *bytes)
{
    size_t n = (size_t)head->h * (size_t)head->w * (size_t)head->c;
    const uint8_t *p = bytes + head->start;
    uint8_t *out = take(n);

    for (size_t i = 0; i < n; i++) {
        unsigned v = head->most > 255 ? p[2 * i] * 256u + p[2 * i + 1] : p[i];
        out[i] = head->most == 255 ? (uint8_t)v : scaled(v, (unsigned)head->most);
    }
    return out;
}

/* (h, w, c) as stored, or NULL. */
static uint8_t *decode(const data_head *head, const uint8_t *bytes, size_t size)
{
    enum { BLOCK = 32, TABLES = 1 << 16 };      /* JPEG pads to blocks; tables and rows */
    size_t h = (size_t)head->h + BLOCK, w = (size_t)head->w + BLOCK;
    int got_w, got_h, got_c;

    piece = 8 * h * w + 2 * size + TABLES;      /* 4 channels of 16 bits; packed data */
    if (head->kind == DATA_PNM)
        return decode_pnm(head, bytes);
    uint8_t *pixel = stbi_load_from_memory(bytes, (int)size, &got_w, &got_h, &got_c,
                                           head->c);
    if (pixel && (got_h != head->h || got_w != head->w)) {
        free(pixel);
        return NULL;
    }
    return pixel;
}

nn_status data_picture_decode(const uint8_t *bytes, size_t size, const char *name,
                              int channels, data_picture *out, nn_err *err)
{
    data_head head;

    NN_NEED(channels == 1 || channels == 3, "a picture of %d channels", channels);
    *out = (data_picture){ 0 };
    if (size > DATA_PICTURE_BYTES)
        return nn_fail(err, NN_EDATA, "%.300s: has %zu bytes, more than the limit of %d; "
                       "make the picture smaller", name, size, DATA_PICTURE_BYTES);
    NN_TRY(data_head_read(bytes, size, name, &head, err));
    uint8_t *stored = decode(&head, bytes, size);
    if (!stored)
        return nn_fail(err, NN_EDATA, "%.300s: its pixels cannot be decoded; replace the "
                       "file", name);

    int swap = turn_of(head.orientation).swap;
    *out = (data_picture){ .h = swap ? head.w : head.h, .w = swap ? head.h : head.w,
                           .c = channels, .pixel = stored };
    if (head.c == channels && head.orientation == 1)
        return NN_OK;
    out->pixel = take((size_t)head.h * (size_t)head.w * (size_t)channels);
    set_upright(&head, stored, out);
    free(stored);
    return NN_OK;
}

void data_picture_free(data_picture *p)
{
    free(p->pixel);
    *p = (data_picture){ 0 };
}

/* ---- files ---- */

static nn_status unreadable(const char *file, const char *why, nn_err *err)
{
    return nn_fail(err, NN_EDATA, "%.300s: cannot be read: %s; check its name, its links "
                   "and its permissions", file, why);
}

/* Reads `size` bytes, the size the open file had a moment ago. */
static nn_status read_bytes(int fd, const char *file, uint8_t *to, size_t size,
                            nn_err *err)
{
    for (size_t at = 0; at < size; ) {
        ssize_t got = read(fd, to + at, size - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return unreadable(file, strerror(errno), err);
        if (got == 0)
            return nn_fail(err, NN_EDATA, "%.300s: became shorter while it was read: %zu "
                           "of %zu bytes; wait until it is complete", file, at, size);
        at += (size_t)got;
    }
    return NN_OK;
}

static nn_status read_open(int fd, const char *file, int channels, data_picture *out,
                           nn_err *err)
{
    struct stat about;

    if (fstat(fd, &about) != 0)
        return unreadable(file, strerror(errno), err);
    if (!S_ISREG(about.st_mode))
        return nn_fail(err, NN_EDATA, "%.300s: is %s; name a picture", file,
                       S_ISDIR(about.st_mode) ? "a folder" : "not a regular file");
    if (about.st_size > DATA_PICTURE_BYTES)
        return nn_fail(err, NN_EDATA, "%.300s: has %lld bytes, more than the limit of %d; "
                       "make the picture smaller", file, (long long)about.st_size,
                       DATA_PICTURE_BYTES);
    size_t size = (size_t)about.st_size;
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        nn_no_memory("%s: needs %zu bytes", file, size);
    nn_status status = read_bytes(fd, file, bytes, size, err);
    if (status == NN_OK)
        status = data_picture_decode(bytes, size, file, channels, out, err);
    free(bytes);
    return status;
}

/* Without waiting: a pipe would keep us until somebody writes into it. */
nn_status data_picture_read(const char *file, int channels, data_picture *out,
                            nn_err *err)
{
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    *out = (data_picture){ 0 };
    if (fd < 0)
        return unreadable(file, strerror(errno), err);
    nn_status status = read_open(fd, file, channels, out, err);
    close(fd);
    return status;
}

static void to_stream(void *stream, void *bytes, int n)
{
    fwrite(bytes, 1, (size_t)n, stream);        /* ferror tells */
}

static int put_png(FILE *f, const void *what)
{
    const data_picture *p = what;
    return stbi_write_png_to_func(to_stream, f, p->w, p->h, p->c, p->pixel, p->w * p->c)
           && !ferror(f);
}

nn_status data_picture_write(const char *file, const data_picture *p, nn_err *err)
{
    return data_write(file, put_png, p, err);
}

int data_picture_suffix(const char *name)
{
    static const char *const all[] = { ".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm",
                                       ".pnm" };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < NN_COUNT(all); i++)
        if (strcasecmp(dot, all[i]) == 0)
            return 1;
    return 0;
}
