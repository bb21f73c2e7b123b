#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"
#include "tests/suites.h"

/* The reader of STL-10 against files that the test makes: of the official sizes, because
 * the reader takes no other, but with few images written and a hole behind them, which
 * takes no room on the disk and reads as zeros. */

enum {
    SIDE = 96, PLANE = SIDE * SIDE, IMAGE = 3 * PLANE, FILES = 5,
    TRAIN_X = 0, TRAIN_Y, TEST_X, TEST_Y, UNLABELED_X, WRITTEN = 3
};

static const char *const files[FILES] = {
    "train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin"
};
static const int count[FILES] = { 5000, 5000, 8000, 8000, 100000 };

static const char how[] =
    "put train_X.bin, train_y.bin, test_X.bin, test_y.bin and, for data.split = unlabeled, "
    "unlabeled_X.bin (STL-10's binary version, unpacked) into a folder and name it in "
    "data.dir or $FULLRANK_DATA";

static char folder[64];
static nn_arena arena;
static data_images train, test;
static data_settings set;
static nn_err err;

static const char *path_of(const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return path;
}

/* No two of image, channel, row and column near each other give the same. */
static uint8_t pixel_at(int file, int image, int channel, int row, int column)
{
    return (uint8_t)(97 * file + 31 * image + 11 * channel + 7 * row + 3 * column);
}

static uint8_t label_at(int file, int image)
{
    return (uint8_t)(1 + (file + image) % 10);
}

/* Plane by plane, column by column, as the authors' page has it. */
static void write_image(FILE *f, int file, int image)
{
    for (int channel = 0; channel < 3; channel++)
        for (int column = 0; column < SIDE; column++)
            for (int row = 0; row < SIDE; row++)
                putc(pixel_at(file, image, channel, row, column), f);
}

static void make_file(int file)
{
    const int labels = file == TRAIN_Y || file == TEST_Y;
    FILE *f = fopen(path_of(files[file]), "wb");

    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < (labels ? count[file] : WRITTEN); i++)
        if (labels)
            putc(label_at(file, i), f);
        else
            write_image(f, file, i);
    fflush(f);
    ck_assert_int_eq(ftruncate(fileno(f), (off_t)count[file] * (labels ? 1 : IMAGE)), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/fullrank-stl10-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    unsetenv("FULLRANK_DATA");
    for (int i = 0; i < FILES; i++)
        make_file(i);
    nn_setting_defaults(data_setting_table, &set);
    set.name = "stl10";
    set.dir = folder;
    set.test_limit = 2;
}

static void drop_folder(void)
{
    for (int i = 0; i < FILES; i++)
        remove(path_of(files[i]));
    rmdir(folder);
    nn_arena_free(&arena);
}

static nn_status load(int split, int limit)
{
    set.split = split;
    set.limit = limit;
    err.text[0] = 0;
    return data_load(&set, 0, &arena, &train, &test, &err);
}

static void loads(int split, int limit)
{
    ck_assert_msg(load(split, limit) == NN_OK, "%s", err.text);
}

/* Loading fails with this text; %s in it stands for the folder. */
static void fails_with(int split, int limit, const char *text)
{
    char want[1024];
    nn_status got = load(split, limit);

    snprintf(want, sizeof want, text, folder, folder, folder);
    ck_assert_str_eq(err.text, want);
    ck_assert_int_eq(got, NN_EDATA);
    ck_assert_uint_eq(nn_arena_mark(&arena), 0);        /* nothing is left lying about */
}

static void is_image(const data_images *d, int i, int file, int image)
{
    const uint8_t *p = data_pixel_at(d, i);

    for (int row = 0; row < SIDE; row++)
        for (int column = 0; column < SIDE; column++)
            for (int channel = 0; channel < 3; channel++)
                ck_assert_int_eq(*p++, pixel_at(file, image, channel, row, column));
}

START_TEST(columns_of_planes_become_rows_of_pixels)
{
    loads(DATA_AUTO, WRITTEN);
    ck_assert_int_eq(train.n, WRITTEN);
    ck_assert_int_eq(test.n, 2);
    ck_assert_int_eq(train.h, SIDE);
    ck_assert_int_eq(train.w, SIDE);
    ck_assert_int_eq(train.c, 3);
    ck_assert_int_eq(train.classes, 10);
    ck_assert_int_eq(train.unlabelled, 0);
    ck_assert_str_eq(train.names[7], "monkey");
    for (int i = 0; i < WRITTEN; i++) {
        is_image(&train, i, TRAIN_X, i);
        ck_assert_int_eq(train.label[i], label_at(TRAIN_Y, i) - 1);
    }
    is_image(&test, 1, TEST_X, 1);
    ck_assert_int_eq(test.label[1], label_at(TEST_Y, 1) - 1);
    ck_assert_float_gt(train.std[2], 0);
    ck_assert_mem_eq(test.mean, train.mean, sizeof test.mean);
}
END_TEST

