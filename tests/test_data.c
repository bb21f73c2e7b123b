#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/idx.h"
#include "nn/par.h"
#include "tests/suites.h"

/* The readers against files that the test makes itself, broken in every way; the shapes;
 * the fingerprint. */

enum { SIDE = 28, TRAIN = 12, TEST = 5, ROOM = 16 + 20 * SIDE * SIDE };

static const char *const files[] = {
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
};

static char folder[64];
static nn_arena arena;
static data_images train, test;
static nn_err err;

/* ---- making files ---- */

static const char *path_of(const char *file)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static void big_endian(uint8_t *to, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(x >> (24 - 8 * i));
}

static uint8_t pixel_at(int image, int i)
{
    return (uint8_t)(image * 31 + i / SIDE * 5);
}

/* An idx file in memory; returns its size. */
static size_t images_file(uint8_t *to, int n)
{
    size_t at = 16;
    const uint32_t head[] = { 0x803, (uint32_t)n, SIDE, SIDE };
    for (int k = 0; k < 4; k++)
        big_endian(to + 4 * k, head[k]);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < SIDE * SIDE; k++)
            to[at++] = pixel_at(i, k);
    return at;
}

static size_t labels_file(uint8_t *to, int n)
{
    big_endian(to, 0x801);
    big_endian(to + 4, (uint32_t)n);
    for (int i = 0; i < n; i++)
        to[8 + i] = (uint8_t)(i % 10);
    return 8 + (size_t)n;
}

static void write_raw(const char *file, const uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path_of(file), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

static void write_gz(const char *file, const uint8_t *bytes, size_t size)
{
    gzFile f = gzopen(path_of(file), "wb9");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(gzwrite(f, bytes, (unsigned)size), (int)size);
    ck_assert_int_eq(gzclose(f), Z_OK);
}

static size_t read_raw(const char *file, uint8_t *bytes)
{
    FILE *f = fopen(path_of(file), "rb");
    ck_assert_ptr_nonnull(f);
    size_t size = fread(bytes, 1, ROOM, f);
    fclose(f);
    return size;
}

static void make_files(void)
{
    uint8_t bytes[ROOM];
    write_gz(files[0], bytes, images_file(bytes, TRAIN));
    write_gz(files[1], bytes, labels_file(bytes, TRAIN));
    write_gz(files[2], bytes, images_file(bytes, TEST));
    write_gz(files[3], bytes, labels_file(bytes, TEST));
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/fullrank-data-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    unsetenv("FULLRANK_DATA");
    make_files();
}

static void empty_folder(const char *name)
{
    DIR *d = opendir(name);
    struct dirent *e;
    char path[512];
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", name, e->d_name);
            if (unlink(path) != 0) {
                empty_folder(path);
                rmdir(path);
            }
        }
    if (d)
        closedir(d);
}

static void drop_folder(void)
{
    empty_folder(folder);
    rmdir(folder);
    nn_arena_free(&arena);
}

static data_settings settings(const char *name, const char *dir)
{
    data_settings s;
    nn_setting_defaults(data_setting_table, &s);
    s.name = name;
    s.dir = dir;
    return s;
}

static nn_status load_folder(void)
{
    data_settings s = settings("mnist", folder);
    err.text[0] = 0;
    return data_load(&s, 0, &arena, &train, &test, &err);
}

static void loads(void)
{
    ck_assert_msg(load_folder() == NN_OK, "%s", err.text);
}

/* Loading fails with this text; %s in it stands for the folder. */
static void fails_with(const char *text)
{
    char want[1024];
    nn_status got = load_folder();
    const char *hole = strstr(text, "%s");

    snprintf(want, sizeof want, "%.*s%s%s", hole ? (int)(hole - text) : (int)strlen(text),
             text, hole ? folder : "", hole ? hole + 2 : "");
    ck_assert_msg(got == NN_EDATA, "status %d, wanted %d: %s", got, NN_EDATA, err.text);
    ck_assert_str_eq(err.text, want);
    ck_assert_uint_eq(nn_arena_mark(&arena), 0);        /* nothing is left lying about */
}

/* ---- good files ---- */

static void is_the_made_set(void)
{
    ck_assert_int_eq(train.n, TRAIN);
    ck_assert_int_eq(test.n, TEST);
    ck_assert_int_eq(train.h, SIDE);
    ck_assert_int_eq(train.w, SIDE);
    ck_assert_int_eq(train.c, 1);
    ck_assert_int_eq(train.classes, 10);
    ck_assert_ptr_null(train.factor);
    for (int i = 0; i < TRAIN; i++) {
        ck_assert_int_eq(train.label[i], i % 10);
        for (int k = 0; k < SIDE * SIDE; k++)
            ck_assert_int_eq(train.pixel[i * SIDE * SIDE + k], pixel_at(i, k));
    }
    for (int k = 0; k < TEST * SIDE * SIDE; k++)
        ck_assert_int_eq(test.pixel[k], pixel_at(k / (SIDE * SIDE), k % (SIDE * SIDE)));
}

