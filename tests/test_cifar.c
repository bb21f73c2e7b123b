#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"
#include "tests/suites.h"

/* The reader of CIFAR-10 against files that the test makes: of the official size, because
 * the reader takes no other, but with few records written and a hole behind them, which
 * takes no room on the disk and reads as zeros. */

enum {
    SIDE = 32, PLANE = SIDE * SIDE, RECORD = 1 + 3 * PLANE, RECORDS = 10000,
    FILES = 6, TEST = 5,                /* the file to test on, the last */
    WRITTEN = 4                         /* records at the start, and one at the end */
};
static const long whole = (long)RECORDS * RECORD;

static const char *const files[FILES] = {
    "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
    "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"
};

static const char how[] =
    "put data_batch_1.bin to data_batch_5.bin and test_batch.bin (CIFAR-10's binary "
    "version, unpacked) into a folder and name it in data.dir or $FULLRANK_DATA";

static char folder[64];
static nn_arena arena;
static data_images train, test;
static nn_err err;

/* ---- making files ---- */

static const char *path_of(const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

/* Another value in every file, record, channel, row and column that are near each other:
 * 97, 31, 11, 7 and 3 have no small multiples in common modulo 256. */
static uint8_t pixel_at(int file, int record, int channel, int row, int column)
{
    return (uint8_t)(97 * file + 31 * record + 11 * channel + 7 * row + 3 * column);
}

static uint8_t label_at(int file, int record)
{
    return (uint8_t)((3 * file + record) % 10);
}

static void write_record(FILE *f, int file, int record)
{
    uint8_t bytes[RECORD], *to = bytes;

    *to++ = label_at(file, record);
    for (int channel = 0; channel < 3; channel++)
        for (int i = 0; i < PLANE; i++)
            *to++ = pixel_at(file, record, channel, i / SIDE, i % SIDE);
    ck_assert_int_eq(fseek(f, (long)record * RECORD, SEEK_SET), 0);
    ck_assert_uint_eq(fwrite(bytes, RECORD, 1, f), 1);
}

static void make_file(int file)
{
    FILE *f = fopen(path_of(files[file]), "wb");

    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < WRITTEN; i++)
        write_record(f, file, i);
    write_record(f, file, RECORDS - 1);
    ck_assert_int_eq(fclose(f), 0);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/fullrank-cifar-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    unsetenv("FULLRANK_DATA");
    for (int i = 0; i < FILES; i++)
        make_file(i);
}

/* Everything a test can have made: files, packed ones, and folders named like them. */
static void drop_files(const char *below)
{
    static const char *const ending[] = { "", ".xz" };
    char path[256];

    for (int i = 0; i < FILES; i++)
        for (size_t k = 0; k < NN_COUNT(ending); k++) {
            snprintf(path, sizeof path, "%s%s%s", below, files[i], ending[k]);
            remove(path_of(path));
        }
    remove(path_of(below));
}

static void drop_folder(void)
{
    drop_files("cifar10/");
    drop_files("elsewhere/");
    drop_files("cifar-10-batches-bin/");
    drop_files("");
    nn_arena_free(&arena);
}

static data_settings settings(int limit, int test_limit)
{
    data_settings s;
    nn_setting_defaults(data_setting_table, &s);
    s.name = "cifar10";
    s.dir = folder;
    s.limit = limit;
    s.test_limit = test_limit;
    return s;
}

static nn_status load(int limit, int test_limit)
{
    data_settings s = settings(limit, test_limit);
    err.text[0] = 0;
    return data_load(&s, 0, &arena, &train, &test, &err);
}

static void loads(int limit, int test_limit)
{
    ck_assert_msg(load(limit, test_limit) == NN_OK, "%s", err.text);
}