START_TEST(images_without_a_label_come_last)
{
    loads(DATA_BOTH, count[TRAIN_X] + WRITTEN);
    ck_assert_int_eq(train.n, count[TRAIN_X] + WRITTEN);
    ck_assert_int_eq(train.unlabelled, WRITTEN);
    ck_assert_int_eq(data_labelled(&train), count[TRAIN_X]);
    ck_assert_int_eq(train.label[count[TRAIN_X] - 1],
                     label_at(TRAIN_Y, count[TRAIN_X] - 1) - 1);
    for (int i = 0; i < WRITTEN; i++) {
        is_image(&train, i, TRAIN_X, i);
        is_image(&train, count[TRAIN_X] + i, UNLABELED_X, i);
        ck_assert_int_eq(train.label[count[TRAIN_X] + i], 0);
    }
    ck_assert_int_eq(test.unlabelled, 0);
}
END_TEST

START_TEST(the_part_without_labels_stands_alone)
{
    loads(DATA_UNLABELED, WRITTEN);
    ck_assert_int_eq(train.n, WRITTEN);
    ck_assert_int_eq(train.unlabelled, WRITTEN);
    ck_assert_int_eq(train.classes, 10);
    is_image(&train, 2, UNLABELED_X, 2);
}
END_TEST

START_TEST(files_behind_the_limit_need_not_be_there)
{
    char where[256], text[512];
    const data_source *source = data_source_find("stl10");

    remove(path_of(files[UNLABELED_X]));
    loads(DATA_BOTH, 10);
    ck_assert_int_eq(source->present(&set, where, sizeof where), 1);
    ck_assert_str_eq(where, folder);
    nn_arena_reset(&arena);
    snprintf(text, sizeof text, "%%s/unlabeled_X.bin: missing beside the other files of "
             "stl10; %s", how);
    fails_with(DATA_UNLABELED, 1, text);
    ck_assert_int_eq(source->present(&set, where, sizeof where), 0);
    make_file(UNLABELED_X);
    remove(path_of(files[TRAIN_Y]));
    loads(DATA_UNLABELED, 1);
}
END_TEST

START_TEST(a_split_of_another_set_is_refused)
{
    ck_assert_int_eq(load(DATA_LETTERS, 1), NN_ECONFIG);
    ck_assert_str_eq(err.text, "data.split: stl10 has train, unlabeled and "
                     "train+unlabeled; choose one of them");
}
END_TEST

START_TEST(labels_count_from_one)
{
    FILE *f = fopen(path_of(files[TRAIN_Y]), "r+b");
    fputc(0, f);
    fputc(11, f);
    fclose(f);
    fails_with(DATA_TRAIN, 2, "%s/train_y.bin: label 0 of image 0 is outside 1..10; "
               "replace the file");
    f = fopen(path_of(files[TRAIN_Y]), "r+b");
    fputc(1, f);
    fclose(f);
    fails_with(DATA_TRAIN, 2, "%s/train_y.bin: label 11 of image 1 is outside 1..10; "
               "replace the file");
    loads(DATA_TRAIN, 1);
}
END_TEST

START_TEST(a_file_of_another_size_is_refused)
{
    ck_assert_int_eq(truncate(path_of(files[UNLABELED_X]), 2764800000 - 1), 0);
    fails_with(DATA_UNLABELED, 1, "%s/unlabeled_X.bin: ends too early: 2764799999 bytes, "
               "wanted 2764800000 (100000 records of 27648); replace the file");
    ck_assert_int_eq(truncate(path_of(files[TEST_Y]), 8001), 0);
    fails_with(DATA_TRAIN, 1, "%s/test_y.bin: too long: 8001 bytes, wanted 8000 (8000 "
               "records of 1); replace the file");
}
END_TEST

START_TEST(an_empty_folder_says_how_to_get_the_set)
{
    char text[1024];

    for (int i = 0; i < FILES; i++)
        remove(path_of(files[i]));
    snprintf(text, sizeof text, "data set stl10: no files found; looked in "
             "%%s/stl10_binary, %%s/stl10, %%s; %s", how);
    fails_with(DATA_TRAIN, 1, text);
    fclose(fopen(path_of("stl10_binary.tar.gz"), "wb"));
    fails_with(DATA_TRAIN, 1, "%s/stl10_binary.tar.gz: the archive of stl10 is not read; "
               "unpack it with `tar -xzf stl10_binary.tar.gz` there");
    remove(path_of("stl10_binary.tar.gz"));
}
END_TEST

Suite *suite_stl10(void)
{
    Suite *s = suite_create("stl10");
    TCase *c = tcase_create("files");

    tcase_add_checked_fixture(c, make_folder, drop_folder);
    tcase_add_test(c, columns_of_planes_become_rows_of_pixels);
    tcase_add_test(c, images_without_a_label_come_last);
    tcase_add_test(c, the_part_without_labels_stands_alone);
    tcase_add_test(c, files_behind_the_limit_need_not_be_there);
    tcase_add_test(c, a_split_of_another_set_is_refused);
    tcase_add_test(c, labels_count_from_one);
    tcase_add_test(c, a_file_of_another_size_is_refused);
    tcase_add_test(c, an_empty_folder_says_how_to_get_the_set);
    suite_add_tcase(s, c);
    return s;
}