START_TEST(a_folder_of_idx_files_is_read)
{
    loads();
    is_the_made_set();
    ck_assert_float_eq(train.mean[0], 0.1307f);
    ck_assert_float_eq(train.std[0], 0.3081f);
}
END_TEST

START_TEST(unpacked_files_are_read_too)
{
    uint8_t bytes[ROOM];
    for (int k = 0; k < 4; k++)
        unlink(path_of(files[k]));
    write_raw("train-images-idx3-ubyte", bytes, images_file(bytes, TRAIN));
    write_raw("train-labels-idx1-ubyte", bytes, labels_file(bytes, TRAIN));
    write_raw("t10k-images-idx3-ubyte", bytes, images_file(bytes, TEST));
    write_raw("t10k-labels-idx1-ubyte", bytes, labels_file(bytes, TEST));
    loads();
    is_the_made_set();
}
END_TEST

START_TEST(limits_keep_the_first_images)
{
    data_settings s = settings("mnist", folder);
    s.limit = 7;
    s.test_limit = 1000;                                /* more than there are: all */
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_OK);
    ck_assert_int_eq(train.n, 7);
    ck_assert_int_eq(test.n, TEST);
    ck_assert_int_eq(train.pixel[6 * SIDE * SIDE], pixel_at(6, 0));
}
END_TEST

START_TEST(without_normalising_the_mean_is_zero_and_the_deviation_one)
{
    data_settings s = settings("mnist", folder);
    float x[SIDE * SIDE];
    s.normalise = 0;
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_OK);
    data_plain(&train, NULL, 3, 1, x);
    for (int k = 0; k < SIDE * SIDE; k++)
        ck_assert_float_eq(x[k], pixel_at(3, k) / 255.0f);
}
END_TEST

START_TEST(plain_images_come_in_order_or_by_index)
{
    const uint32_t index[] = { 9, 4, 4, 11, 0 };
    float in_order[3 * SIDE * SIDE], by_index[3 * SIDE * SIDE], one[SIDE * SIDE];

    loads();
    data_plain(&train, NULL, 2, 3, in_order);
    data_plain(&train, index, 1, 3, by_index);
    for (int i = 0; i < 3; i++) {
        data_plain(&train, NULL, 2 + i, 1, one);
        ck_assert_mem_eq(in_order + i * SIDE * SIDE, one, sizeof one);
        data_plain(&train, NULL, (int)index[1 + i], 1, one);
        ck_assert_mem_eq(by_index + i * SIDE * SIDE, one, sizeof one);
    }
    /* (byte / 255 - mean) / deviation; four roundings of numbers below 3 */
    ck_assert_float_eq_tol(in_order[40],
                           (float)((pixel_at(2, 40) / 255.0 - 0.1307) / 0.3081), 1e-6f);
}
END_TEST

/* ---- where files are looked for ---- */

/* Moves the four files into a folder below. */
static void make_sub_folder(const char *name)
{
    char from[256], to[600];

    ck_assert_int_eq(mkdir(path_of(name), 0700), 0);
    for (int k = 0; k < 4; k++) {
        snprintf(from, sizeof from, "%s", path_of(files[k]));
        snprintf(to, sizeof to, "%s/%s/%s", folder, name, files[k]);
        ck_assert_int_eq(rename(from, to), 0);
    }
}

START_TEST(the_environment_names_the_folder_or_its_parent)
{
    char where[256], want[256];
    data_settings s = settings("mnist", "/nowhere");

    setenv("FULLRANK_DATA", folder, 1);
    ck_assert_int_eq(data_source_find("mnist")->present(&s, where, sizeof where), 1);
    ck_assert_str_eq(where, folder);
    make_sub_folder("mnist");
    setenv("FULLRANK_DATA", folder, 1);
    ck_assert_int_eq(data_source_find("mnist")->present(&s, where, sizeof where), 1);
    snprintf(want, sizeof want, "%s/mnist", folder);
    ck_assert_str_eq(where, want);
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_OK);
    unsetenv("FULLRANK_DATA");
}
END_TEST

START_TEST(a_folder_named_after_another_set_is_not_taken)
{
    char where[256], path[256];
    data_settings s = settings("mnist", path);

    make_sub_folder("fashion-mnist");
    snprintf(path, sizeof path, "%s/fashion-mnist/", folder);
    ck_assert_int_eq(data_source_find("mnist")->present(&s, where, sizeof where), 0);
    s.name = "fashion-mnist";
    ck_assert_int_eq(data_source_find("fashion-mnist")->present(&s, where, sizeof where),
                     1);
}
END_TEST