/* Loading fails with this text; every %s in it stands for the folder. */
static void fails_with(int limit, const char *text)
{
    char want[1024];
    nn_status got = load(limit, 1);

    snprintf(want, sizeof want, text, folder, folder, folder);
    ck_assert_msg(got == NN_EDATA, "status %d, wanted %d: %s", got, NN_EDATA, err.text);
    ck_assert_str_eq(err.text, want);
    ck_assert_uint_eq(nn_arena_mark(&arena), 0);        /* nothing is left lying about */
}

static void is_pixels(const data_images *d, int i, int file, int record)
{
    for (int row = 0; row < SIDE; row++)
        for (int column = 0; column < SIDE; column++)
            for (int channel = 0; channel < 3; channel++)
                ck_assert_int_eq(
                    d->pixel[((size_t)(i * SIDE + row) * SIDE + column) * 3 + channel],
                    pixel_at(file, record, channel, row, column));
}

static void is_record(const data_images *d, int i, int file, int record)
{
    ck_assert_int_eq(d->label[i], label_at(file, record));
    is_pixels(d, i, file, record);
}

/* ---- good files ---- */

START_TEST(planes_become_channels_of_a_pixel)
{
    static const float mean[] = { .4914f, .4822f, .4465f }, std[] = { .247f, .2435f,
                                                                      .2616f };
    loads(WRITTEN, WRITTEN);
    ck_assert_int_eq(train.n, WRITTEN);
    ck_assert_int_eq(test.n, WRITTEN);
    for (int i = 0; i < WRITTEN; i++) {
        is_record(&train, i, 0, i);
        is_record(&test, i, TEST, i);
    }
    ck_assert_int_eq(train.h, SIDE);
    ck_assert_int_eq(train.w, SIDE);
    ck_assert_int_eq(train.c, 3);
    ck_assert_int_eq(train.classes, 10);
    ck_assert_ptr_null(train.factor);
    ck_assert_mem_eq(train.mean, mean, sizeof mean);
    ck_assert_mem_eq(train.std, std, sizeof std);
    ck_assert_mem_eq(test.mean, mean, sizeof mean);
}
END_TEST

START_TEST(the_files_follow_each_other_to_the_last_record)
{
    loads(0, 0);
    ck_assert_int_eq(train.n, 5 * RECORDS);
    ck_assert_int_eq(test.n, RECORDS);
    for (int file = 0; file < 5; file++) {
        is_record(&train, file * RECORDS, file, 0);
        is_record(&train, file * RECORDS + RECORDS - 1, file, RECORDS - 1);
    }
    is_record(&test, RECORDS - 1, TEST, RECORDS - 1);
}
END_TEST

START_TEST(a_limit_ends_within_a_file_or_with_it)
{
    loads(RECORDS + 2, 1);
    ck_assert_int_eq(train.n, RECORDS + 2);
    ck_assert_int_eq(test.n, 1);
    is_record(&train, RECORDS + 1, 1, 1);
    loads(RECORDS, 20 * RECORDS);                       /* more than there are: all */
    ck_assert_int_eq(train.n, RECORDS);
    ck_assert_int_eq(test.n, RECORDS);
    loads(20 * RECORDS, 1);
    ck_assert_int_eq(train.n, 5 * RECORDS);
}
END_TEST

START_TEST(files_behind_the_limit_need_not_be_there)
{
    data_settings s = settings(RECORDS, 1);
    char where[256], text[512];
    const data_source *set = data_source_find("cifar10");

    for (int i = 1; i < 5; i++)
        remove(path_of(files[i]));
    loads(RECORDS, 1);
    ck_assert_int_eq(set->present(&s, where, sizeof where), 1);
    nn_arena_reset(&arena);
    snprintf(text, sizeof text, "%%s/data_batch_2.bin: missing beside the other files of "
             "cifar10; %s", how);
    fails_with(RECORDS + 1, text);
    s.limit = RECORDS + 1;
    ck_assert_int_eq(set->present(&s, where, sizeof where), 0);
}
END_TEST

