#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/data.h"
#include "tests/suites.h"

/* The reader of NumPy's arrays against files that NumPy wrote (golden/make_arrays.py), and
 * against those damaged in every way. */

enum { TRAIN = 6, TEST = 4, H = 2, W = 4, D = 5, ROOM = 4096 };

static char folder[64], golden[512];
static nn_arena arena;
static data_images train, test;
static data_settings set;
static nn_err err;

/* ---- files ---- */

static const char *path_of(const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

static const char *golden_path(const char *file)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/arrays/%s", golden, file);
    return path;
}

static size_t read_whole(const char *path, uint8_t *bytes)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s", path);
    size_t size = fread(bytes, 1, ROOM, f);
    fclose(f);
    ck_assert_uint_lt(size, ROOM);
    return size;
}

static void write_whole(const char *file, const uint8_t *bytes, size_t size)
{
    FILE *f = fopen(path_of(file), "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, size, f), size);
    ck_assert_int_eq(fclose(f), 0);
}

/* A .npy file of version 1.0 with these bytes behind its header. */
static void write_npy(const char *file, const char *type, const char *shape,
                      const void *bytes, size_t size)
{
    uint8_t whole[ROOM] = "\x93NUMPY\1";
    int n = snprintf((char *)whole + 10, 256, "{'descr': '%s', 'fortran_order': False, "
                     "'shape': %s, }\n", type, shape);

    whole[8] = (uint8_t)n;
    memcpy(whole + 10 + n, bytes, size);
    write_whole(file, whole, 10 + (size_t)n + size);
}

static void make_folder(void)
{
    const char *tests = getenv("FULLRANK_TESTS");

    snprintf(golden, sizeof golden, "%s/golden", tests ? tests : "tests");
    snprintf(folder, sizeof folder, "%s/fullrank-arrays-XXXXXX",        /* much is written */
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    nn_setting_defaults(data_setting_table, &set);
    set.name = "arrays";
    set.dir = folder;
}

static void drop_folder(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;

    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.')
            remove(path_of(e->d_name));
    if (d)
        closedir(d);
    rmdir(folder);
    nn_arena_free(&arena);
}

static nn_status load(const char *path)
{
    set.dir = path;
    err.text[0] = 0;
    return data_load(&set, 0, &arena, &train, &test, &err);
}

static void loads(const char *path)
{
    ck_assert_msg(load(path) == NN_OK, "%s", err.text);
}

/* Loading fails with this text; %s in it stands for the path. */
static void fails_with(const char *path, const char *text)
{
    char want[2048], dir[1024];
    const char *hole = strstr(text, "%s");

    snprintf(dir, sizeof dir, "%s", path);
    nn_status got = load(dir);
    snprintf(want, sizeof want, "%.*s%s%s", hole ? (int)(hole - text) : (int)strlen(text),
             text, hole ? dir : "", hole ? hole + 2 : "");
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(got, NN_EDATA);
    ck_assert_uint_eq(nn_arena_mark(&arena), 0);        /* nothing is left lying about */
}

/* ---- good files ---- */

static uint8_t pixel_at(int i, int h, int w, int c)
{
    return (uint8_t)(31 * i + 11 * h + 5 * w + 3 * c);
}

static void are_pictures(const data_images *d, int first, int n, int c)
{
    ck_assert_int_eq(d->n, n);
    ck_assert_int_eq(d->h, H);
    ck_assert_int_eq(d->w, W);
    ck_assert_int_eq(d->c, c);
    ck_assert_ptr_null(d->value);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < H * W * c; k++)
            ck_assert_int_eq(data_pixel_at(d, i)[k],
                             pixel_at(first + i, k / c / W, k / c % W, k % c));
}

static void are_labels(const data_images *d, int first)
{
    static const int class_of[] = { 1, 0, 2 };          /* of 7, -2 and 500 */

    ck_assert_int_eq(d->classes, 3);
    ck_assert_int_eq(d->unlabelled, 0);
    for (int i = 0; i < d->n; i++)
        ck_assert_int_eq(d->label[i], class_of[(first + i) % 3]);
}

static void is_the_made_set(void)
{
    are_pictures(&train, 0, TRAIN, 3);
    are_pictures(&test, 100, TEST, 3);
    are_labels(&train, 0);
    are_labels(&test, 100);
}

static const char *const same[] = {
    "stored.npz", "deflated.npz", "planes.npz", "fortran.npz", "wide.npz", "folder",
    "folder/"
};

START_TEST(every_way_to_save_the_set_gives_the_set)
{
    loads(golden_path(same[_i]));
    is_the_made_set();
    ck_assert_str_eq(train.names[0], "-2");
    ck_assert_str_eq(train.names[1], "7");
    ck_assert_str_eq(test.names[2], "500");
    ck_assert_ptr_null(train.names[3]);
}
END_TEST

START_TEST(names_may_begin_with_a_prefix)
{
    uint8_t bytes[ROOM];
    size_t n = read_whole(golden_path("folder/x_train.npy"), bytes);

    write_whole("mine_x_train.npy", bytes, n);
    n = read_whole(golden_path("folder/x_test.npy"), bytes);
    write_whole("mine_x_test.npy", bytes, n);
    loads(path_of("mine_"));
    are_pictures(&train, 0, TRAIN, 3);
    are_pictures(&test, 100, TEST, 3);
}
END_TEST

START_TEST(limits_keep_the_first_images)
{
    set.limit = 2;
    set.test_limit = 1;
    loads(golden_path(_i ? "folder" : "deflated.npz"));
    are_pictures(&train, 0, 2, 3);
    are_pictures(&test, 100, 1, 3);
    ck_assert_int_eq(train.classes, 3);                 /* also those behind the limit */
}
END_TEST

START_TEST(pictures_without_labels_are_unlabelled)
{
    loads(golden_path("grey.npz"));
    are_pictures(&train, 0, TRAIN, 1);
    are_pictures(&test, 100, TEST, 1);
    ck_assert_int_eq(train.unlabelled, TRAIN);
    ck_assert_int_eq(test.unlabelled, TEST);
    ck_assert_int_eq(data_labelled(&train), 0);
    ck_assert_int_eq(train.classes, 1);
    ck_assert_int_eq(train.label[TRAIN - 1], 0);
}
END_TEST

START_TEST(images_labelled_minus_one_have_none_and_come_last)
{
    static const int8_t label[] = { -1, 5, -1, -7, 5, 5 };
    static const int from[] = { 1, 3, 4, 0, 2 }, class[] = { 1, 0, 1 };
    static const uint8_t pixel[] = { 10, 11, 12, 13, 14 };

    write_npy("x_train.npy", "|u1", "(5, 1, 1)", pixel, 5);
    write_npy("x_test.npy", "|u1", "(5, 1, 1)", pixel, 5);
    write_npy("y_train.npy", "|i1", "(5,)", label, 5);
    write_npy("y_test.npy", "|i1", "(5,)", label + 1, 5);
    loads(folder);
    ck_assert_int_eq(train.unlabelled, 2);
    ck_assert_int_eq(train.n, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(*data_pixel_at(&train, i), pixel[from[i]]);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(train.label[i], class[i]);
    ck_assert_str_eq(train.names[0], "-7");
    ck_assert_int_eq(test.unlabelled, 1);
}
END_TEST

START_TEST(rows_of_floats_are_vectors)
{
    const data_images *part[] = { &train, &test };
    double sum = 0, square = 0;

    loads(golden_path(_i ? "float.npz" : "double.npz"));
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < part[k]->n; i++)
            for (int j = 0; j < D; j++) {               /* quarters: exact */
                double want = 100 * k + i - j / 4.0;
                ck_assert_float_eq(data_value_at(part[k], i)[j], (float)want);
                sum += k ? 0 : want;
                square += k ? 0 : want * want;
            }
    ck_assert_int_eq(train.n, TRAIN);
    ck_assert_int_eq(train.h * train.w, 1);
    ck_assert_int_eq(train.c, D);
    ck_assert_ptr_null(train.pixel);
    sum /= TRAIN * D;
    ck_assert_float_eq(train.mean[0], (float)sum);
    /* one rounding to float beside some of doubles */
    ck_assert_double_eq_tol(train.std[0], sqrt(square / (TRAIN * D) - sum * sum), 2e-7);
    ck_assert_float_eq(test.std[0], train.std[0]);
}
END_TEST

START_TEST(mean_and_deviation_are_those_of_the_training_pictures)
{
    loads(golden_path("stored.npz"));
    for (int c = 0; c < 3; c++) {
        double sum = 0, square = 0, n = TRAIN * H * W;
        for (int i = 0; i < TRAIN * H * W; i++) {
            double v = pixel_at(i / (H * W), i % (H * W) / W, i % W, c);
            sum += v;
            square += v * v;
        }
        ck_assert_float_eq(train.mean[c], (float)(sum / n / 255));
        /* below 1, rounded to float once */
        ck_assert_double_eq_tol(train.std[c], sqrt(square / n - sum * sum / n / n) / 255,
                                1e-7);
        ck_assert_float_eq(test.mean[c], train.mean[c]);
    }
}
END_TEST

/* 31 is odd: the first byte of an image tells its number, up to 256 of them. */
static int number_of(const data_images *d, int i)
{
    for (int k = 0; k < 256; k++)
        if (pixel_at(k, 0, 0, 0) == data_pixel_at(d, i)[0])
            return k;
    return -1;
}

START_TEST(without_a_test_part_a_share_is_held_out)
{
    int seen[200] = { 0 };

    loads(golden_path("one.npz"));
    ck_assert_int_eq(train.n + test.n, 200);
    ck_assert_int_ge(test.n, 4);        /* 20 +- 4.2: four of them below */
    ck_assert_int_le(test.n, 37);       /* and above */
    for (int k = 0; k < 200; k++) {
        const data_images *d = k < train.n ? &train : &test;
        int at = k < train.n ? k : k - train.n, i = number_of(d, at);
        ck_assert_int_eq(seen[i]++, 0);
        ck_assert_int_eq(d->label[at], i % 5);
        for (int j = 0; j < H * W; j++)
            ck_assert_int_eq(data_pixel_at(d, at)[j], pixel_at(i, j / W, j % W, 0));
    }
}
END_TEST

START_TEST(an_image_is_held_out_whatever_the_order)
{
    uint8_t bytes[200 * H * W];
    int held[200] = { 0 }, n = 0;

    set.test_share = 0.5;
    loads(golden_path("one.npz"));
    for (int i = 0; i < test.n; i++)
        held[number_of(&test, i)] = 1;
    for (int i = 0; i < 200; i++)
        for (int k = 0; k < H * W; k++)
            bytes[(199 - i) * H * W + k] = pixel_at(i, k / W, k % W, 0);
    write_npy("images.npy", "|u1", "(200, 2, 4)", bytes, sizeof bytes);
    set.limit = 150;                                    /* of each part its own limit */
    set.test_limit = 30;
    loads(folder);
    for (int i = 0; i < train.n; i++)
        ck_assert_int_eq(held[number_of(&train, i)], 0);
    for (int i = 0; i < test.n; i++)
        n += held[number_of(&test, i)];
    ck_assert_int_eq(n, 30);
}
END_TEST

/* ---- what is not taken ---- */

START_TEST(nothing_named_says_what_to_name)
{
    char where[64];
    fails_with("", "data set arrays: no file named; name a .npz file, a folder of .npy "
               "files or the beginning of their names in data.dir");
    ck_assert_int_eq(data_source_find("arrays")->present(&set, where, sizeof where), 0);
}
END_TEST

#define SAVE "no array x_train, train_images or images there; save one, as " \
             "numpy.savez('set.npz', x_train=x, y_train=y, x_test=..., y_test=...), and " \
             "name the file in data.dir"

START_TEST(a_place_without_arrays_says_how_to_save_some)
{
    fails_with("/nonexistent-arrays", "%s: " SAVE);
    fails_with(folder, "%s/: " SAVE);
}
END_TEST

START_TEST(a_pipe_or_a_folder_in_place_of_a_file_is_refused)
{
    ck_assert_int_eq(mkfifo(path_of("a.npz"), 0600), 0);
    fails_with(path_of("a.npz"), "%s: not a regular file; put the data set's file in its "
               "place");
    ck_assert_int_eq(mkdir(path_of("x_train.npy"), 0700), 0);
    fails_with(folder, "%s/x_train.npy: not a regular file; put the data set's file in "
               "its place");
}
END_TEST

START_TEST(objects_are_not_unpickled)
{
    fails_with(golden_path("object.npz"), "%s: x_train: holds objects of Python, which are "
               "not unpickled; save numbers: numpy.stack(x)");
}
END_TEST

START_TEST(pictures_of_floats_are_to_become_bytes_or_vectors)
{
    fails_with(golden_path("floats.npz"), "%s: x_train: holds (6, 2, 4, 3) numbers of type "
               "<f8; wanted are bytes (n, h, w) or (n, h, w, 1 or 3), or floats (n, d): "
               "(255 * x).round().astype('uint8') for pictures, x.reshape(len(x), "
               "-1).astype('float32') for vectors");
}
END_TEST

START_TEST(rows_with_a_one_are_no_labels)
{
    fails_with(golden_path("hot.npz"), "%s: y_train: holds (6, 3) values of type <i8; "
               "wanted are integers (n) or (n, 1), one label an image: y.argmax(1) of rows "
               "with a 1, .astype('int64') of floats");
}
END_TEST

START_TEST(an_archive_in_another_form_is_refused)
{
    write_whole("a.npz", (const uint8_t *)"<html>404</html>", 16);
    fails_with(path_of("a.npz"), "%s: not a .npz file, or cut: it does not end as a zip "
               "archive does; replace the file");
    write_whole("a.npz", (const uint8_t *)"", 0);
    fails_with(path_of("a.npz"), "%s: not a .npz file, or cut: it does not end as a zip "
               "archive does; replace the file");
}
END_TEST

/* Where a text begins in the bytes, from `at` on. */
static size_t find(const uint8_t *bytes, size_t size, size_t at, const char *text)
{
    const uint8_t *p = memmem(bytes + at, size - at, text, strlen(text));
    ck_assert_ptr_nonnull(p);
    return (size_t)(p - bytes);
}

static size_t golden_bytes(const char *file, uint8_t *bytes)
{
    return read_whole(golden_path(file), bytes);
}

/* Changes a byte of an entry in the directory, `at` bytes from its start. */
static void with_directory(const char *file, int at, uint8_t value)
{
    uint8_t bytes[ROOM];
    size_t size = golden_bytes(file, bytes);

    bytes[find(bytes, size, 0, "PK\1\2") + (size_t)at] = value;
    write_whole("a.npz", bytes, size);
}

START_TEST(a_wrong_checksum_is_refused)
{
    uint8_t bytes[ROOM];
    size_t size = golden_bytes("stored.npz", bytes);

    bytes[find(bytes, size, 0, "\n") + 5] ^= 4;         /* a pixel */
    write_whole("a.npz", bytes, size);
    fails_with(path_of("a.npz"), "%s: the checksum of x_train.npy is wrong; replace the "
               "file");
    ck_assert_ptr_null(train.pixel);
}
END_TEST

START_TEST(encrypted_and_strangely_packed_entries_are_refused)
{
    with_directory("stored.npz", 8, 1);
    fails_with(path_of("a.npz"), "%s: x_train.npy is encrypted; save it again with "
               "numpy.savez");
    with_directory("stored.npz", 10, 12);
    fails_with(path_of("a.npz"), "%s: x_train.npy is packed by method 12, which is not "
               "read; save it again with numpy.savez_compressed");
}
END_TEST

/* Byte 2 of the size when unpacked counts 65,536. */
START_TEST(an_entry_cannot_promise_more_than_it_can_hold)
{
    uint8_t bytes[ROOM];
    size_t size = golden_bytes("deflated.npz", bytes);
    size_t at = find(bytes, size, 0, "PK\1\2");
    char text[256];

    snprintf(text, sizeof text, "%%s: x_train.npy is said to hold %d bytes, which its %d "
             "packed ones cannot; replace the file", 272 + (255 << 16), bytes[at + 20]);
    with_directory("deflated.npz", 26, 255);
    fails_with(path_of("a.npz"), text);
    with_directory("deflated.npz", 24, 272 % 256 + 1);
    fails_with(path_of("a.npz"), "%s: x_train: (6, 2, 4, 3) numbers of 1 bytes do not make "
               "the 145 bytes behind the header; the file is damaged: save it again");
}
END_TEST

static uint8_t *little(uint8_t *to, uint32_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *to++ = (uint8_t)(x >> 8 * i);
    return to;
}

/* An archive of one entry, x_train.npy, said to unpack to so many bytes. */
static void write_zip(const uint8_t *bytes, size_t size, uint32_t said)
{
    static const char name[] = "x_train.npy";
    static uint8_t whole[2 * ROOM];
    const uint16_t length = sizeof name - 1;
    z_stream z = { .next_in = (Bytef *)bytes, .avail_in = (uInt)size,
                   .next_out = whole + 30 + length, .avail_out = ROOM };
    uint32_t crc = (uint32_t)crc32(0, bytes, (uInt)size);

    memset(whole, 0, sizeof whole);
    memcpy(whole, "PK\3\4", 4);
    little(whole + 26, length, 2);
    memcpy(whole + 30, name, length);
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    uint8_t *central = z.next_out, *end = central + 46 + length;
    memcpy(central, "PK\1\2", 4);
    little(central + 10, 8, 2);
    little(little(little(central + 16, crc, 4), (uint32_t)z.total_out, 4), said, 4);
    little(central + 28, length, 2);
    memcpy(central + 46, name, length);
    memcpy(end, "PK\5\6", 4);
    little(end + 10, 1, 2);
    little(little(end + 12, 46u + length, 4), (uint32_t)(central - whole), 4);
    write_whole("a.npz", whole, (size_t)(end + 22 - whole));
}

/* A bomb: a million zeros in a kilobyte, said to be two pictures. */
START_TEST(an_entry_that_unpacks_to_more_is_refused)
{
    uint8_t head[ROOM];
    uint8_t *bomb = calloc(1, 1 << 20);
    char text[256];

    write_npy("head.npy", "|u1", "(2, 2, 3)", "", 0);
    size_t n = read_whole(path_of("head.npy"), head);
    memcpy(bomb, head, n);
    write_zip(bomb, 1 << 20, (uint32_t)n + 12);
    fails_with(path_of("a.npz"), "%s: x_train.npy unpacks to more bytes than its directory "
               "says; replace the file");
    snprintf(text, sizeof text, "%%s: x_train.npy unpacks to other than the %zu bytes its "
             "directory says; replace the file", n + 12);
    write_zip(bomb, n + 11, (uint32_t)n + 12);
    fails_with(path_of("a.npz"), text);
    free(bomb);
}
END_TEST

START_TEST(an_array_that_tells_of_fewer_numbers_than_there_are_is_refused)
{
    uint8_t bytes[ROOM];
    size_t size = golden_bytes("stored.npz", bytes);
    size_t shape = find(bytes, size, 0, "(6, 2, 4, 3)");

    memcpy(bytes + shape, "(5, 2, 4, 3)", 12);
    write_whole("a.npz", bytes, size);
    fails_with(path_of("a.npz"), "%s: x_train: (5, 2, 4, 3) numbers of 1 bytes do not make "
               "the 144 bytes behind the header; the file is damaged: save it again");
}
END_TEST

START_TEST(two_entries_of_one_name_are_refused)
{
    uint8_t bytes[ROOM];
    size_t size = golden_bytes("stored.npz", bytes);

    bytes[find(bytes, size, 0, "y_train")] = 'x';
    bytes[find(bytes, size, 0, "y_train")] = 'x';
    write_whole("a.npz", bytes, size);
    fails_with(path_of("a.npz"), "%s: two entries are called x_train.npy; save it again "
               "with numpy.savez");
}
END_TEST

/* Whatever single byte is wrong or wherever it is cut: refused, or read as it was meant
 * (dates, systems and the local headers' copies mean nothing); or an array has another
 * name, and a part of the set is not there. */
START_TEST(no_damaged_byte_and_no_cut_goes_unnoticed)
{
    uint8_t good[ROOM], bad[ROOM];
    size_t size = golden_bytes(same[_i], good);

    for (size_t at = 0; at < size; at++) {
        memcpy(bad, good, size);
        bad[at] ^= (uint8_t)(1 << at % 8);
        write_whole("a.npz", bad, size);
        if (load(path_of("a.npz")) == NN_OK && test.n == TEST && data_labelled(&train)
            && data_labelled(&test))
            is_the_made_set();
        nn_arena_reset(&arena);
    }
    for (size_t cut = 0; cut < size; cut++) {
        write_whole("a.npz", good, cut);
        ck_assert_msg(load(path_of("a.npz")) == NN_EDATA, "cut at %zu of %zu", cut, size);
    }
}
END_TEST

/* ---- .npy files ---- */

START_TEST(a_file_of_another_length_than_its_header_says_is_refused)
{
    static const uint8_t zero[64];
    char text[512];

    for (int bytes = 11; bytes <= 13; bytes += 2) {
        write_npy("x_train.npy", "|u1", "(2, 2, 3)", zero, (size_t)bytes);
        snprintf(text, sizeof text, "%%s/x_train.npy: (2, 2, 3) numbers of 1 bytes do not "
                 "make the %d bytes behind the header; the file is damaged: save it again",
                 bytes);
        fails_with(folder, text);
    }
    write_npy("x_train.npy", "|u1", "(9999999999999, 9999999999, 3)", zero, 12);
    fails_with(folder, "%s/x_train.npy: the header says (9999999999999, 9999999999, 3) "
               "numbers of 1 bytes, more than are read into memory; save fewer");
    write_npy("x_train.npy", "|u1", "(0, 2, 3)", zero, 0);
    fails_with(folder, "%s/x_train.npy: an array of shape (0, 2, 3); wanted are 1 to "
               "2147483647 rows");
}
END_TEST

START_TEST(images_and_labels_must_be_as_many)
{
    static const uint8_t zero[64];
    char text[1024];

    write_npy("x_train.npy", "|u1", "(2, 2, 3)", zero, 12);
    write_npy("y_train.npy", "|u1", "(3,)", zero, 3);
    snprintf(text, sizeof text, "%%s/x_train.npy holds 2 images, but %s/y_train.npy 3 "
             "labels: they do not belong together; save both again", folder);
    fails_with(folder, text);
}
END_TEST

START_TEST(both_parts_must_have_images_of_one_size)
{
    static const uint8_t zero[64];

    write_npy("x_train.npy", "|u1", "(2, 2, 3)", zero, 12);
    write_npy("x_test.npy", "|u1", "(2, 3, 2)", zero, 12);
    fails_with(folder, "%s/: x_train holds rows of 2 x 3 x 1, but x_test of 3 x 2 x 1: they "
               "do not belong together; save both again");
}
END_TEST

START_TEST(too_many_labels_are_no_classes)
{
    static uint8_t zero[1025 * 2];

    write_npy("images.npy", "|u1", "(1025, 1, 1)", zero, 1025);
    for (int i = 0; i < 1025; i++)
        zero[2 * i] = (uint8_t)i, zero[2 * i + 1] = (uint8_t)(i >> 8);
    write_npy("labels.npy", "<u2", "(1025,)", zero, sizeof zero);
    fails_with(folder, "%s/labels.npy: holds more than 1024 different labels; save the "
               "number of a class for each image");
    write_npy("labels.npy", "<f2", "(1025,)", zero, sizeof zero);
    fails_with(folder, "%s/labels.npy: holds (1025,) values of type <f2; wanted are "
               "integers (n) or (n, 1), one label an image: y.argmax(1) of rows with a 1, "
               ".astype('int64') of floats");
    memset(zero, 255, sizeof zero);
    write_npy("images.npy", "|u1", "(2, 1, 1)", zero, 2);
    write_npy("labels.npy", "<u8", "(2,)", zero, 16);
    fails_with(folder, "%s/labels.npy: label 18446744073709551615 of image 0 is no class; "
               "save the number of a class for each image");
}
END_TEST

START_TEST(numbers_that_are_not_finite_are_refused)
{
    float x[6] = { 1, 2, 3, 4, INFINITY, 6 };

    write_npy("x_train.npy", "<f4", "(2, 3)", x, sizeof x);
    write_npy("x_test.npy", "<f4", "(2, 3)", x, sizeof x);
    fails_with(folder, "%s/x_train.npy: number 1 of row 1 is not a finite float32; mend the "
               "array");
}
END_TEST

START_TEST(a_name_in_two_spellings_is_refused)
{
    static const uint8_t zero[64];

    write_npy("x_train.npy", "|u1", "(2, 2, 3)", zero, 12);
    write_npy("images.npy", "|u1", "(2, 2, 3)", zero, 12);
    fails_with(folder, "%s/: holds both x_train and images; keep one");
}
END_TEST

START_TEST(a_share_that_leaves_a_part_empty_is_refused)
{
    static const uint8_t zero[64];

    write_npy("images.npy", "|u1", "(2, 2, 3)", zero, 12);      /* equal: go together */
    fails_with(folder, "%s/: there is no x_test, and data.test_share = 0.1 holds 0 of 2 "
               "images out; choose another share");
    set.test_share = 0;
    fails_with(folder, "%s/: there is no x_test, and data.test_share = 0 holds no images "
               "out; save x_test, or give a share");
}
END_TEST

Suite *suite_arrays(void)
{
    Suite *s = suite_create("arrays");
    TCase *good = tcase_create("good files"), *bad = tcase_create("bad files");

    tcase_add_checked_fixture(good, make_folder, drop_folder);
    tcase_add_loop_test(good, every_way_to_save_the_set_gives_the_set, 0,
                        (int)NN_COUNT(same));
    tcase_add_test(good, names_may_begin_with_a_prefix);
    tcase_add_loop_test(good, limits_keep_the_first_images, 0, 2);
    tcase_add_test(good, pictures_without_labels_are_unlabelled);
    tcase_add_test(good, images_labelled_minus_one_have_none_and_come_last);
    tcase_add_loop_test(good, rows_of_floats_are_vectors, 0, 2);
    tcase_add_test(good, mean_and_deviation_are_those_of_the_training_pictures);
    tcase_add_test(good, without_a_test_part_a_share_is_held_out);
    tcase_add_test(good, an_image_is_held_out_whatever_the_order);
    suite_add_tcase(s, good);

    tcase_add_checked_fixture(bad, make_folder, drop_folder);
    tcase_add_test(bad, nothing_named_says_what_to_name);
    tcase_add_test(bad, a_place_without_arrays_says_how_to_save_some);
    tcase_add_test(bad, a_pipe_or_a_folder_in_place_of_a_file_is_refused);
    tcase_add_test(bad, objects_are_not_unpickled);
    tcase_add_test(bad, pictures_of_floats_are_to_become_bytes_or_vectors);
    tcase_add_test(bad, rows_with_a_one_are_no_labels);
    tcase_add_test(bad, an_archive_in_another_form_is_refused);
    tcase_add_test(bad, a_wrong_checksum_is_refused);
    tcase_add_test(bad, encrypted_and_strangely_packed_entries_are_refused);
    tcase_add_test(bad, an_entry_cannot_promise_more_than_it_can_hold);
    tcase_add_test(bad, an_entry_that_unpacks_to_more_is_refused);
    tcase_add_test(bad, an_array_that_tells_of_fewer_numbers_than_there_are_is_refused);
    tcase_add_test(bad, two_entries_of_one_name_are_refused);
    tcase_add_loop_test(bad, no_damaged_byte_and_no_cut_goes_unnoticed, 0, 2);
    tcase_add_test(bad, a_file_of_another_length_than_its_header_says_is_refused);
    tcase_add_test(bad, images_and_labels_must_be_as_many);
    tcase_add_test(bad, both_parts_must_have_images_of_one_size);
    tcase_add_test(bad, too_many_labels_are_no_classes);
    tcase_add_test(bad, numbers_that_are_not_finite_are_refused);
    tcase_add_test(bad, a_name_in_two_spellings_is_refused);
    tcase_add_test(bad, a_share_that_leaves_a_part_empty_is_refused);
    suite_add_tcase(s, bad);
    return s;
}