START_TEST(an_incomplete_folder_gives_way_to_a_complete_one)
{
    char where[256];
    data_settings s = settings("mnist", folder);

    setenv("FULLRANK_DATA", "/usr/share", 1);
    ck_assert_int_eq(data_source_find("mnist")->present(&s, where, sizeof where), 1);
    ck_assert_str_eq(where, folder);
    unsetenv("FULLRANK_DATA");
}
END_TEST

/* ---- broken files ---- */

START_TEST(an_empty_folder_says_how_to_get_the_set)
{
    for (int k = 0; k < 4; k++)
        unlink(path_of(files[k]));
    char want[512];
    snprintf(want, sizeof want,
             "data set mnist: no files found; looked in %s/mnist, %s; put "
             "its four idx files into a folder and name it in data.dir or $FULLRANK_DATA",
             folder, folder);
    fails_with(want);
}
END_TEST

/* A file many times zlib's buffer, cut within its last bytes: all the data is there, and
 * only who reads on to the end of the stream sees that the checksum is not. */
START_TEST(a_long_file_cut_in_its_checksum_is_refused)
{
    enum { MANY = 3000 };
    uint8_t *bytes = malloc(16 + MANY * SIDE * SIDE);
    nn_rng r = nn_rng_at(3, NN_RNG_TEST, 0, 0);
    char path[512];

    size_t size = images_file(bytes, MANY);
    for (size_t i = 16; i < size; i++)                  /* shrinks, but not to nothing */
        bytes[i] = nn_rng_u32(&r) % 4 ? 0 : (uint8_t)(i % 256);
    gzFile gz = gzopen(path_of(files[0]), "wb1");
    ck_assert_int_eq(gzwrite(gz, bytes, (unsigned)size), (int)size);
    ck_assert_int_eq(gzclose(gz), Z_OK);
    write_gz(files[1], bytes, labels_file(bytes, MANY));
    snprintf(path, sizeof path, "%s", path_of(files[0]));
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    fseek(f, 0, SEEK_END);
    long whole = ftell(f);
    fclose(f);
    ck_assert_int_gt(whole, 100000);
    ck_assert_int_eq(truncate(path, whole - 1 - _i), 0);
    fails_with("%s/train-images-idx3-ubyte.gz: ends too early: the checksum is missing; "
               "replace the file");
    free(bytes);
}
END_TEST

START_TEST(a_folder_that_was_named_is_not_passed_over)
{
    data_source source = { .name = "mnist", .package = "dataset-mnist" };
    data_idx set = { .source = &source, .folder = folder };     /* the system's: complete */
    data_settings s = settings("mnist", "/nonexistent");

    ck_assert_int_eq(data_idx_load(&set, &s, &arena, &train, &test, &err), NN_EDATA);
    ck_assert_ptr_nonnull(strstr(err.text, "no files found; looked in /nonexistent"));
}
END_TEST

START_TEST(a_missing_package_is_named)
{
    data_source source = { .name = "clothes", .package = "dataset-clothes" };
    data_idx set = { .source = &source, .folder = "/usr/share/no-such-folder" };
    data_settings s = settings("clothes", "");

    ck_assert_int_eq(data_idx_load(&set, &s, &arena, &train, &test, &err), NN_EDATA);
    ck_assert_str_eq(
        err.text,
        "data set clothes: no files found; looked in "
        "/usr/share/no-such-folder; run `apt-get install dataset-clothes`, or put "
        "its four idx files into a folder and name it in data.dir or "
        "$FULLRANK_DATA");
}
END_TEST

START_TEST(one_missing_file_is_named)
{
    unlink(path_of(files[3]));
    fails_with(
        "%s/t10k-labels-idx1-ubyte.gz: missing beside the other files of mnist; put its "
        "four idx files into a folder and name it in data.dir or $FULLRANK_DATA");
}
END_TEST

START_TEST(a_file_that_is_not_gzip_is_refused)
{
    write_raw(files[0], (const uint8_t *)"<html>404</html>", 16);
    fails_with("%s/train-images-idx3-ubyte.gz: not a gzip file; replace the file");
    write_raw(files[0], (const uint8_t *)"", 0);
    fails_with("%s/train-images-idx3-ubyte.gz: not a gzip file; replace the file");
}
END_TEST

START_TEST(a_folder_in_place_of_a_file_is_refused)
{
    unlink(path_of(files[1]));
    ck_assert_int_eq(mkdir(path_of(files[1]), 0700), 0);
    fails_with(
        "%s/train-labels-idx1-ubyte.gz: not a regular file; put the data set's file in "
        "its place");
}
END_TEST