/* A label that cannot be, right behind the limit, is not seen. */
START_TEST(records_behind_the_limit_are_not_read)
{
    FILE *f = fopen(path_of(files[0]), "r+b");
    ck_assert_int_eq(fseek(f, 2L * RECORD, SEEK_SET), 0);
    fputc(10, f);
    fclose(f);
    loads(2, 1);
    nn_arena_reset(&arena);
    fails_with(3, "%s/data_batch_1.bin: label 10 of record 2 is outside 0..9; "
               "replace the file");
}
END_TEST

/* ---- a choice of batches ---- */

START_TEST(any_batches_are_read_in_the_order_told)
{
    data_settings s = settings(RECORDS + 2, 1);
    char where[256];
    const data_source *set = data_source_find("cifar10");

    s.batches = " 4, 2 ";
    for (int i = 0; i < 5; i++)
        if (i != 1 && i != 3)
            remove(path_of(files[i]));
    ck_assert_int_eq(set->present(&s, where, sizeof where), 1);
    ck_assert_msg(data_load(&s, 0, &arena, &train, &test, &err) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n, RECORDS + 2);
    is_record(&train, 0, 3, 0);
    is_record(&train, RECORDS - 1, 3, RECORDS - 1);
    is_record(&train, RECORDS + 1, 1, 1);
    nn_arena_reset(&arena);
    s.limit = 0;
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_OK);
    ck_assert_int_eq(train.n, 2 * RECORDS);
    nn_arena_reset(&arena);
    s.batches = "1,2";
    ck_assert_int_eq(set->present(&s, where, sizeof where), 0);
}
END_TEST

START_TEST(what_is_no_choice_of_batches_is_refused)
{
    static const char *const bad[] = { "0", "6", "1,", "1,1", "1 2", "a", ",1", "12",
                                       "1,2,3,4,5,1" };
    data_settings s = settings(0, 0);
    char want[256];

    for (size_t i = 0; i < NN_COUNT(bad); i++) {
        s.batches = bad[i];
        snprintf(want, sizeof want, "data.batches: '%s' is no choice of 1 to 5, each once, "
                 "as in 1,3", bad[i]);
        ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_ECONFIG);
        ck_assert_str_eq(err.text, want);
    }
}
END_TEST

/* ---- CIFAR-100 ---- */

enum { RECORD100 = 2 + 3 * PLANE };

/* `records` of them, the rest a hole; coarse and fine label of the first are 3 and 42. */
static void make_hundred(const char *file, int records)
{
    FILE *f = fopen(path_of(file), "wb");
    uint8_t bytes[RECORD100] = { 3, 42 };

    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < 3 * PLANE; i++)
        bytes[2 + i] = pixel_at(7, 0, i / PLANE, i % PLANE / SIDE, i % SIDE);
    ck_assert_uint_eq(fwrite(bytes, RECORD100, 1, f), 1);
    ck_assert_int_eq(ftruncate(fileno(f), (off_t)records * RECORD100), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void make_hundred_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/fullrank-cifar-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    unsetenv("FULLRANK_DATA");
    make_hundred("train.bin", 50000);
    make_hundred("test.bin", 10000);
}

static void drop_hundred_folder(void)
{
    remove(path_of("train.bin"));
    remove(path_of("test.bin"));
    drop_folder();
}

static nn_status load_hundred(int labels, int limit)
{
    data_settings s = settings(limit, 1);
    s.name = "cifar100";
    s.labels = labels;
    err.text[0] = 0;
    return data_load(&s, 0, &arena, &train, &test, &err);
}

