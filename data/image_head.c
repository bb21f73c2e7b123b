#include "data/image_head.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    DEFLATE_RATIO = 1032,       /* no deflate stream packs more bytes into one */
    JPEG_RATIO = 1024,          /* pixels a byte: a block of 8 x 8 takes a bit or more in
                                   one component, and the largest component has at least
                                   one block for 128 pixels */
    JPEG_SCANS = 100,           /* a progressive file has about ten; each costs a pass */
    HUFFMAN_CODES = 256
};

/* The bytes of one file and where a fault in them is told. */
typedef struct scan {
    const uint8_t *byte;
    size_t size;
    const char *name;
    data_head *head;
    nn_err *err;
} scan;

static uint32_t big(const uint8_t *p, int bytes)
{
    uint32_t x = 0;
    for (int i = 0; i < bytes; i++)
        x = x << 8 | p[i];
    return x;
}

static uint32_t little(const uint8_t *p, int bytes)
{
    uint32_t x = 0;
    for (int i = bytes; i-- > 0; )
        x = x << 8 | p[i];
    return x;
}

/* ---- what is said ---- */

__attribute__((format(printf, 2, 3)))
static nn_status damaged(const scan *s, const char *format, ...)
{
    char what[256];
    va_list list;

    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    return nn_fail(s->err, NN_EDATA, "%.300s: %s; replace the file", s->name, what);
}

static nn_status too_early(const scan *s, const char *missing)
{
    return damaged(s, "ends too early: %s missing", missing);
}

static nn_status unknown(const scan *s, const char *what)
{
    return nn_fail(s->err, NN_EDATA, "%.300s: %s is not read; save it as an ordinary "
                   "JPEG or PNG", s->name, what);
}

/* Width and height against the limits.  64 bits hold the product of any two. */
static nn_status take_size(const scan *s, uint64_t h, uint64_t w)
{
    if (h == 0 || w == 0)
        return damaged(s, "the header says %llu x %llu pixels", (unsigned long long)w,
                       (unsigned long long)h);
    if (h > DATA_PICTURE_SIDE || w > DATA_PICTURE_SIDE || h * w > DATA_PICTURE_PIXELS)
        return nn_fail(s->err, NN_EDATA, "%.300s: the header says %llu x %llu pixels, "
                       "more than the limit of %d million and %d on a side; make the "
                       "picture smaller", s->name, (unsigned long long)w,
                       (unsigned long long)h, DATA_PICTURE_PIXELS / 1000000,
                       DATA_PICTURE_SIDE);
    s->head->h = (int)h;
    s->head->w = (int)w;
    return NN_OK;
}

static nn_status too_small(const scan *s)
{
    return damaged(s, "ends too early: the header says %d x %d pixels, more than a file "
                   "of %zu bytes can hold", s->head->w, s->head->h, s->size);
}

/* ---- EXIF ---- */

/* A TIFF block: byte order, 42, the offset of a directory; that is a count and entries of
 * 12 bytes: tag, type, count, value. */