START_TEST(a_truncated_gzip_file_is_refused)
{
    uint8_t bytes[ROOM];
    size_t size = read_raw(files[2], bytes);

    write_raw(files[2], bytes, size - 8);               /* all data, no checksum */
    fails_with(
        "%s/t10k-images-idx3-ubyte.gz: ends too early: the checksum is missing; replace "
        "the file");
    write_raw(files[2], bytes, 12);
    fails_with(
        "%s/t10k-images-idx3-ubyte.gz: ends too early: 0 of 16 bytes of header; replace "
        "the file");
}
END_TEST

START_TEST(a_wrong_checksum_is_refused)
{
    uint8_t bytes[ROOM];
    size_t size = read_raw(files[0], bytes);

    bytes[size - 6] ^= 1;
    write_raw(files[0], bytes, size);
    fails_with("%s/train-images-idx3-ubyte.gz: corrupt gzip data (incorrect data check); "
               "replace the file");
}
END_TEST

/* Whatever single byte of a packed file is wrong or wherever it is cut: refused, or read
 * as it was meant (a few bytes of a gzip header, such as the time, mean nothing). */
START_TEST(no_damaged_byte_and_no_cut_goes_unnoticed)
{
    uint8_t good[ROOM], bad[ROOM];
    size_t size = read_raw(files[_i], good);
    int refused = 0;

    for (size_t at = 0; at < size; at++) {
        memcpy(bad, good, size);
        bad[at] ^= (uint8_t)(1 << at % 8);
        write_raw(files[_i], bad, size);
        if (load_folder() == NN_OK)
            is_the_made_set();
        else
            refused++;
        nn_arena_reset(&arena);
    }
    ck_assert_int_ge(refused, (int)size - 8); /* time, system, level: 6 bytes, 2 spare */
    for (size_t cut = 0; cut < size; cut++) {
        write_raw(files[_i], good, cut);
        ck_assert_msg(load_folder() == NN_EDATA, "cut at %zu of %zu", cut, size);
    }
}
END_TEST

/* Writes the train images with one word of the header changed. */
static void with_header(int word, uint32_t value)
{
    uint8_t bytes[ROOM];
    size_t size = images_file(bytes, TRAIN);
    big_endian(bytes + 4 * word, value);
    write_gz(files[0], bytes, size);
}

START_TEST(a_wrong_magic_number_is_refused)
{
    uint8_t bytes[ROOM];
    with_header(0, 0x0d03);
    fails_with("%s/train-images-idx3-ubyte.gz: not an idx file of images: magic number "
               "0x00000d03, wanted 0x00000803; replace the file");
    make_files();
    write_gz(files[1], bytes, images_file(bytes, TRAIN));
    fails_with("%s/train-labels-idx1-ubyte.gz: not an idx file of labels: magic number "
               "0x00000803, wanted 0x00000801; replace the file");
}
END_TEST

START_TEST(images_of_another_size_are_refused)
{
    with_header(3, 32);
    fails_with(
        "%s/train-images-idx3-ubyte.gz: holds images of 28 x 32, wanted 28 x 28; replace "
        "the file");
    with_header(2, 0xffffffff);
    fails_with(
        "%s/train-images-idx3-ubyte.gz: holds images of 4294967295 x 28, wanted 28 x 28; "
        "replace the file");
}
END_TEST

START_TEST(a_header_cannot_claim_more_than_the_file_can_hold)
{
    static const uint32_t claims[] = { 0xffffffff, 0x7fffffff, 10000000, 400000, 1000 };
    uint8_t bytes[ROOM];
    char want[256];

    for (size_t k = 0; k < NN_COUNT(claims); k++) {
        with_header(1, claims[k]);
        snprintf(want, sizeof want,
                 "%%s/train-images-idx3-ubyte.gz: the header says %u images, "
                 "more than a file of %zu bytes can hold; replace the file",
                 claims[k], read_raw(files[0], bytes));
        fails_with(want);
    }
    with_header(1, 0);
    fails_with(
        "%s/train-images-idx3-ubyte.gz: the header says 0 images; replace the file");
}
END_TEST

START_TEST(a_header_that_claims_a_little_too_much_or_too_little_is_refused)
{
    with_header(1, TRAIN + 1);
    fails_with(
        "%s/train-images-idx3-ubyte.gz: ends too early: 9408 of 10192 bytes of images; "
        "replace the file");
    with_header(1, TRAIN - 1);
    fails_with(
        "%s/train-images-idx3-ubyte.gz: holds more bytes than its header says; replace "
        "the file");
}
END_TEST

START_TEST(images_and_labels_must_be_as_many)
{
    uint8_t bytes[ROOM];
    char want[600];

    write_gz(files[1], bytes, labels_file(bytes, TRAIN - 1));
    snprintf(
        want, sizeof want,
        "%s/train-images-idx3-ubyte.gz holds 12 images, but "
        "%s/train-labels-idx1-ubyte.gz 11 labels: they do not belong together; replace "
        "both",
        folder, folder);
    fails_with(want);
}
END_TEST