START_TEST(a_hundred_classes_are_twenty_groups)
{
    ck_assert_msg(load_hundred(DATA_FINE, 2) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n, 2);
    ck_assert_int_eq(train.classes, 100);
    ck_assert_int_eq(train.label[0], 42);
    ck_assert_str_eq(train.names[42], "leopard");
    ck_assert_str_eq(train.names[99], "worm");
    ck_assert_ptr_null(train.names[100]);
    is_pixels(&train, 0, 7, 0);
    is_pixels(&test, 0, 7, 0);
    nn_arena_reset(&arena);
    ck_assert_int_eq(load_hundred(DATA_COARSE, 2), NN_OK);
    ck_assert_int_eq(train.classes, 20);
    ck_assert_int_eq(train.label[0], 3);
    ck_assert_str_eq(train.names[3], "food_containers");
    ck_assert_str_eq(test.names[19], "vehicles_2");
    ck_assert_ptr_null(train.names[20]);
    nn_arena_reset(&arena);
    ck_assert_int_eq(load_hundred(DATA_FINE, 0), NN_OK);
    ck_assert_int_eq(train.n, 50000);
}
END_TEST

static void hundred_fails_with(int labels, const char *format)
{
    char want[1024];

    ck_assert_int_eq(load_hundred(labels, 1), NN_EDATA);
    snprintf(want, sizeof want, format, folder);
    ck_assert_str_eq(err.text, want);
    ck_assert_uint_eq(nn_arena_mark(&arena), 0);
}

START_TEST(either_label_of_a_record_can_be_wrong)
{
    FILE *f = fopen(path_of("train.bin"), "r+b");
    fputc(20, f);
    fputc(100, f);
    fclose(f);
    hundred_fails_with(DATA_FINE, "%s/train.bin: label 100 of record 0 is outside 0..99; "
                       "replace the file");
    hundred_fails_with(DATA_COARSE, "%s/train.bin: label 20 of record 0 is outside 0..19; "
                       "replace the file");
}
END_TEST

START_TEST(files_of_the_other_set_are_known)
{
    data_settings s = settings(1, 1);
    char want[512];

    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_EDATA);
    snprintf(want, sizeof want, "%s: holds the files of cifar100, not of cifar10; set "
             "data.name to cifar100, or name another folder", folder);
    ck_assert_str_eq(err.text, want);
    make_file(0);
    make_file(TEST);
    snprintf(want, sizeof want, "%s", path_of(files[TEST]));
    ck_assert_int_eq(rename(want, path_of("test.bin")), 0);
    hundred_fails_with(DATA_FINE, "%s/test.bin: has the size of data_batch_1.bin of "
                       "cifar10; replace the file, or set data.name to cifar10");
    make_hundred(files[0], 10000);
    fails_with(1, "%s/data_batch_1.bin: has the size of test.bin of cifar100; replace the "
               "file, or set data.name to cifar100");
}
END_TEST

START_TEST(an_archive_is_to_be_unpacked)
{
    remove(path_of("train.bin"));
    remove(path_of("test.bin"));
    FILE *f = fopen(path_of("cifar-100-binary.tar.gz"), "wb");
    fclose(f);
    load_hundred(DATA_FINE, 1);
    remove(path_of("cifar-100-binary.tar.gz"));
    char want[512];
    snprintf(want, sizeof want, "%s/cifar-100-binary.tar.gz: the archive of cifar100 is not "
             "read; unpack it with `tar -xzf cifar-100-binary.tar.gz` there", folder);
    ck_assert_str_eq(err.text, want);
    load_hundred(DATA_FINE, 1);
    snprintf(want, sizeof want, "data set cifar100: no files found; looked in "
             "%s/cifar-100-binary, %s/cifar100, %s; put train.bin and test.bin (CIFAR-100's "
             "binary version, unpacked) into a folder and name it in data.dir or "
             "$FULLRANK_DATA", folder, folder, folder);
    ck_assert_str_eq(err.text, want);
}
END_TEST

START_TEST(a_pipe_is_refused_and_not_waited_for)
{
    remove(path_of("train.bin"));
    ck_assert_int_eq(mkfifo(path_of("train.bin"), 0600), 0);
    hundred_fails_with(DATA_FINE, "%s/train.bin: not a regular file; put the data set's "
                       "file in its place");
}
END_TEST