int data_orientation(const uint8_t *tiff, size_t size)
{
    enum { HEAD = 8, ENTRY = 12, TAG = 0x0112, SHORT = 3 };
    if (size < HEAD || (memcmp(tiff, "II", 2) != 0 && memcmp(tiff, "MM", 2) != 0))
        return 1;

    uint32_t (*number)(const uint8_t *, int) = *tiff == 'I' ? little : big;
    size_t at = number(tiff + 4, 4);
    if (number(tiff + 2, 2) != 42 || at > size - 2)
        return 1;

    size_t entries = number(tiff + at, 2);
    for (at += 2; entries > 0 && size - at >= ENTRY; entries--, at += ENTRY) {
        const uint8_t *e = tiff + at;
        if (number(e, 2) != TAG)
            continue;
        uint32_t value = number(e + 8, 2);
        int whole = number(e + 2, 2) == SHORT && number(e + 4, 4) == 1;
        return whole && value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

/* ---- JPEG ---- */

enum {
    M_SOF0 = 0xc0, M_SOF1 = 0xc1, M_SOF2 = 0xc2, M_DHT = 0xc4, M_JPG = 0xc8, M_DAC = 0xcc,
    M_RST0 = 0xd0, M_RST7 = 0xd7, M_SOI = 0xd8, M_EOI = 0xd9, M_SOS = 0xda, M_APP1 = 0xe1
};

typedef struct jpeg {
    int components, id[4];
    unsigned scanned;           /* bit k: component k had a scan */
    int scans, exif;
} jpeg;

static int is_frame(int marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != M_DHT && marker != M_JPG
           && marker != M_DAC;
}

/* SOF: precision, height, width, then id, sampling and table of every component. */
static nn_status frame(const scan *s, jpeg *j, int marker, const uint8_t *p, size_t n)
{
    if (marker > M_SOF2)
        return unknown(s, "a lossless, hierarchical or arithmetic JPEG");
    if (j->components)
        return damaged(s, "has two JPEG frames");
    if (n < 6 || n != 6 + 3 * (size_t)p[5])
        return damaged(s, "its JPEG frame header is broken");
    if (p[0] != 8)
        return unknown(s, "a JPEG with more than 8 bits");
    if (p[5] != 1 && p[5] != 3 && p[5] != 4)
        return unknown(s, "a JPEG with two or more than four components");
    j->components = p[5];
    for (int k = 0; k < j->components; k++)
        j->id[k] = p[6 + 3 * k];
    s->head->c = j->components == 1 ? 1 : 3;
    NN_TRY(take_size(s, big(p + 1, 2), big(p + 3, 2)));
    if ((size_t)s->head->h * (size_t)s->head->w / JPEG_RATIO > s->size)
        return too_small(s);
    return NN_OK;
}

/* DHT: tables of 16 counts and as many values.  stb_image 2.27 has room for 256 and does
 * not count. */
static nn_status huffman(const scan *s, const uint8_t *p, size_t n)
{
    while (n >= 17) {
        size_t codes = 0;
        for (int i = 1; i <= 16; i++)
            codes += p[i];
        if (codes > HUFFMAN_CODES || n < 17 + codes)
            break;
        p += 17 + codes;
        n -= 17 + codes;
    }
    return n ? damaged(s, "a Huffman table is broken") : NN_OK;
}

/* SOS: which components the scan has. */
static nn_status scan_head(const scan *s, jpeg *j, const uint8_t *p, size_t n)
{
    if (!j->components || n < 1 || n != 4 + 2 * (size_t)p[0])
        return damaged(s, "a scan header is broken");
    if (++j->scans > JPEG_SCANS)
        return unknown(s, "a JPEG with more than 100 scans");
    for (int i = 0; i < p[0]; i++)
        for (int k = 0; k < j->components; k++)
            if (p[1 + 2 * i] == j->id[k])
                j->scanned |= 1u << k;
    return NN_OK;
}

/* Coded data go on to the first marker that is no restart. */
static size_t after_data(const scan *s, size_t at)
{
    while (at + 1 < s->size) {
        const uint8_t *ff = memchr(s->byte + at, 0xff, s->size - 1 - at);
        if (!ff)
            return s->size;
        at = (size_t)(ff - s->byte);
        int next = ff[1];
        if (next != 0 && next != 0xff && (next < M_RST0 || next > M_RST7))
            return at;
        at += next == 0xff ? 1 : 2;
    }
    return s->size;
}

static nn_status segment(const scan *s, jpeg *j, int marker, const uint8_t *p, size_t n)
{
    if (is_frame(marker))
        return frame(s, j, marker, p, n);
    if (marker == M_DHT)
        return huffman(s, p, n);
    if (marker == M_SOS)
        return scan_head(s, j, p, n);
    if (marker == M_APP1 && !j->exif && n >= 6 && memcmp(p, "Exif\0", 6) == 0) {
        j->exif = 1;
        s->head->orientation = data_orientation(p + 6, n - 6);
    }
    return NN_OK;
}

/* The start marker, segments with their lengths, coded data behind each SOS, the end
 * marker.  Decoders make up what is missing in a file that was cut; here it shows: the
 * end marker is not where the segments lead. */
static nn_status jpeg_head(const scan *s)
{
    jpeg j = { 0 };
    size_t at = 2;

    for (;;) {
        /* some cameras pad their headers, and any marker may have several 0xff */
        while (!j.components && at < s->size && s->byte[at] != 0xff)
            at++;
        if (at < s->size && s->byte[at] != 0xff)
            return damaged(s, "its JPEG segments do not join");
        while (at < s->size && s->byte[at] == 0xff)
            at++;
        if (at >= s->size)
            return too_early(s, "the end of the JPEG data is");
        int marker = s->byte[at++];
        if (marker == M_EOI)
            break;
        if (s->size - at < 2 || big(s->byte + at, 2) > s->size - at)
            return too_early(s, "the end of the JPEG data is");
        size_t n = big(s->byte + at, 2);
        if (n < 2)
            return damaged(s, "a JPEG segment has no length");
        NN_TRY(segment(s, &j, marker, s->byte + at + 2, n - 2));
        at += n;
        if (marker == M_SOS)
            at = after_data(s, at);
    }
    if (!j.components || j.scanned != (1u << j.components) - 1)
        return too_early(s, "a part of the JPEG data is");
    return NN_OK;
}

/* ---- PNG ---- */

enum { PNG_SIGNATURE = 8, PNG_AROUND = 12 };    /* length, name and checksum of a chunk */

/* IHDR: width, height, depth, colour, method, filter, interlace. */
static nn_status png_size(const scan *s, const uint8_t *p, size_t n, uint64_t *raw)
{
    static const int channels[] = { 1, 0, 3, 1, 2, 0, 4 };
    enum { GREY = 0, PALETTE = 3, ALPHA = 4 };

    if (n != 13)
        return damaged(s, "its PNG header is broken");
    int depth = p[8], colour = p[9];
    int small = depth == 1 || depth == 2 || depth == 4;
    if (colour > 6 || !channels[colour] || p[10] || p[11] || p[12] > 1
        || (!small && depth != 8 && depth != 16)
        || (small && colour != GREY && colour != PALETTE)
        || (depth == 16 && colour == PALETTE))
        return damaged(s, "its PNG header is broken");
    NN_TRY(take_size(s, big(p + 4, 4), big(p, 4)));
    s->head->c = colour == GREY || colour == ALPHA ? 1 : 3;
    *raw = ((uint64_t)s->head->w * (unsigned)(channels[colour] * depth) + 7) / 8
           * (unsigned)s->head->h;
    return NN_OK;
}

/* The signature, then chunks up to IEND; the checksum of each covers name and data.  A
 * chunk that must be understood (its name begins with a capital) and is not known ends
 * it here: stb_image would write its name into memory that threads share. */
static nn_status png_head(const scan *s)
{
    uint64_t raw = 0, packed = 0;
    size_t at = PNG_SIGNATURE;

    for (int first = 1, last = 0; !last; first = 0) {
        const uint8_t *chunk = s->byte + at, *name = chunk + 4;
        if (s->size - at < PNG_AROUND || big(chunk, 4) > s->size - at - PNG_AROUND)
            return too_early(s, "the end of the PNG data is");
        size_t n = big(chunk, 4);
        if (crc32(crc32(0, NULL, 0), name, (unsigned)n + 4) != big(name + 4 + n, 4))
            return damaged(s, "the checksum of its PNG data does not match");

        int header = memcmp(name, "IHDR", 4) == 0;
        if (header != first)
            return damaged(s, "its PNG header is broken");
        if (header)
            NN_TRY(png_size(s, name + 4, n, &raw));
        else if (memcmp(name, "IDAT", 4) == 0)
            packed += n;
        else if (memcmp(name, "IEND", 4) == 0)
            last = 1;
        else if (memcmp(name, "eXIf", 4) == 0)
            s->head->orientation = data_orientation(name + 4, n);
        else if (!(name[0] & 0x20) && memcmp(name, "PLTE", 4) != 0)
            return unknown(s, "a PNG of a special kind");
        at += PNG_AROUND + n;
    }
    return raw > packed * DEFLATE_RATIO ? too_small(s) : NN_OK;
}

/* ---- BMP ---- */

/* Indices of 1, 4 or 8 bits must lie in the palette: stb_image takes what lies behind. */
static nn_status bmp_indices(const scan *s, size_t start, size_t row, int bits,
                             size_t colours)
{
    for (int y = 0; y < s->head->h; y++) {
        const uint8_t *p = s->byte + start + (size_t)y * row;
        for (int x = 0; x < s->head->w; x++) {
            int at = x * bits, value = p[at / 8] >> (8 - bits - at % 8) & ((1 << bits) - 1);
            if ((size_t)value >= colours)
                return damaged(s, "a pixel has colour %d of a palette of %zu", value,
                               colours);
        }
    }
    return NN_OK;
}

/* A file header of 14 bytes; size of the next one, width, height (negative: top row
 * first), planes, bits, compression ...; masks or a palette; rows padded to 4 bytes. */
static nn_status bmp_head(const scan *s)
{
    enum { FILE_HEAD = 14, INFO = 40, V4 = 108, V5 = 124, PLAIN = 0, MASKS = 3 };
    if (s->size < FILE_HEAD + INFO)
        return too_early(s, "the BMP header is");

    const uint8_t *p = s->byte;
    size_t start = little(p + 10, 4), head = little(p + 14, 4);
    uint32_t h = little(p + 22, 4), packing = little(p + 30, 4);
    int bits = (int)little(p + 28, 2), masks = packing == MASKS;
    if (head != INFO && head != V4 && head != V5)
        return unknown(s, "a BMP of an old kind");
    if ((packing != PLAIN && !masks)
        || (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32))
        return unknown(s, "a packed BMP");
    NN_TRY(take_size(s, h >> 31 ? 0u - h : h, little(p + 18, 4)));
    s->head->c = 3;

    size_t row = ((size_t)s->head->w * (unsigned)bits + 31) / 32 * 4;
    size_t before = FILE_HEAD + head + (masks && head == INFO ? 12 : 0);
    if (start < before || (bits > 8 && start != before))
        return damaged(s, "its BMP header is broken");
    if (start > s->size || row * (size_t)s->head->h > s->size - start)
        return too_small(s);
    return bits > 8 ? NN_OK : bmp_indices(s, start, row, bits, (start - before) / 4);
}

/* ---- PNM ---- */

/* A number of the header, after white space and comments; 0 at the end of the file. */
static uint64_t pnm_number(const scan *s, size_t *at)
{
    uint64_t x = 0;
    int comment = 0;

    for (; *at < s->size; ++*at) {
        int b = s->byte[*at];
        comment = b == '#' || (comment && b != '\n' && b != '\r');
        if (!comment && !strchr(" \t\n\v\f\r", b))
            break;
    }
    for (; *at < s->size && s->byte[*at] >= '0' && s->byte[*at] <= '9'; ++*at)
        if (x < UINT32_MAX)
            x = x * 10 + s->byte[*at] - '0';
    return x;
}

/* "P5" or "P6", width, height, the value of white, one white space, the pixels. */
static nn_status pnm_head(const scan *s)
{
    size_t at = 2;
    uint64_t w = pnm_number(s, &at), h = pnm_number(s, &at), most = pnm_number(s, &at);

    if (at >= s->size)
        return too_early(s, "the PNM pixels are");
    if (!strchr(" \t\n\v\f\r", s->byte[at]) || most < 1 || most > 65535)
        return damaged(s, "its PNM header is broken");
    NN_TRY(take_size(s, h, w));
    s->head->c = s->byte[1] == '6' ? 3 : 1;
    s->head->most = (int)most;
    s->head->start = at + 1;

    size_t each = (size_t)s->head->c * (most > 255 ? 2 : 1);
    return h * w * each > s->size - s->head->start ? too_small(s) : NN_OK;
}

/* ---- which one ---- */

nn_status data_head_read(const uint8_t *bytes, size_t size, const char *name,
                         data_head *out, nn_err *err)
{
    static const struct {
        const char *first;
        size_t n;
        data_kind kind;
        nn_status (*read)(const scan *s);
    } kinds[] = {
        { "\xff\xd8", 2, DATA_JPEG, jpeg_head },
        { "\x89PNG\r\n\x1a\n", PNG_SIGNATURE, DATA_PNG, png_head },
        { "BM", 2, DATA_BMP, bmp_head },
        { "P5", 2, DATA_PNM, pnm_head },
        { "P6", 2, DATA_PNM, pnm_head },
    };
    scan s = { bytes, size, name, out, err };

    *out = (data_head){ .orientation = 1 };
    if (size == 0)
        return damaged(&s, "is empty");
    for (size_t i = 0; i < NN_COUNT(kinds); i++)
        if (size >= kinds[i].n && memcmp(bytes, kinds[i].first, kinds[i].n) == 0) {
            out->kind = kinds[i].kind;
            return kinds[i].read(&s);
        }
    return nn_fail(err, NN_EDATA, "%.300s: not a JPEG, PNG, BMP or binary PNM picture; "
                   "convert it or take it away", name);
}