START_TEST(a_label_outside_the_classes_is_refused)
{
    uint8_t bytes[ROOM];
    size_t size = labels_file(bytes, TRAIN);

    bytes[8 + 5] = 10;
    write_gz(files[1], bytes, size);
    fails_with(
        "%s/train-labels-idx1-ubyte.gz: label 10 of image 5 is outside 0..9; replace the "
        "file");
}
END_TEST

/* ---- EMNIST and KMNIST ---- */

/* Mean and deviation over all training pixels, per channel, in exact integers. */
static void measure(const data_images *d, int channel, double *mean, double *deviation)
{
    uint64_t sum = 0, square = 0, n = (uint64_t)d->n * d->h * d->w;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t v = d->pixel[i * d->c + channel];
        sum += v;
        square += v * v;
    }
    *mean = (double)sum / n / 255;
    *deviation = sqrt((double)square / n / 255 / 255 - *mean * *mean);
}

/* Files of `emnist`, prefix and all, with labels from `first` on. */
static void make_emnist(const char *split, int first)
{
    static const char *const kind[] = { "train-images-idx3", "train-labels-idx1",
                                        "test-images-idx3", "test-labels-idx1" };
    uint8_t bytes[ROOM];
    char name[128];

    for (int k = 0; k < 4; k++) {
        int n = k < 2 ? TRAIN : TEST;
        size_t size = k % 2 ? labels_file(bytes, n) : images_file(bytes, n);
        for (int i = 0; i < n && k % 2; i++)
            bytes[8 + i] = (uint8_t)(bytes[8 + i] + first);
        snprintf(name, sizeof name, "emnist-%s-%s-ubyte%s", split, kind[k],
                 k ? ".gz" : "");
        if (k)
            write_gz(name, bytes, size);
        else
            write_raw(name, bytes, size);
    }
}

static data_settings emnist(int split)
{
    data_settings s = settings("emnist", folder);
    s.split = split;
    err.text[0] = 0;
    return s;
}

START_TEST(emnist_is_put_upright_unless_asked_not_to)
{
    data_settings s = emnist(DATA_AUTO);

    make_emnist("balanced", 0);
    for (s.upright = 1; s.upright >= 0; s.upright--) {
        ck_assert_msg(data_load(&s, 0, &arena, &train, &test, &err) == NN_OK, "%s",
                      err.text);
        for (int i = 0; i < TRAIN; i++)
            for (int k = 0; k < SIDE * SIDE; k++) {
                int there = s.upright ? k % SIDE * SIDE + k / SIDE : k;
                ck_assert_int_eq(data_pixel_at(&train, i)[k], pixel_at(i, there));
            }
    }
    ck_assert_int_eq(train.classes, 47);
    ck_assert_str_eq(train.names[10], "A");
    ck_assert_str_eq(train.names[46], "t");
    ck_assert_ptr_null(train.names[47]);
}
END_TEST

START_TEST(every_split_of_emnist_has_its_classes)
{
    static const struct { const char *name; int classes; const char *last; } split[] = {
        { NULL, 0, NULL }, { "balanced", 47, "t" }, { "byclass", 62, "z" },
        { "bymerge", 47, "t" }, { "letters", 26, "Z" }, { "digits", 10, "9" },
        { "mnist", 10, "9" }
    };
    data_settings s = emnist(_i);
    double mean, deviation;
    char where[256];

    ck_assert_int_eq(data_source_find("emnist")->present(&s, where, sizeof where), 0);
    make_emnist(split[_i].name, _i == DATA_LETTERS);
    ck_assert_int_eq(data_source_find("emnist")->present(&s, where, sizeof where), 1);
    ck_assert_msg(data_load(&s, 0, &arena, &train, &test, &err) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.classes, split[_i].classes);
    ck_assert_str_eq(train.names[train.classes - 1], split[_i].last);
    ck_assert_ptr_null(train.names[train.classes]);
    for (int i = 0; i < TRAIN; i++)
        ck_assert_int_eq(train.label[i], i % 10);
    measure(&train, 0, &mean, &deviation);
    /* numbers below 1, rounded to float once */
    ck_assert_double_eq_tol(train.mean[0], mean, 1e-7);
    ck_assert_double_eq_tol(train.std[0], deviation, 1e-7);
    ck_assert_float_eq(test.mean[0], train.mean[0]);
}
END_TEST

START_TEST(labels_of_letters_count_from_one)
{
    data_settings s = emnist(DATA_LETTERS);
    char want[512];

    make_emnist("letters", 0);
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_EDATA);
    snprintf(want, sizeof want, "%s/emnist-letters-train-labels-idx1-ubyte.gz: label 0 of "
             "image 0 is outside 1..26; replace the file", folder);
    ck_assert_str_eq(err.text, want);
}
END_TEST