/* ---- where files are looked for ---- */

/* Moves the files into a folder below. */
static void make_sub_folder(const char *name)
{
    char from[600], to[600];

    ck_assert_int_eq(mkdir(path_of(name), 0700), 0);
    for (int i = 0; i < FILES; i++) {
        snprintf(from, sizeof from, "%s", path_of(files[i]));
        snprintf(to, sizeof to, "%s/%s/%s", folder, name, files[i]);
        ck_assert_int_eq(rename(from, to), 0);
    }
}

/* Where the set is found: `want` below the folder, "" for the folder itself. */
static void is_found_in(const char *dir, const char *want)
{
    data_settings s = settings(0, 0);
    char where[256] = "", full[256];

    s.dir = dir;
    snprintf(full, sizeof full, "%s%s", folder, want);
    ck_assert_int_eq(data_source_find("cifar10")->present(&s, where, sizeof where), 1);
    ck_assert_str_eq(where, full);
}

START_TEST(files_are_found_in_the_folder_or_in_one_named_after_the_set)
{
    static const char *const below[] = { "", "/cifar10", "/cifar-10-batches-bin" };

    if (_i > 0)
        make_sub_folder(below[_i] + 1);
    is_found_in(folder, below[_i]);
    loads(1, 1);
    setenv("FULLRANK_DATA", folder, 1);
    is_found_in("", below[_i]);
    is_found_in("/nowhere", below[_i]);
    unsetenv("FULLRANK_DATA");
}
END_TEST

START_TEST(the_environment_comes_before_the_config)
{
    char below[600];

    make_sub_folder("elsewhere");
    snprintf(below, sizeof below, "%s", path_of("elsewhere"));
    for (int i = 0; i < FILES; i++)
        make_file(i);
    setenv("FULLRANK_DATA", below, 1);
    is_found_in(folder, "/elsewhere");
    setenv("FULLRANK_DATA", folder, 1);
    is_found_in(below, "");
    setenv("FULLRANK_DATA", "/usr/share", 1);           /* gives way: no files there */
    is_found_in(below, "/elsewhere");
    unsetenv("FULLRANK_DATA");
}
END_TEST

/* ---- broken files ---- */

START_TEST(an_empty_folder_says_how_to_get_the_set)
{
    char text[1024];

    drop_files("");
    mkdir(folder, 0700);
    snprintf(text, sizeof text, "data set cifar10: no files found; looked in "
             "%%s/cifar-10-batches-bin, %%s/cifar10, %%s; %s", how);
    fails_with(0, text);
}
END_TEST

START_TEST(nothing_named_says_how_to_get_the_set)
{
    data_settings s = settings(0, 0);
    char want[512];

    s.dir = "";
    snprintf(want, sizeof want, "data set cifar10: no files found; %s", how);
    ck_assert_int_eq(data_load(&s, 0, &arena, &train, &test, &err), NN_EDATA);
    ck_assert_str_eq(err.text, want);
}
END_TEST

static void pack(int file)
{
    char packed[600];

    snprintf(packed, sizeof packed, "%s.xz", path_of(files[file]));
    ck_assert_int_eq(rename(path_of(files[file]), packed), 0);
}

START_TEST(packed_files_are_to_be_unpacked)
{
    data_settings s = settings(0, 0);
    char where[256];

    for (int i = 0; i < FILES; i++)
        pack(i);
    fails_with(0, "%s: holds the files of cifar10 packed only; unpack them with "
               "`xz -dk *.bin.xz` there, or in a copy of the folder");
    ck_assert_int_eq(data_source_find("cifar10")->present(&s, where, sizeof where), 0);
}
END_TEST

