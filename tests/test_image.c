#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/image_head.h"
#include "tests/golden.h"
#include "tests/suites.h"

/* Pictures against Pillow (golden/make_image.py), and every way in which a file can be no
 * picture. */

enum { MOST = 4096, EXIF = 38, SIDES = 11 * 13 };

static const char *const exact[] = {
    "png_rgb", "png_grey", "png_alpha", "png_grey_alpha", "png_palette",
    "png_palette_clear", "png_key", "png_bits", "png_16_grey", "png_16_rgb",
    "png_interlaced", "png_exif", "bmp_rgb", "bmp_grey", "bmp_palette", "bmp_bits",
    "bmp_alpha", "ppm", "pgm", "ppm_100", "ppm_16"
};
static const char *const close_by[] = {
    "jpeg_420", "jpeg_422", "jpeg_444", "jpeg_grey", "jpeg_progressive", "jpeg_restart",
    "jpeg_rgb", "jpeg_cmyk"
};

static golden gold;
static char folder[64];
static nn_err err;
static data_picture picture;

/* A file in memory, with room to spoil it. */
typedef struct bytes { uint8_t at[MOST]; size_t n; } bytes;

static void start(void)
{
    gold = golden_open("image.gold");
    snprintf(folder, sizeof folder, "/tmp/fullrank-image-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    err.text[0] = 0;
}

static const char *path_of(const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static void stop(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    while ((e = readdir(d)))
        if (e->d_name[0] != '.' && unlink(path_of(e->d_name)) != 0)
            rmdir(path_of(e->d_name));
    closedir(d);
    rmdir(folder);
    data_picture_free(&picture);
    golden_free(&gold);
}

static bytes file_of(const char *name)
{
    const golden_record *r = golden_at(&gold, "%s/file", name);
    bytes b = { .n = r->n };

    ck_assert_uint_le(r->n, MOST);
    for (size_t i = 0; i < r->n; i++)
        b.at[i] = (uint8_t)r->val[i];
    return b;
}

/* From memory of exactly its size: a sanitizer sees a byte read behind the end. */
static nn_status decode(const bytes *b, int channels)
{
    uint8_t *copy = malloc(b->n ? b->n : 1);

    memcpy(copy, b->at, b->n);
    data_picture_free(&picture);
    nn_status status = data_picture_decode(copy, b->n, "x", channels, &picture, &err);
    free(copy);
    ck_assert_msg(status == NN_OK || (status == NN_EDATA && !picture.pixel),
                  "status %d", status);
    return status;
}

static void fails_with(nn_status status, const char *want)
{
    ck_assert_msg(status == NN_EDATA, "status %d, wanted: %s", status, want);
    ck_assert_str_eq(err.text, want);
    ck_assert_ptr_null(picture.pixel);
}

static void refused(const bytes *b, const char *want)
{
    fails_with(decode(b, 3), want);
}

static void put(const char *file, const void *from, size_t n)
{
    FILE *f = fopen(path_of(file), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(from, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

static nn_status read_file(const char *file)
{
    data_picture_free(&picture);
    return data_picture_read(path_of(file), 3, &picture, &err);
}

/* ---- good files ---- */

/* Largest difference; the last `but` columns are left out. */
static double gap(const golden_record *want, int but)
{
    double worst = 0;

    ck_assert_int_eq(picture.h, want->shape.dim[0]);
    ck_assert_int_eq(picture.w, want->shape.dim[1]);
    ck_assert_int_eq(picture.c, want->shape.dim[2]);
    for (size_t i = 0; i < want->n; i++)
        if ((int)(i / (size_t)picture.c) % picture.w < picture.w - but)
            worst = fmax(worst, fabs(picture.pixel[i] - (double)want->val[i]));
    return worst;
}

static void is_as_pillow_reads_it(const char *name, double tolerance, int but)
{
    bytes b = file_of(name);

    for (int c = 1; c <= 3; c += 2) {
        ck_assert_msg(decode(&b, c) == NN_OK, "%s: %s", name, err.text);
        double g = gap(golden_at(&gold, "%s/%s", name, c == 3 ? "rgb" : "grey"), but);
        ck_assert_msg(g <= tolerance, "%s, %d channels: %g apart", name, c, g);
    }
}

START_TEST(png_bmp_and_pnm_are_pillows_to_the_byte)
{
    is_as_pillow_reads_it(exact[_i], 0, 0);
}
END_TEST

/* Two decoders round the inverse transform and the enlarged chroma differently: 1 in each
 * of Y, Cb, Cr, and blue is Y + 1.772 Cb.  At the right edge of pictures with half the
 * chroma columns stb_image takes the two last columns in the wrong order. */
#define JPEG_TOLERANCE 3

START_TEST(jpeg_is_pillows_within_rounding)
{
    is_as_pillow_reads_it(close_by[_i], JPEG_TOLERANCE,
                          strcmp(close_by[_i], "jpeg_422") == 0 ? 2 : 0);
}
END_TEST

/* An APP1 segment with a TIFF directory of one entry, in either byte order. */
static void number(uint8_t *to, uint32_t x, int n, int little)
{
    for (int i = 0; i < n; i++)
        to[little ? i : n - 1 - i] = (uint8_t)(x >> 8 * i);
}

static void make_exif(uint8_t *to, uint32_t orientation, int little)
{
    memset(to, 0, EXIF);
    memcpy(to, "\xff\xe1\0\0Exif\0", 9);
    number(to + 2, EXIF - 2, 2, 0);
    memcpy(to + 10, little ? "II" : "MM", 2);
    number(to + 12, 42, 2, little);
    number(to + 14, 8, 4, little);              /* the directory follows */
    number(to + 18, 1, 2, little);
    number(to + 20, 0x0112, 2, little);
    number(to + 22, 3, 2, little);
    number(to + 24, 1, 4, little);
    number(to + 28, orientation, 2, little);
}

static bytes jpeg_with(const uint8_t *exif)
{
    bytes b = file_of("jpeg_420");
    memmove(b.at + 2 + EXIF, b.at + 2, b.n - 2);
    memcpy(b.at + 2, exif, EXIF);
    b.n += EXIF;
    return b;
}

START_TEST(all_orientations_of_both_byte_orders_are_applied)
{
    int orientation = _i / 2 + 1, little = _i % 2;
    uint8_t exif[EXIF];

    make_exif(exif, (uint32_t)orientation, little);
    bytes b = jpeg_with(exif);
    ck_assert_int_eq(decode(&b, 3), NN_OK);
    /* the golden picture is the lossless one: at quality 90 and with chroma halved a pixel
     * at the edge of its red square is far off, a wrong orientation is off everywhere */
    const golden_record *want = golden_at(&gold, "orientation/%d", orientation);
    double sum = 0;
    ck_assert_int_eq(picture.h, want->shape.dim[0]);
    ck_assert_int_eq(picture.w, want->shape.dim[1]);
    for (size_t i = 0; i < want->n; i++)
        sum += fabs(picture.pixel[i] - (double)want->val[i]);
    ck_assert_double_lt(sum / (double)want->n, 8);

    decode(&b, 1);
    ck_assert_int_eq(picture.h, want->shape.dim[0]);
}
END_TEST

/* The same pixels as without the segment. */
static void counts_as_none(const uint8_t *exif, const char *what)
{
    bytes b = jpeg_with(exif);
    ck_assert_msg(decode(&b, 3) == NN_OK, "%s: %s", what, err.text);
    ck_assert_msg(gap(golden_at(&gold, "jpeg_420/rgb"), 0) <= JPEG_TOLERANCE, "%s", what);
}

START_TEST(a_broken_exif_block_counts_as_none)
{
    static const struct { int at, value; const char *what; } breaks[] = {
        { 10, 'X', "byte order" }, { 13, 43, "magic number" },
        { 14, 0x7f, "directory far behind the end" }, { 17, 255, "directory at the end" },
        { 17, 27, "directory cut" }, { 21, 0x13, "another tag" }, { 23, 4, "another type" },
        { 27, 2, "two values" }, { 29, 0, "orientation 0" }, { 29, 9, "orientation 9" },
        { 28, 1, "orientation 262" }
    };
    uint8_t exif[EXIF];

    for (size_t i = 0; i < NN_COUNT(breaks); i++) {
        make_exif(exif, 6, 0);
        exif[breaks[i].at] = (uint8_t)breaks[i].value;
        counts_as_none(exif, breaks[i].what);
    }
    make_exif(exif, 6, 0);
    for (size_t n = 0; n <= EXIF - 10; n++) {           /* cut anywhere */
        uint8_t *cut = malloc(n + 1);
        memcpy(cut, exif + 10, n);
        ck_assert_int_eq(data_orientation(cut, n), n < 22 ? 1 : 6);
        free(cut);
    }
}
END_TEST

START_TEST(the_contents_tell_the_format_and_not_the_name)
{
    bytes b = file_of("png_rgb");
    put("a.jpg", b.at, b.n);
    ck_assert_msg(read_file("a.jpg") == NN_OK, "%s", err.text);
    ck_assert_double_eq(gap(golden_at(&gold, "png_rgb/rgb"), 0), 0);
}
END_TEST

START_TEST(suffixes_are_known_in_any_case)
{
    static const char *const yes[] = { "a.jpg", "b/c.JPEG", ".png", "x.y.Bmp", "a.ppm",
                                       "a.PGM", "a.pnm" };
    static const char *const no[] = { "jpg", "a.jpg.txt", "a.gif", "", "a.", "a.jpgx" };

    for (size_t i = 0; i < NN_COUNT(yes); i++)
        ck_assert_msg(data_picture_suffix(yes[i]) == 1, "%s", yes[i]);
    for (size_t i = 0; i < NN_COUNT(no); i++)
        ck_assert_msg(data_picture_suffix(no[i]) == 0, "%s", no[i]);
}
END_TEST

START_TEST(what_is_written_is_read_again)
{
    uint8_t pixel[SIDES * 3];
    data_picture p = { 11, 13, _i, pixel };
    struct stat about;

    for (int i = 0; i < SIDES * _i; i++)
        pixel[i] = (uint8_t)(i * i + 3 * i);
    umask(027);
    ck_assert_msg(data_picture_write(path_of("a.png"), &p, &err) == NN_OK, "%s", err.text);
    ck_assert_int_eq(stat(path_of("a.png"), &about), 0);
    ck_assert_uint_eq(about.st_mode & 0777, 0640);
    ck_assert_int_eq(data_picture_read(path_of("a.png"), _i, &picture, &err), NN_OK);
    ck_assert_int_eq(picture.h, 11);
    ck_assert_int_eq(picture.w, 13);
    ck_assert_mem_eq(picture.pixel, pixel, (size_t)(SIDES * _i));
    unlink(path_of("a.png"));
    ck_assert_int_eq(rmdir(folder), 0);         /* no other file was left */
    ck_assert_int_eq(mkdir(folder, 0700), 0);
}
END_TEST

START_TEST(writing_where_it_cannot_be_is_told)
{
    uint8_t pixel[3] = { 0 };
    data_picture p = { 1, 1, 3, pixel };
    char want[512];

    ck_assert_int_eq(data_picture_write(path_of("no/a.png"), &p, &err), NN_ERUN);
    snprintf(want, sizeof want, "%s/no/a.png: cannot be written: No such file or directory",
             folder);
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(data_picture_write(folder, &p, &err), NN_ERUN);
    snprintf(want, sizeof want, "%s: cannot be written: is a folder", folder);
    ck_assert_str_eq(err.text, want);
}
END_TEST

START_TEST(a_write_that_fails_half_way_leaves_nothing)
{
    static uint8_t pixel[64 * 64 * 3];
    data_picture p = { 64, 64, 3, pixel };
    struct rlimit usual, small;

    for (size_t i = 0; i < sizeof pixel; i++)
        pixel[i] = (uint8_t)(i * i >> 5);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &usual), 0);
    small = usual;
    small.rlim_cur = 100;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    nn_status status = data_picture_write(path_of("a.png"), &p, &err);
    setrlimit(RLIMIT_FSIZE, &usual);            /* Check writes files, too */
    ck_assert_int_eq(status, NN_ERUN);
    ck_assert_ptr_nonnull(strstr(err.text, "/a.png: cannot be written: File too large"));
    ck_assert_int_eq(rmdir(folder), 0);         /* it is empty */
    ck_assert_int_eq(mkdir(folder, 0700), 0);
}
END_TEST

/* ---- files that are none ---- */

static void unreadable(const char *file, const char *want)
{
    char text[512];
    snprintf(text, sizeof text, "%s/%s: %s", folder, file, want);
    fails_with(read_file(file), text);
}

#define CHECK_NAME "; check its name, its links and its permissions"

START_TEST(a_missing_file_is_told)
{
    unreadable("no.png", "cannot be read: No such file or directory" CHECK_NAME);
}
END_TEST

START_TEST(a_circle_of_links_is_told)
{
    ck_assert_int_eq(symlink("b.png", path_of("a.png")), 0);
    ck_assert_int_eq(symlink("a.png", path_of("b.png")), 0);
    unreadable("a.png", "cannot be read: Too many levels of symbolic links" CHECK_NAME);
}
END_TEST

START_TEST(a_file_without_permission_is_told)
{
    if (geteuid() == 0) {
        printf("skipped: root may read any file\n");
        return;
    }
    put("a.png", "x", 1);
    ck_assert_int_eq(chmod(path_of("a.png"), 0), 0);
    unreadable("a.png", "cannot be read: Permission denied" CHECK_NAME);
}
END_TEST

START_TEST(folders_pipes_and_devices_are_told_and_not_waited_for)
{
    ck_assert_int_eq(mkdir(path_of("a.png"), 0700), 0);
    unreadable("a.png", "is a folder; name a picture");
    ck_assert_int_eq(mkfifo(path_of("b.png"), 0600), 0);
    unreadable("b.png", "is not a regular file; name a picture");
    ck_assert_int_eq(symlink("/dev/zero", path_of("c.png")), 0);
    unreadable("c.png", "is not a regular file; name a picture");
}
END_TEST

START_TEST(a_huge_file_is_refused_by_its_size)
{
    put("a.png", "x", 1);
    ck_assert_int_eq(truncate(path_of("a.png"), DATA_PICTURE_BYTES + 1L), 0);
    unreadable("a.png", "has 67108865 bytes, more than the limit of 67108864; make the "
               "picture smaller");
}
END_TEST

START_TEST(empty_files_and_texts_are_no_pictures)
{
    put("a.png", "", 0);
    unreadable("a.png", "is empty; replace the file");
    put("b.png", "GIF89a", 6);
    unreadable("b.png", "not a JPEG, PNG, BMP or binary PNM picture; convert it or take it "
               "away");
    put("c.jpg", "\xff", 1);
    unreadable("c.jpg", "not a JPEG, PNG, BMP or binary PNM picture; convert it or take it "
               "away");
}
END_TEST

/* ---- broken files ---- */

/* Cut behind any byte a picture ends too early, or is none yet. */
START_TEST(a_picture_cut_anywhere_is_refused)
{
    static const char *const names[] = { "png_rgb", "png_interlaced", "bmp_rgb",
        "bmp_palette", "ppm", "ppm_16", "jpeg_420", "jpeg_progressive", "jpeg_grey" };
    bytes b = file_of(names[_i]);

    for (size_t n = b.n; n-- > 0; ) {
        b.n = n;
        ck_assert_msg(decode(&b, 3) == NN_EDATA, "%s: accepted %zu bytes", names[_i], n);
        ck_assert_msg(strstr(err.text, "ends too early") || n < 8 ||
                      (strncmp(names[_i], "p", 1) == 0 && n < 14),
                      "%s, %zu bytes: %s", names[_i], n, err.text);
    }
}
END_TEST

static void png_checksum(uint8_t *chunk)
{
    uint32_t n = (uint32_t)chunk[2] << 8 | chunk[3];
    number(chunk + 8 + n, (uint32_t)crc32(0, chunk + 4, n + 4), 4, 0);
}

/* IHDR stands at 8: width at 16, height at 20, depth at 24. */
static bytes png_of(uint32_t h, uint32_t w)
{
    bytes b = file_of("png_rgb");
    number(b.at + 16, w, 4, 0);
    number(b.at + 20, h, 4, 0);
    png_checksum(b.at + 8);
    return b;
}

START_TEST(a_header_of_60000_by_60000_is_refused_before_memory_is_asked_for)
{
    bytes b = png_of(60000, 60000);
    refused(&b, "x: the header says 60000 x 60000 pixels, more than the limit of 67 million "
            "and 32768 on a side; make the picture smaller");
    b = png_of(30000, 30000);
    refused(&b, "x: the header says 30000 x 30000 pixels, more than the limit of 67 million "
            "and 32768 on a side; make the picture smaller");
    b = png_of(0xffffffff, 0xffffffff);
    refused(&b, "x: the header says 4294967295 x 4294967295 pixels, more than the limit of "
            "67 million and 32768 on a side; make the picture smaller");
    b = png_of(0, 5);
    refused(&b, "x: the header says 5 x 0 pixels; replace the file");
    b = png_of(8000, 8000);                     /* within the limits, but not in 96 bytes */
    refused(&b, "x: ends too early: the header says 8000 x 8000 pixels, more than a file of "
            "96 bytes can hold; replace the file");
    b = png_of(12, 13);                         /* a row too many */
    refused(&b, "x: its pixels cannot be decoded; replace the file");
}
END_TEST

START_TEST(a_flipped_bit_in_a_png_is_seen)
{
    bytes b = file_of("png_rgb");

    for (size_t i = 8; i < b.n; i++) {
        b.at[i] ^= 0x10;
        ck_assert_msg(decode(&b, 3) == NN_EDATA, "byte %zu", i);
        b.at[i] ^= 0x10;
    }
    b.at[45] ^= 1;                              /* in the pixels */
    refused(&b, "x: the checksum of its PNG data does not match; replace the file");
}
END_TEST

START_TEST(special_pngs_are_told_apart)
{
    bytes b = file_of("png_rgb");
    memcpy(b.at + 33 + 4, "QDAT", 4);
    png_checksum(b.at + 33);
    refused(&b, "x: a PNG of a special kind is not read; save it as an ordinary JPEG or "
            "PNG");
    b = file_of("png_rgb");
    b.at[24] = 4;                               /* RGB of 4 bits does not exist */
    png_checksum(b.at + 8);
    refused(&b, "x: its PNG header is broken; replace the file");
    b = file_of("png_rgb");
    memcpy(b.at + 12, "IDAT", 4);
    png_checksum(b.at + 8);
    refused(&b, "x: its PNG header is broken; replace the file");
}
END_TEST

/* One pixel, and a stream of 4 MB of zeros behind it. */
START_TEST(a_stream_that_unpacks_without_end_is_stopped)
{
    enum { LONG = 4 << 20 };
    uint8_t *zeros = calloc(1, LONG);
    bytes b = png_of(1, 1);
    uLongf packed = 8000;
    uint8_t *file = malloc(16384);

    ck_assert_int_eq(compress2(file + 41, &packed, zeros, LONG, 9), Z_OK);
    memcpy(file, b.at, 33);
    number(file + 33, (uint32_t)packed, 4, 0);
    memcpy(file + 37, "IDAT", 4);
    png_checksum(file + 33);
    memcpy(file + 45 + packed, b.at + b.n - 12, 12);
    nn_status status = data_picture_decode(file, 57 + packed, "x", 3, &picture, &err);
    free(zeros);
    free(file);
    fails_with(status, "x: its pixels cannot be decoded; replace the file");
}
END_TEST

static size_t find(const bytes *b, int marker)
{
    for (size_t i = 2; i + 1 < b->n; i++)
        if (b->at[i] == 0xff && b->at[i + 1] == marker)
            return i;
    ck_abort_msg("no marker %02x", (unsigned)marker);
}

START_TEST(broken_jpegs_are_told)
{
    bytes good = file_of("jpeg_420"), b = good;
    size_t frame = find(&good, 0xc0), table = find(&good, 0xc4), scan = find(&good, 0xda);

    b.n -= 2;
    refused(&b, "x: ends too early: the end of the JPEG data is missing; replace the file");
    b = good;
    memset(b.at + table + 5, 17, 16);           /* more codes than the segment has */
    refused(&b, "x: a Huffman table is broken; replace the file");
    b = good;                                   /* 272 codes, and all are there */
    memmove(b.at + 2 + 293, b.at + 2, b.n - 2);
    memcpy(b.at + 2, "\xff\xc4\x01\x23\0", 5);
    memset(b.at + 7, 17, 16 + 272);
    b.n += 293;
    refused(&b, "x: a Huffman table is broken; replace the file");
    b = good;
    number(b.at + frame + 5, 40000, 2, 0);
    refused(&b, "x: the header says 13 x 40000 pixels, more than the limit of 67 million "
            "and 32768 on a side; make the picture smaller");
    b = good;
    number(b.at + frame + 5, 8000, 2, 0);
    number(b.at + frame + 7, 8000, 2, 0);
    refused(&b, "x: ends too early: the header says 8000 x 8000 pixels, more than a file of "
            "700 bytes can hold; replace the file");
    b = good;
    b.at[frame + 1] = 0xc9;
    refused(&b, "x: a lossless, hierarchical or arithmetic JPEG is not read; save it as an "
            "ordinary JPEG or PNG");
    b = good;
    b.at[frame + 4] = 12;
    refused(&b, "x: a JPEG with more than 8 bits is not read; save it as an ordinary JPEG "
            "or PNG");
    b = good;
    b.at[scan + 3] = 9;
    refused(&b, "x: a scan header is broken; replace the file");
    b = good;
    b.at[scan + 7] = b.at[scan + 5];            /* the first component twice */
    refused(&b, "x: ends too early: a part of the JPEG data is missing; replace the file");
    b = good;
    b.at[table + 3] ^= 1;
    refused(&b, "x: a Huffman table is broken; replace the file");
}
END_TEST

START_TEST(broken_bmps_and_pnms_are_told)
{
    bytes b = file_of("bmp_palette");
    b.at[b.n - 16] = 13;                        /* 13 colours: 0 to 12 */
    refused(&b, "x: a pixel has colour 13 of a palette of 13; replace the file");
    b = file_of("bmp_rgb");
    number(b.at + 22, 0x80000000u, 4, 1);
    refused(&b, "x: the header says 13 x 2147483648 pixels, more than the limit of 67 "
            "million and 32768 on a side; make the picture smaller");
    b = file_of("bmp_rgb");
    b.at[30] = 1;
    refused(&b, "x: a packed BMP is not read; save it as an ordinary JPEG or PNG");
    b = file_of("bmp_rgb");
    number(b.at + 10, 0xffffff00u, 4, 1);
    refused(&b, "x: its BMP header is broken; replace the file");
    b = file_of("bmp_palette");
    number(b.at + 10, 0xffffff00u, 4, 1);
    refused(&b, "x: ends too early: the header says 13 x 11 pixels, more than a file of 282 "
            "bytes can hold; replace the file");
    b = (bytes){ "P6 3 2 255", 10 };
    refused(&b, "x: ends too early: the PNM pixels are missing; replace the file");
    b = (bytes){ "P6 3 2 0\nabc", 12 };
    refused(&b, "x: its PNM header is broken; replace the file");
    b = (bytes){ "P5 99999999999999999999 2 255\nabc", 33 };
    refused(&b, "x: the header says 9999999999 x 2 pixels, more than the limit of 67 "
            "million and 32768 on a side; make the picture smaller");
}
END_TEST

/* ---- real photographs ---- */

/* Adds up the pixels of a folder, per channel; 0 if there is no such folder. */
static size_t add_folder(const char *name, double *sum)
{
    DIR *d = opendir(name);
    char path[1024];
    size_t pixels = 0;

    for (struct dirent *e; d && (e = readdir(d)); ) {
        if (!data_picture_suffix(e->d_name))
            continue;
        snprintf(path, sizeof path, "%s/%s", name, e->d_name);
        ck_assert_msg(data_picture_read(path, 3, &picture, &err) == NN_OK, "%s", err.text);
        size_t n = (size_t)picture.h * (size_t)picture.w;
        for (size_t i = 0; i < 3 * n; i++)
            sum[i % 3] += picture.pixel[i];
        pixels += n;
        data_picture_free(&picture);
    }
    if (d)
        closedir(d);
    return pixels;
}

/* The means that the data set's README states, to the four digits it states them with.
 * They were measured with Pillow, whose conversion from YCbCr rounds otherwise: that moves
 * the mean of a channel by up to 0.044 of 255. */
START_TEST(the_photographs_have_the_means_that_are_stated)
{
    static const double mean[] = { 0.6764, 0.6473, 0.6177 };
    double sum[3] = { 0 };
    size_t pixels = 0;

    for (int digit = 0; digit < 10; digit++) {
        char name[64];
        snprintf(name, sizeof name, "../shared/data/signs/train/%d", digit);
        pixels += add_folder(name, sum);
    }
    if (pixels == 0) {
        printf("skipped: no photographs in ../shared/data/signs\n");
        return;
    }
    ck_assert_uint_eq(pixels, 1659u * 100 * 100);
    for (int k = 0; k < 3; k++)
        ck_assert_double_eq_tol(sum[k] / 255 / (double)pixels, mean[k],
                                0.00005 + 0.05 / 255);
}
END_TEST

Suite *suite_image(void)
{
    Suite *s = suite_create("image");
    TCase *good = tcase_create("good"), *bad = tcase_create("bad");

    tcase_add_checked_fixture(good, start, stop);
    tcase_add_loop_test(good, png_bmp_and_pnm_are_pillows_to_the_byte, 0, NN_COUNT(exact));
    tcase_add_loop_test(good, jpeg_is_pillows_within_rounding, 0, NN_COUNT(close_by));
    tcase_add_loop_test(good, all_orientations_of_both_byte_orders_are_applied, 0, 16);
    tcase_add_test(good, a_broken_exif_block_counts_as_none);
    tcase_add_test(good, the_contents_tell_the_format_and_not_the_name);
    tcase_add_test(good, suffixes_are_known_in_any_case);
    tcase_add_loop_test(good, what_is_written_is_read_again, 1, 2);
    tcase_add_loop_test(good, what_is_written_is_read_again, 3, 4);
    tcase_add_test(good, writing_where_it_cannot_be_is_told);
    tcase_add_test(good, a_write_that_fails_half_way_leaves_nothing);
    tcase_add_test(good, the_photographs_have_the_means_that_are_stated);
    suite_add_tcase(s, good);

    tcase_add_checked_fixture(bad, start, stop);
    tcase_add_test(bad, a_missing_file_is_told);
    tcase_add_test(bad, a_circle_of_links_is_told);
    tcase_add_test(bad, a_file_without_permission_is_told);
    tcase_add_test(bad, folders_pipes_and_devices_are_told_and_not_waited_for);
    tcase_add_test(bad, a_huge_file_is_refused_by_its_size);
    tcase_add_test(bad, empty_files_and_texts_are_no_pictures);
    tcase_add_loop_test(bad, a_picture_cut_anywhere_is_refused, 0, 9);
    tcase_add_test(bad, a_header_of_60000_by_60000_is_refused_before_memory_is_asked_for);
    tcase_add_test(bad, a_flipped_bit_in_a_png_is_seen);
    tcase_add_test(bad, special_pngs_are_told_apart);
    tcase_add_test(bad, a_stream_that_unpacks_without_end_is_stopped);
    tcase_add_test(bad, broken_jpegs_are_told);
    tcase_add_test(bad, broken_bmps_and_pnms_are_told);
    suite_add_tcase(s, bad);
    return s;
}