START_TEST(emnist_says_what_it_has_and_what_is_missing)
{
    data_settings s = emnist(DATA_TRAIN);
    char want[1024];

    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, "data.split: emnist has balanced, byclass, bymerge, "
                     "letters, digits and mnist; choose one of them");
    s = emnist(DATA_DIGITS);
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_EDATA);
    snprintf(want, sizeof want, "data set emnist: no files found; looked in %s/emnist, "
             "%s/gzip, %s; put emnist-digits-train-images-idx3-ubyte.gz and its three "
             "companions into a folder and name it in data.dir or $FULLRANK_DATA",
             folder, folder, folder);
    ck_assert_str_eq(err.text, want);
    write_raw("gzip.zip", (const uint8_t *)"", 0);
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_EDATA);
    snprintf(want, sizeof want, "%s/gzip.zip: the archive of emnist is not read; unpack it "
             "with `unzip gzip.zip` there", folder);
    ck_assert_str_eq(err.text, want);
}
END_TEST

START_TEST(kmnist_is_measured)
{
    data_settings s = settings("kmnist", folder);
    double mean, deviation;

    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_OK);
    is_the_made_set();
    ck_assert_str_eq(train.names[9], "wo");
    measure(&train, 0, &mean, &deviation);
    ck_assert_double_eq_tol(train.mean[0], mean, 1e-7);         /* rounded to float */
    ck_assert_double_eq_tol(train.std[0], deviation, 1e-7);
}
END_TEST

START_TEST(a_pipe_in_place_of_a_file_is_refused_and_not_waited_for)
{
    unlink(path_of(files[1]));
    ck_assert_int_eq(mkfifo(path_of(files[1]), 0600), 0);
    fails_with(
        "%s/train-labels-idx1-ubyte.gz: not a regular file; put the data set's file in "
        "its place");
}
END_TEST

START_TEST(files_packed_with_xz_are_to_be_unpacked)
{
    for (int k = 0; k < 4; k++)
        unlink(path_of(files[k]));
    write_raw("train-images-idx3-ubyte.xz", (const uint8_t *)"", 0);
    fails_with("%s/train-images-idx3-ubyte.xz: packed with xz, which is not read; unpack "
               "it and its companions with `xz -d`");
}
END_TEST

/* ---- the list ---- */

START_TEST(every_set_says_what_it_is)
{
    for (int i = 0; i < data_source_count(); i++) {
        const data_source *s = data_source_at(i);
        ck_assert_ptr_eq(data_source_find(s->name), s);
        ck_assert_ptr_nonnull(s->about);
        data_augment a;
        nn_setting_defaults(data_augment_table, &a);
        ck_assert_int_eq(data_augment_resolve(&a, NULL, s->recipe, NULL), NN_OK);
    }
}
END_TEST

START_TEST(an_unknown_set_names_the_nearest)
{
    data_settings s = settings("fashion_mnist", "");
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, "data.name: no data set 'fashion_mnist'; did you mean "
                     "'fashion-mnist'?");
}
END_TEST

START_TEST(fashion_mnist_has_the_published_counts_and_moments)
{
    data_settings s = settings("fashion-mnist", "");
    char where[256];
    int count[10] = { 0 };
    double mean, deviation;

    if (!data_source_find("fashion-mnist")->present(&s, where, sizeof where)) {
        printf("skipped: Fashion-MNIST is not installed (apt-get install "
               "dataset-fashion-mnist)\n");
        return;
    }
    ck_assert_msg(data_load(&s, 0, &arena, &train, &test, &err) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n, 60000);
    ck_assert_int_eq(test.n, 10000);
    for (int i = 0; i < train.n; i++)
        count[train.label[i]]++;
    for (int k = 0; k < 10; k++)
        ck_assert_int_eq(count[k], 6000);
    /* published to four digits, and what normalising uses */
    measure(&train, 0, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 0.2860, 0.00005);
    ck_assert_double_eq_tol(deviation, 0.3530, 0.00005);
    ck_assert_float_eq(train.mean[0], 0.2860f);
    ck_assert_float_eq(train.std[0], 0.3530f);
    ck_assert_int_eq(train.label[0], 9);                /* the first picture is a boot */
}
END_TEST

/* ---- shapes ---- */

static void load_shapes(int size, int limit, uint64_t seed)
{
    data_settings s = settings("shapes", "");
    s.size = size;
    s.limit = limit;
    ck_assert_int_eq(data_load(&s, seed, &arena, &train, &test, &err), NN_OK);
}

static size_t image_bytes(void)
{
    return (size_t)train.h * train.w * train.c;
}