START_TEST(one_packed_file_is_named)
{
    pack(TEST);
    fails_with(1, "%s/test_batch.bin: missing beside the other files of cifar10; "
               "unpack it with `xz -dk %s/test_batch.bin.xz`");
}
END_TEST

START_TEST(one_missing_file_is_named)
{
    char text[512];

    remove(path_of(files[TEST]));
    snprintf(text, sizeof text, "%%s/test_batch.bin: missing beside the other files of "
             "cifar10; %s", how);
    fails_with(1, text);
}
END_TEST

START_TEST(a_folder_in_place_of_a_file_is_refused)
{
    remove(path_of(files[0]));
    ck_assert_int_eq(mkdir(path_of(files[0]), 0700), 0);
    fails_with(1, "%s/data_batch_1.bin: not a regular file; put the data set's file in "
               "its place");
}
END_TEST

/* Even a limit of one record wants a whole file: a damaged one is better known today. */
START_TEST(a_file_of_another_size_is_refused)
{
    ck_assert_int_eq(truncate(path_of(files[0]), whole - RECORD), 0);
    fails_with(1, "%s/data_batch_1.bin: ends too early: 30726927 bytes, wanted 30730000 "
               "(10000 records of 3073); replace the file");
    ck_assert_int_eq(truncate(path_of(files[0]), 0), 0);
    fails_with(1, "%s/data_batch_1.bin: ends too early: 0 bytes, wanted 30730000 "
               "(10000 records of 3073); replace the file");
    ck_assert_int_eq(truncate(path_of(files[0]), whole + 1), 0);
    fails_with(1, "%s/data_batch_1.bin: too long: 30730001 bytes, wanted 30730000 "
               "(10000 records of 3073); replace the file");
}
END_TEST

START_TEST(a_label_outside_the_classes_is_refused)
{
    FILE *f = fopen(path_of(files[TEST]), "r+b");
    fputc(255, f);
    fclose(f);
    fails_with(1, "%s/test_batch.bin: label 255 of record 0 is outside 0..9; replace the "
               "file");
}
END_TEST

START_TEST(a_file_that_may_not_be_read_is_named)
{
    if (geteuid() == 0) {
        printf("skipped: root may read any file\n");
        return;
    }
    ck_assert_int_eq(chmod(path_of(files[0]), 0), 0);
    fails_with(1, "%s/data_batch_1.bin: cannot be read: Permission denied");
}
END_TEST

/* ---- the real set ---- */

/* Mean and deviation over all training pixels, per channel, in exact integers. */
static void measure(int channel, double *mean, double *deviation)
{
    uint64_t sum = 0, square = 0, n = (uint64_t)train.n * PLANE;

    for (uint64_t i = 0; i < n; i++) {
        uint64_t v = train.pixel[3 * i + channel];
        sum += v;
        square += v * v;
    }
    *mean = (double)sum / n / 255;
    *deviation = sqrt((double)square / n / 255 / 255 - *mean * *mean);
}

START_TEST(the_real_set_has_the_published_counts_and_moments)
{
    static const double mean[] = { .4914, .4822, .4465 }, std[] = { .2470, .2435, .2616 };
    data_settings s = settings(0, 0);
    int count[10] = { 0 }, test_count[10] = { 0 };
    char where[256];

    s.dir = "../shared/data";
    if (!data_source_find("cifar10")->present(&s, where, sizeof where)) {
        printf("skipped: no unpacked CIFAR-10 in $FULLRANK_DATA or ../shared/data\n");
        return;
    }
    ck_assert_msg(data_load(&s, 0, &arena, &train, &test, &err) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n, 50000);
    ck_assert_int_eq(test.n, 10000);
    for (int i = 0; i < train.n; i++)
        count[train.label[i]]++;
    for (int i = 0; i < test.n; i++)
        test_count[test.label[i]]++;
    for (int k = 0; k < 10; k++) {
        ck_assert_int_eq(count[k], 5000);
        ck_assert_int_eq(test_count[k], 1000);
    }
    for (int j = 0; j < 3; j++) {                       /* published to four digits */
        double m, deviation;
        measure(j, &m, &deviation);
        ck_assert_double_eq_tol(m, mean[j], 0.00005);
        ck_assert_double_eq_tol(deviation, std[j], 0.00005);
    }
    /* the first pictures are a frog and a truck, the first of the test a cat */
    const char *const *name = data_source_find("cifar10")->labels;
    ck_assert_str_eq(name[train.label[0]], "frog");
    ck_assert_str_eq(name[train.label[1]], "truck");
    ck_assert_str_eq(name[test.label[0]], "cat");
}
END_TEST