START_TEST(shapes_are_balanced_and_carry_their_factors)
{
    int count[10] = { 0 };

    load_shapes(500, 0, 1);
    ck_assert_int_eq(train.n, 500);
    ck_assert_int_eq(test.n, 100);
    ck_assert_int_eq(train.h, 32);
    ck_assert_int_eq(train.c, 3);
    for (int i = 0; i < 500; i++)
        count[train.label[i]]++;
    for (int k = 0; k < 10; k++)
        ck_assert_int_eq(count[k], 50);
    int named = 0;
    while (data_source_find("shapes")->factors[named])
        named++;
    ck_assert_int_eq(train.factors, named);
}
END_TEST

START_TEST(a_shape_depends_on_seed_and_number_alone)
{
    load_shapes(300, 0, 7);
    data_images all = train;
    load_shapes(40, 0, 7);
    ck_assert_mem_eq(train.pixel, all.pixel, 40 * image_bytes());
    ck_assert_mem_eq(train.factor, all.factor, 40 * sizeof(float) * (size_t)all.factors);
    load_shapes(300, 90, 7);
    ck_assert_int_eq(train.n, 90);
    ck_assert_mem_eq(train.pixel, all.pixel, 90 * image_bytes());
    load_shapes(40, 0, 8);
    ck_assert_mem_ne(train.pixel, all.pixel, image_bytes());
}
END_TEST

START_TEST(shapes_have_the_same_bits_at_any_number_of_threads)
{
    uint64_t want = 0;

    for (int threads = 1; threads <= 3; threads++) {
        nn_par_set_threads(threads);
        load_shapes(400, 0, 3);
        uint64_t got = data_fingerprint(&train) ^ data_fingerprint(&test) << 1;
        want = threads == 1 ? got : want;
        ck_assert_uint_eq(got, want);
    }
}
END_TEST

START_TEST(no_shape_is_in_both_parts)
{
    load_shapes(500, 0, 1);
    for (int i = 0; i < train.n; i++)
        for (int j = 0; j < test.n; j++)
            ck_assert_msg(memcmp(train.pixel + i * image_bytes(),
                                 test.pixel + j * image_bytes(), image_bytes()) != 0,
                          "train %d is test %d", i, j);
}
END_TEST

static double hue_of(const uint8_t *p)
{
    double r = p[0], g = p[1], b = p[2];
    double top = fmax(r, fmax(g, b)), spread = top - fmin(r, fmin(g, b));
    double sixths = top == r ? (g - b) / spread
                  : top == g ? 2 + (b - r) / spread : 4 + (r - g) / spread;
    return sixths < 0 ? sixths / 6 + 1 : sixths / 6;
}

static int factor_named(const char *name)
{
    const char *const *names = data_source_find("shapes")->factors;
    for (int i = 0; names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    ck_abort_msg("no factor %s", name);
}

/* In the middle of all figures but ring and moon lies the figure: the pixel there has its
 * hue.  Saturation and value are at least .6 and .7, shading takes at most a fifth, so
 * the channels differ by 85 bytes or more and rounding moves the hue by at most 0.002. */
START_TEST(factors_tell_where_the_figure_is_and_its_colour)
{
    int x = factor_named("x"), y = factor_named("y"), hue = factor_named("hue"), seen = 0;

    load_shapes(500, 0, 5);
    for (int i = 0; i < train.n; i++) {
        const char *kind = data_source_find("shapes")->labels[train.label[i]];
        const float *f = train.factor + i * train.factors;
        if (strcmp(kind, "ring") == 0 || strcmp(kind, "moon") == 0)
            continue;
        size_t at = ((size_t)f[y] * train.w + (size_t)f[x]) * 3;
        double gap = fabs(hue_of(train.pixel + i * image_bytes() + at) - f[hue]);
        gap = fmin(gap, 1 - gap);
        ck_assert_msg(gap < 0.004, "%s %d: hue is off by %g", kind, i, gap);
        seen++;
    }
    ck_assert_int_eq(seen, 400);
}
END_TEST

START_TEST(the_constants_for_normalising_shapes_are_their_moments)
{
    load_shapes(4000, 0, 2);
    for (int j = 0; j < 3; j++) {
        double mean, deviation;
        measure(&train, j, &mean, &deviation);
        /* pictures differ by some 0.2 in mean: 4000 of them average to 0.003 */
        ck_assert_double_eq_tol(train.mean[j], mean, 0.012);
        ck_assert_double_eq_tol(train.std[j], deviation, 0.012);
    }
}
END_TEST

/* ---- fingerprint ---- */

START_TEST(a_fingerprint_sees_every_bit)
{
    enum { H = 5, W = 7, C = 3, N = 3 };
    uint8_t pixel[N * H * W * C];
    uint16_t label[N] = { 1, 2, 3 };
    data_images d = { .n = N, .h = H, .w = W, .c = C, .classes = 4, .pixel = pixel,
                      .label = label };

    for (size_t i = 0; i < sizeof pixel; i++)
        pixel[i] = (uint8_t)(i * 37);
    uint64_t want = data_fingerprint(&d);
    for (size_t i = 0; i < 8 * sizeof pixel; i++) {
        pixel[i / 8] ^= (uint8_t)(1 << i % 8);
        ck_assert_uint_ne(data_fingerprint(&d), want);
        /* two equal flips 32 bytes apart meet the same lane: they must not cancel */
        for (size_t j = i + 256; j < 8 * sizeof pixel; j += 256) {
            pixel[j / 8] ^= (uint8_t)(1 << j % 8);
            ck_assert_uint_ne(data_fingerprint(&d), want);
            pixel[j / 8] ^= (uint8_t)(1 << j % 8);
        }
        pixel[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    label[1] = 3;
    ck_assert_uint_ne(data_fingerprint(&d), want);
    label[1] = 2;
    ck_assert_uint_eq(data_fingerprint(&d), want);
    d.h = W;
    d.w = H;
    ck_assert_uint_ne(data_fingerprint(&d), want);
}
END_TEST

Suite *suite_data(void)
{
    Suite *s = suite_create("data");
    TCase *good = tcase_create("files"), *bad = tcase_create("broken files");
    TCase *sets = tcase_create("sets"), *shapes = tcase_create("shapes");

    tcase_add_checked_fixture(good, make_folder, drop_folder);
    tcase_add_test(good, a_folder_of_idx_files_is_read);
    tcase_add_test(good, unpacked_files_are_read_too);
    tcase_add_test(good, limits_keep_the_first_images);
    tcase_add_test(good, without_normalising_the_mean_is_zero_and_the_deviation_one);
    tcase_add_test(good, plain_images_come_in_order_or_by_index);
    tcase_add_test(good, the_environment_names_the_folder_or_its_parent);
    tcase_add_test(good, a_folder_named_after_another_set_is_not_taken);
    tcase_add_test(good, an_incomplete_folder_gives_way_to_a_complete_one);
    tcase_add_test(good, emnist_is_put_upright_unless_asked_not_to);
    tcase_add_loop_test(good, every_split_of_emnist_has_its_classes, DATA_BALANCED,
                        DATA_MNIST + 1);
    tcase_add_test(good, kmnist_is_measured);
    suite_add_tcase(s, good);

    tcase_add_checked_fixture(bad, make_folder, drop_folder);
    tcase_add_test(bad, an_empty_folder_says_how_to_get_the_set);
    tcase_add_loop_test(bad, a_long_file_cut_in_its_checksum_is_refused, 0, 8);
    tcase_add_test(bad, a_folder_that_was_named_is_not_passed_over);
    tcase_add_test(bad, a_missing_package_is_named);
    tcase_add_test(bad, one_missing_file_is_named);
    tcase_add_test(bad, a_file_that_is_not_gzip_is_refused);
    tcase_add_test(bad, a_folder_in_place_of_a_file_is_refused);
    tcase_add_test(bad, a_truncated_gzip_file_is_refused);
    tcase_add_test(bad, a_wrong_checksum_is_refused);
    tcase_add_loop_test(bad, no_damaged_byte_and_no_cut_goes_unnoticed, 0, 2);
    tcase_add_test(bad, a_wrong_magic_number_is_refused);
    tcase_add_test(bad, images_of_another_size_are_refused);
    tcase_add_test(bad, a_header_cannot_claim_more_than_the_file_can_hold);
    tcase_add_test(bad, a_header_that_claims_a_little_too_much_or_too_little_is_refused);
    tcase_add_test(bad, images_and_labels_must_be_as_many);
    tcase_add_test(bad, a_label_outside_the_classes_is_refused);
    tcase_add_test(bad, a_pipe_in_place_of_a_file_is_refused_and_not_waited_for);
    tcase_add_test(bad, files_packed_with_xz_are_to_be_unpacked);
    tcase_add_test(bad, labels_of_letters_count_from_one);
    tcase_add_test(bad, emnist_says_what_it_has_and_what_is_missing);
    suite_add_tcase(s, bad);

    tcase_add_test(sets, every_set_says_what_it_is);
    tcase_add_test(sets, an_unknown_set_names_the_nearest);
    tcase_add_test(sets, fashion_mnist_has_the_published_counts_and_moments);
    tcase_add_test(sets, a_fingerprint_sees_every_bit);
    suite_add_tcase(s, sets);

    tcase_add_test(shapes, shapes_are_balanced_and_carry_their_factors);
    tcase_add_test(shapes, a_shape_depends_on_seed_and_number_alone);
    tcase_add_test(shapes, shapes_have_the_same_bits_at_any_number_of_threads);
    tcase_add_test(shapes, no_shape_is_in_both_parts);
    tcase_add_test(shapes, factors_tell_where_the_figure_is_and_its_colour);
    tcase_add_test(shapes, the_constants_for_normalising_shapes_are_their_moments);
    suite_add_tcase(s, shapes);
    return s;
}