/* The names are the lines of batches.meta.txt, which comes with the files. */
START_TEST(classes_have_the_published_names_and_the_recipe_is_simsiams)
{
    static const char *const name[] = { "airplane", "automobile", "bird", "cat", "deer",
                                        "dog", "frog", "horse", "ship", "truck" };
    const data_source *set = data_source_find("cifar10");

    for (int k = 0; k < 10; k++)
        ck_assert_str_eq(set->labels[k], name[k]);
    ck_assert_ptr_null(set->labels[10]);
    ck_assert_str_eq(set->recipe, "simsiam_cifar");
}
END_TEST

Suite *suite_cifar(void)
{
    Suite *s = suite_create("cifar");
    TCase *good = tcase_create("files"), *bad = tcase_create("broken files");
    TCase *real = tcase_create("real set");
    TCase *hundred = tcase_create("CIFAR-100");

    tcase_add_checked_fixture(good, make_folder, drop_folder);
    tcase_add_test(good, planes_become_channels_of_a_pixel);
    tcase_add_test(good, the_files_follow_each_other_to_the_last_record);
    tcase_add_test(good, a_limit_ends_within_a_file_or_with_it);
    tcase_add_test(good, files_behind_the_limit_need_not_be_there);
    tcase_add_test(good, records_behind_the_limit_are_not_read);
    tcase_add_loop_test(good, files_are_found_in_the_folder_or_in_one_named_after_the_set,
                        0, 3);
    tcase_add_test(good, the_environment_comes_before_the_config);
    tcase_add_test(good, any_batches_are_read_in_the_order_told);
    tcase_add_test(good, what_is_no_choice_of_batches_is_refused);
    suite_add_tcase(s, good);

    tcase_add_checked_fixture(hundred, make_hundred_folder, drop_hundred_folder);
    tcase_add_test(hundred, a_hundred_classes_are_twenty_groups);
    tcase_add_test(hundred, either_label_of_a_record_can_be_wrong);
    tcase_add_test(hundred, files_of_the_other_set_are_known);
    tcase_add_test(hundred, an_archive_is_to_be_unpacked);
    tcase_add_test(hundred, a_pipe_is_refused_and_not_waited_for);
    suite_add_tcase(s, hundred);

    tcase_add_checked_fixture(bad, make_folder, drop_folder);
    tcase_add_test(bad, an_empty_folder_says_how_to_get_the_set);
    tcase_add_test(bad, nothing_named_says_how_to_get_the_set);
    tcase_add_test(bad, packed_files_are_to_be_unpacked);
    tcase_add_test(bad, one_packed_file_is_named);
    tcase_add_test(bad, one_missing_file_is_named);
    tcase_add_test(bad, a_folder_in_place_of_a_file_is_refused);
    tcase_add_test(bad, a_file_of_another_size_is_refused);
    tcase_add_test(bad, a_label_outside_the_classes_is_refused);
    tcase_add_test(bad, a_file_that_may_not_be_read_is_named);
    suite_add_tcase(s, bad);

    tcase_add_test(real, the_real_set_has_the_published_counts_and_moments);
    tcase_add_test(real, classes_have_the_published_names_and_the_recipe_is_simsiams);
    suite_add_tcase(s, real);
    return s;
}
