/* `fullrank data`: sets that the test writes, with copies, odd images and broken files in
 * known places, and what each command makes of them. */
#include <check.h>
#include <glob.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/data.h"
#include "data/image.h"
#include "tests/program.h"
#include "tests/suites.h"

#define E8 "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
#define LONG_NAME E8 E8 E8 E8 E8

/* ---- a small set in MNIST's files ---------------------------------------------------- */

enum {
    SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10, TRAIN = 24, TEST = 12,
    ONE_COLOUR = 60                     /* of training image 9 */
};

typedef struct planted { uint8_t pixel[PIXELS], label; } planted;
static planted images[2][TRAIN];

/* Images with another offset each: 37 and 200 have no common factor. */
static planted plain(int number)
{
    planted p = { .label = (uint8_t)(number % CLASSES) };
    for (int k = 0; k < PIXELS; k++)
        p.pixel[k] = (uint8_t)((37 * number + 11 * k + 5 * (k / SIDE)) % 200);
    return p;
}

static void put32(uint8_t *to, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(x >> 8 * (3 - i));
}

static void write_part(const char *dir, const char *name, const planted *p, int n)
{
    uint8_t head[16], *body = malloc((size_t)n * PIXELS + sizeof head);
    char file[512];

    put32(head, 0x803);
    put32(head + 4, (uint32_t)n);
    put32(head + 8, SIDE);
    put32(head + 12, SIDE);
    memcpy(body, head, sizeof head);
    for (int i = 0; i < n; i++)
        memcpy(body + 16 + (size_t)i * PIXELS, p[i].pixel, PIXELS);
    snprintf(file, sizeof file, "%s/%s-images-idx3-ubyte", dir, name);
    program_put(file, body, 16 + (size_t)n * PIXELS);
    put32(body, 0x801);
    for (int i = 0; i < n; i++)
        body[8 + i] = p[i].label;
    snprintf(file, sizeof file, "%s/%s-labels-idx1-ubyte", dir, name);
    program_put(file, body, 8 + (size_t)n);
    free(body);
}

/* Training images 7 and 8 are 3, one with its label; 9 has one colour.  Test image 4 is
 * test image 1, and 2 is training image 5. */
static void write_set(const char *dir)
{
    for (int i = 0; i < TRAIN; i++)
        images[0][i] = plain(i);
    for (int i = 0; i < TEST; i++)
        images[1][i] = plain(i + 100);
    memcpy(images[0][7].pixel, images[0][3].pixel, PIXELS);
    images[0][8] = images[0][3];
    memset(images[0][9].pixel, ONE_COLOUR, PIXELS);
    images[1][4] = images[1][1];
    memcpy(images[1][2].pixel, images[0][5].pixel, PIXELS);
    ck_assert_int_eq(mkdir(dir, 0777), 0);
    write_part(dir, "train", images[0], TRAIN);
    write_part(dir, "t10k", images[1], TEST);
}

/* ---- what was printed ---------------------------------------------------------------- */

static json_t *object_of(program_result r, int code)
{
    ck_assert_msg(r.exit == code, "exit %d: %s", r.exit, r.err);
    return program_parse(r.out);
}

static json_t *at(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    ck_assert_msg(v, "no key '%s'", key);
    return v;
}

static long long whole(const json_t *o, const char *key)
{
    ck_assert_msg(json_is_integer(at(o, key)), "%s is no whole number", key);
    return json_integer_value(at(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    ck_assert_msg(json_is_string(at(o, key)), "%s is no text", key);
    return json_string_value(at(o, key));
}

static void says(const char *all, const char *part)
{
    ck_assert_msg(strstr(all, part), "'%s' is not in:\n%s", part, all);
}

static int present(const char *pattern)
{
    glob_t found;
    int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    if (n)
        globfree(&found);
    return n;
}

static data_settings settings(const char *name, const char *dir)
{
    data_settings s;
    nn_setting_defaults(data_setting_table, &s);
    s.name = name;
    s.dir = dir;
    return s;
}

/* ---- list and fetch-help ------------------------------------------------------------- */

START_TEST(list_has_every_set_and_where_it_lies)
{
    char line[64];

    write_set("mnist");
    setenv("FULLRANK_DATA", ".", 1);
    program_result r = program("data", "list", NULL);
    const json_t *sets = at(object_of(program("data", "list", "--json", NULL), 0), "sets");
    ck_assert_int_eq(r.exit, 0);
    ck_assert_int_eq((int)json_array_size(sets), data_source_count());
    for (int i = 0; i < data_source_count(); i++) {
        const json_t *o = json_array_get(sets, (size_t)i);
        ck_assert_str_eq(text(o, "name"), data_source_at(i)->name);
        snprintf(line, sizeof line, "\n%s ", data_source_at(i)->name);
        says(r.out, line);
        if (strcmp(text(o, "name"), "mnist") == 0) {
            ck_assert(json_is_true(at(o, "here")));
            ck_assert_str_eq(text(o, "where"), "./mnist");
            ck_assert_int_eq(whole(o, "train"), 60000);
            ck_assert(json_is_null(at(o, "get")));
        }
    }
    says(r.out, "\nmnist              60000 / 10000  28 x 28 x 1      10  ./mnist\n");
    says(r.out, "\nshapes              10000 / 2000  32 x 32 x 3      10  built in\n");
}
END_TEST

START_TEST(fetch_help_tells_files_places_and_commands)
{
    for (int i = 0; i < data_source_count(); i++) {
        const data_source *d = data_source_at(i);
        program_result r = program("data", "fetch-help", d->name, NULL);
        ck_assert_int_eq(r.exit, 0);
        ck_assert_int_eq(strncmp(r.out, d->name, strlen(d->name)), 0);
        for (const data_file *f = d->files; f && f->name; f++) {
            says(r.out, f->name);
            says(r.out, f->md5 ? f->md5 : "-");
        }
        if (d->origin)
            says(r.out, d->origin);
        if (d->files)
            says(r.out, "This program downloads nothing");
    }
    ck_assert_str_eq(program("data", "fetch-help", "shapes", NULL).out,
                     "shapes: drawn figures, known factors, RGB 32 x 32, 10 classes\n"
                     "It is built in and needs no files.\n");
}
END_TEST

/* ---- check --------------------------------------------------------------------------- */

/* Two passes over the planted images, on the scale 0 to 1. */
static void mean_and_std(double *mean, double *std)
{
    double sum = 0, squares = 0;

    for (int i = 0; i < TRAIN; i++)
        for (int k = 0; k < PIXELS; k++)
            sum += images[0][i].pixel[k] / 255.0;
    *mean = sum / (TRAIN * PIXELS);
    for (int i = 0; i < TRAIN; i++)
        for (int k = 0; k < PIXELS; k++)
            squares += pow(images[0][i].pixel[k] / 255.0 - *mean, 2);
    *std = sqrt(squares / (TRAIN * PIXELS));
}

static double first_of(const json_t *o, const char *key)
{
    return json_number_value(json_array_get(at(o, key), 0));
}

static void pairs(const json_t *o, const char *where, int count, int other,
                  const int (*want)[2])
{
    const json_t *c = at(at(o, "copies"), where), *list = at(c, "pairs");

    ck_assert_int_eq(whole(c, "images"), count);
    ck_assert_int_eq(whole(c, "other_label"), other);
    ck_assert_int_eq((int)json_array_size(list), count);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 2; k++)
            ck_assert_int_eq(json_integer_value(json_array_get(
                                 json_array_get(list, (size_t)i), (size_t)k)),
                             want[i][k]);
}

START_TEST(check_measures_and_finds_every_copy)
{
    const int in_train[][2] = { { 3, 7 }, { 3, 8 } }, in_test[][2] = { { 1, 4 } },
              across[][2] = { { 5, 2 } };
    int count[CLASSES] = {0};
    double mean, std;

    write_set("mnist");
    const json_t *o = object_of(program("data", "check", "mnist", "data.dir=.", "--json",
                                        NULL), 0);
    const json_t *train = at(o, "train");
    ck_assert_int_eq(whole(o, "exit"), 0);
    ck_assert_str_eq(text(o, "where"), "./mnist");
    ck_assert_int_eq(whole(train, "images"), TRAIN);
    ck_assert_int_eq(whole(at(o, "test"), "images"), TEST);
    for (int i = 0; i < TRAIN; i++)
        count[images[0][i].label]++;
    for (int k = 0; k < CLASSES; k++)
        ck_assert_int_eq(whole(json_array_get(at(train, "classes"), (size_t)k), "images"),
                         count[k]);
    mean_and_std(&mean, &std);
    /* The program prints ten digits of sums that are exact. */
    ck_assert_double_eq_tol(first_of(train, "mean"), mean, 1e-9);
    ck_assert_double_eq_tol(first_of(train, "std"), std, 1e-9);
    ck_assert_double_eq_tol(first_of(train, "normalised_mean"), 0.1307, 1e-6);
    ck_assert_int_eq(whole(train, "constant"), 1);
    ck_assert_double_eq(first_of(train, "constant_first"), 9);
    pairs(o, "train", 2, 1, in_train);
    pairs(o, "test", 1, 0, in_test);
    pairs(o, "across", 1, 1, across);
}
END_TEST

START_TEST(check_tells_it_in_tables_and_notes)
{
    write_set("mnist");
    program_result r = program("data", "check", "mnist", "data.dir=.", NULL);

    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.err, "");
    says(r.out, "where         ./mnist\ntrain         24 x 28 x 28 x 1, fingerprint ");
    /* The largest class has 4 training images, or 3 of the test's. */
    says(r.out, "\n0                         3  12.5 % ########..         2  16.7 %"
                " #######...\n");
    says(r.out, "\nin train             2   3 = 7, 3 = 8\n"
                "in test              1   1 = 4\n"
                "train = test         1   5 = 2\n");
    says(r.out, "note: mean or deviation of the training images is not what the set is"
                " normalised with\n"
                "note: 2 training images are copies of earlier ones\n"
                "note: 1 of these 2 have another label\n"
                "note: 1 test images are copies of earlier ones\n"
                "note: 1 test images are training images: what is measured on them is not"
                " held out\n"
                "note: 1 of these 1 have another label\n"
                "note: train: 1 images of one colour, the first is 9\n");
}
END_TEST

START_TEST(a_mean_that_fits_and_one_that_is_not_used_get_no_note)
{
    program_result r = program("data", "check", "shapes", NULL);
    ck_assert_ptr_null(strstr(r.out, "note"));
    write_set("mnist");
    r = program("data", "check", "./mnist", "data.normalise=false", NULL);
    ck_assert_ptr_null(strstr(r.out, "normalised with\nnote: 2"));
    ck_assert_ptr_null(strstr(r.out, "note: mean"));
}
END_TEST

START_TEST(fingerprints_are_those_of_a_run)
{
    const data_settings s = settings("mnist", ".");
    data_images part[2];
    nn_arena a = {0};
    char print[20];

    write_set("mnist");
    const json_t *o = object_of(program("data", "check", "mnist", "data.dir=.", "--json",
                                        NULL), 0);
    ck_assert_int_eq(data_load(&s, 0, &a, &part[0], &part[1], NULL), NN_OK);
    for (int k = 0; k < 2; k++) {
        snprintf(print, sizeof print, "%016" PRIx64, data_fingerprint(&part[k]));
        ck_assert_str_eq(text(at(o, k ? "test" : "train"), "fingerprint"), print);
        data_release(&part[k]);
    }
    nn_arena_free(&a);
}
END_TEST

START_TEST(a_broken_file_is_named_and_ends_with_5)
{
    write_set("mnist");
    ck_assert_int_eq(truncate("mnist/train-labels-idx1-ubyte", 8 + TRAIN - 1), 0);
    program_result r = program("data", "check", "mnist", "data.dir=.", NULL);
    ck_assert_int_eq(r.exit, 5);
    says(r.err, "./mnist/train-labels-idx1-ubyte: ");
    says(r.out, "where         ./mnist\n");
    ck_assert_ptr_null(strstr(r.out, "\nclass"));
    ck_assert_ptr_eq(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);

    const json_t *o = object_of(program("data", "check", "mnist", "data.dir=.", "--json",
                                        NULL), 5);
    ck_assert_int_eq(whole(o, "exit"), 5);
    says(text(o, "message"), "./mnist/train-labels-idx1-ubyte: ");
    ck_assert_ptr_null(json_object_get(o, "train"));
}
END_TEST

START_TEST(a_place_is_told_by_its_files_its_name_or_the_user)
{
    write_set("mnist");
    program_copy("mnist", "elsewhere");
    setenv("FULLRANK_DATA", "elsewhere", 1);    /* the place that is named counts */
    says(program("data", "check", "./mnist", NULL).out, "\nwhere         ./mnist\n");
    ck_assert_int_eq(rename("mnist", "digits"), 0);
    program_result r = program("data", "check", "digits", NULL);
    ck_assert_int_eq(r.exit, 5);
    ck_assert_int_eq(strncmp(r.err, "digits: may be any of fashion-mnist, mnist", 42), 0);
    says(r.err, "; say which with --set NAME\n");
    r = program("data", "check", "digits", "--set", "fashion-mnist", NULL);
    ck_assert_int_eq(r.exit, 0);
    says(r.out, "\nAnkle boot   ");
    r = program("data", "check", ".", NULL);
    ck_assert_int_eq(r.exit, 5);
    ck_assert_str_eq(r.err, ".: neither a configuration (.yaml) nor a place where the files"
                     " of a set lie; if they do, say which set with --set NAME ('fullrank"
                     " data list' has the names)\n");
}
END_TEST

static void put_picture(const char *file, int grey)
{
    uint8_t pixel[8 * 8];
    const data_picture p = { 8, 8, 1, pixel };

    for (int k = 0; k < 64; k++)
        pixel[k] = (uint8_t)(grey + k);
    ck_assert_int_eq(data_picture_write(file, &p, NULL), NN_OK);
}

START_TEST(pictures_that_cannot_be_read_are_named)
{
    static const char *const dir[] = { "p", "p/train", "p/test", "p/train/a", "p/train/b",
                                       "p/test/a", "p/test/b" };
    char file[64];

    for (size_t i = 0; i < sizeof dir / sizeof *dir; i++)
        ck_assert_int_eq(mkdir(dir[i], 0777), 0);
    for (int i = 3; i < 7; i++)
        for (int k = 0; k < 3; k++) {
            snprintf(file, sizeof file, "%s/%d.png", dir[i], k);
            put_picture(file, 16 * i + k);
        }
    program_result r = program("data", "check", "p", "--set=folder", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    program_write("p/train/b/bad.png", "no picture");
    const json_t *o = object_of(program("data", "check", "p", "--set=folder", "--json",
                                        NULL), 5);
    ck_assert_int_eq(whole(o, "unreadable"), 1);
    says(json_string_value(json_array_get(at(o, "unreadable_files"), 0)),
         "p/train/b/bad.png: ");
    ck_assert_int_eq(rename("p/train/b/bad.png", "p/train/b/._0.png"), 0);
    r = program("data", "check", "p", "--set=folder", NULL);
    ck_assert_msg(r.exit == 0, "a name that begins with a dot is no picture: %s", r.err);
    program_write("p.yaml", "method: {name: simsiam}\nmodel: {name: mlp}\nbatch: 8\n"
                            "data: {name: folder, dir: p, side: 16}\n");
    r = program("train", "p.yaml", NULL);
    ck_assert_int_eq(r.exit, 2);
    says(r.err, "folder has 6 training images here; lower batch or take a set with more");
    r = program("train", "p.yaml", "batch=2", "data.test_limit=1", NULL);
    ck_assert_int_eq(r.exit, 2);
    says(r.err, "1 held-out images are too few to measure anything; raise data.test_limit");
    ck_assert_int_eq(unlink("p/test/a/0.png") | unlink("p/test/a/1.png")
                     | unlink("p/test/b/0.png") | unlink("p/test/b/1.png")
                     | unlink("p/test/b/2.png") | rmdir("p/test/b"), 0);
    r = program("train", "p.yaml", "batch=2", NULL);
    says(r.err, "too few to measure anything; take a set with more of them");
    ck_assert_int_eq(mkdir("far", 0777), 0);
    program_write("far/away.png", "no picture");
    ck_assert_int_eq(symlink("../../../far", "p/train/b/link"), 0);
    o = object_of(program("data", "check", "p", "--set=folder", "--json", NULL), 5);
    says(json_string_value(json_array_get(at(o, "unreadable_files"), 0)),
         "p/train/b/link/away.png: ");
}
END_TEST

/* A name of 40 e's with an accent is longer than 63 bytes; \xff begins no character. */
START_TEST(names_of_any_bytes_stand_whole_in_json)
{
    static const char *const class[] = { "b\xff" "d", "ok", LONG_NAME };
    char dir[256], file[512];

    ck_assert_int_eq(mkdir("n\xfe", 0777), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(dir, sizeof dir, "n\xfe/%s", class[i]);
        ck_assert_int_eq(mkdir(dir, 0777), 0);
        for (int k = 0; k < 8; k++) {
            snprintf(file, sizeof file, "%s/%d.png", dir, k);
            put_picture(file, 16 * i + k);
        }
    }
    const json_t *o = object_of(program("data", "check", "n\xfe", "--set=folder", "--json",
                                        NULL), 0);
    ck_assert_str_eq(text(o, "where"), "n\\xFE");
    const json_t *list = at(at(o, "train"), "classes");
    ck_assert_uint_eq(json_array_size(list), 3);
    ck_assert_str_eq(text(json_array_get(list, 0), "name"), "b\\xFFd");
    ck_assert_str_eq(text(json_array_get(list, 2), "name"), LONG_NAME);
    program_result r = program("data", "export", "n\xfe", "--set=folder", "-o", "n\xfe/x",
                               NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    list = at(program_json("n\xfe", "x.json"), "classes");
    ck_assert_uint_eq(json_array_size(list), 3);
    ck_assert_str_eq(json_string_value(json_array_get(list, 2)), LONG_NAME);

    program_write("n\xfe/ok/x\xfd.png", "no picture");
    o = object_of(program("data", "check", "n\xfe", "--set=folder", "--json", NULL), 5);
    says(text(o, "message"), "n\\xFE: 1 of 25 pictures cannot be read");
    says(json_string_value(json_array_get(at(o, "unreadable_files"), 0)),
         "n\\xFE/ok/x\\xFD.png: ");
    setenv("FULLRANK_DATA", "n\xfe", 1);
    o = object_of(program("data", "list", "--json", NULL), 0);
    unsetenv("FULLRANK_DATA");
    ck_assert_uint_eq(json_array_size(at(o, "sets")), (size_t)data_source_count());
}
END_TEST

START_TEST(published_files_are_recognised)
{
    char real[512];

    snprintf(real, sizeof real, "%.400s/../shared/data/mnist", program_root());
    if (access(real, R_OK) != 0) {
        printf("skipped: no ../shared/data/mnist\n");
        return;
    }
    const json_t *o = object_of(program("data", "check", real, "--set", "mnist", "--json",
                                        NULL), 0);
    ck_assert_int_eq((int)json_array_size(at(o, "files")), 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(text(json_array_get(at(o, "files"), i), "verdict"),
                         "as published");
    ck_assert_int_eq((int)json_array_size(at(o, "notes")), 0);
}
END_TEST

/* ---- show ---------------------------------------------------------------------------- */

enum { FACTOR = 4, TILE = SIDE * FACTOR, LINE = 2, GAP = 10, MARGIN = 12, PAPER = 245 };

static data_picture sheet_of(const char *file)
{
    data_picture p;
    nn_err err = {0};
    ck_assert_msg(data_picture_read(file, 1, &p, &err) == NN_OK, "%s", err.text);
    return p;
}

/* A pixel of the picture in this row and column, 0 the image itself. */
static int shown(const data_picture *p, int row, int column, int y, int x)
{
    const int top = MARGIN + row * (TILE + LINE);
    const int left = MARGIN + (column ? TILE + GAP + (column - 1) * (TILE + LINE) : 0);
    return p->pixel[(size_t)(top + y * FACTOR + 1) * (size_t)p->w
                    + (size_t)(left + x * FACTOR + 1)];
}

START_TEST(a_sheet_has_images_in_turns_of_classes_and_their_views)
{
    const data_settings s = settings("mnist", ".");
    const char *const pick = "rows     3 training images of mnist, enlarged 4 times: 0 0,"
                             " 1 1, 2 2\n";
    float view[PIXELS];
    data_augment a;
    data_images part[2];
    nn_arena arena = {0};

    write_set("mnist");
    program_result r = program("data", "show", "mnist", "data.dir=.", "seed=5", "-o",
                               "a.png", "--images=3", "--views=4", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    says(r.out, pick);
    says(r.out, "columns  the image; views 1 to 2 of epochs 0 to 1, seed 5\n");
    says(r.out, "\ngrey28   crop=true ");
    data_picture p = sheet_of("a.png");
    ck_assert_int_eq(p.h, 2 * MARGIN + 3 * TILE + 2 * LINE);
    ck_assert_int_eq(p.w, 2 * MARGIN + 5 * TILE + GAP + 3 * LINE);
    ck_assert_int_eq(p.pixel[0], PAPER);
    ck_assert_int_eq(data_load(&s, 0, &arena, &part[0], &part[1], NULL), NN_OK);
    nn_setting_defaults(data_augment_table, &a);
    data_augment_resolve(&a, NULL, "grey28", NULL);
    void *work = nn_arena_alloc(&arena, data_augment_space(&part[0]));
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++) {
            if (j)
                data_augment_view(&a, &part[0], i, (j - 1) % 2, 5, (uint32_t)(j - 1) / 2,
                                  view, work);
            for (int k = 0; k < PIXELS; k++) {
                const double x = j ? (double)view[k] * (double)part[0].std[0]
                                     + (double)part[0].mean[0]
                                   : images[0][i].pixel[k] / 255.0;
                const double want = x < 0 ? 0 : x > 1 ? 255 : x * 255;
                /* Half a step for the rounding, and that of normalising in float. */
                ck_assert_double_eq_tol(shown(&p, i, j, k / SIDE, k % SIDE), want, 0.501);
            }
        }
    data_picture_free(&p);
    nn_arena_free(&arena);
}
END_TEST

START_TEST(an_operation_alone_is_what_its_name_says)
{
    write_set("mnist");
    program_result r = program("data", "show", "./mnist", "-o", "all.png", "--operation",
                               "all", "--images=2", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    says(r.out, "columns  the image; crop, flip, jitter, grey, blur, solarize alone\n");
    says(r.out, "\nflip     flip=1\n");
    data_picture p = sheet_of("all.png");
    ck_assert_int_eq(p.w, 2 * MARGIN + 7 * TILE + GAP + 5 * LINE);
    for (int k = 0; k < PIXELS; k++) {
        const int y = k / SIDE, x = k % SIDE, v = images[0][1].pixel[k];
        ck_assert_int_eq(shown(&p, 1, 2, y, SIDE - 1 - x), v);
        ck_assert_int_eq(shown(&p, 1, 4, y, x), v);             /* it is grey */
        ck_assert_int_eq(shown(&p, 1, 6, y, x), v >= 128 ? 255 - v : v);
    }
    data_picture_free(&p);
    r = program("data", "show", "./mnist", "-o", "flip.png", "--operation=flip",
                "--views=1", NULL);
    says(r.out, "columns  the image; flip alone in views 1 to 1 of epoch 0, seed 0\n");
    p = sheet_of("flip.png");
    ck_assert_int_eq(shown(&p, 3, 1, 5, SIDE - 1), images[0][3].pixel[5 * SIDE]);
    data_picture_free(&p);
}
END_TEST

START_TEST(a_configuration_is_shown_as_it_runs)
{
    program_write("a.yaml", "method: {name: simsiam}\ndata: {name: shapes, size: 20}\n"
                            "augment: {recipe: none}\n");
    program_result r = program("data", "show", "a.yaml", "-o", "a.png", "--images=2",
                               "augment.flip=1", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    says(r.out, "rows     2 training images of shapes, enlarged 3 times: 0 disc, 1 ring\n");
    says(r.out, "\nnone     flip=1\n");
    says(program("data", "check", "a.yaml", NULL).out, "\ntrain         20 x 32 x 32 x 3,"
                                                      " 7 factors, fingerprint ");
}
END_TEST

/* ---- export -------------------------------------------------------------------------- */

static const uint8_t *array(const char *file, const char *descr, const char *shape,
                            size_t bytes)
{
    char header[128];
    size_t n = 0;
    const char *all = program_bytes(file, &n);

    ck_assert_msg(all, "%s is not there", file);
    ck_assert_uint_eq(n, 128 + bytes);
    snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
             descr, shape);
    ck_assert_mem_eq(all, "\x93NUMPY\1\0\x76\0", 10);
    ck_assert_msg(memcmp(all + 10, header, strlen(header)) == 0, "%.100s", all + 10);
    return (const uint8_t *)all + 128;
}

START_TEST(export_writes_images_labels_factors_and_names)
{
    data_settings s = settings("shapes", "");
    data_images part[2];
    nn_arena a = {0};

    s.size = 50;
    program_result r = program("data", "export", "shapes", "data.size=50", "-o", "x", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    says(r.out, "x_train_images.npy  uint8 (50, 32, 32, 3)\n");
    ck_assert_int_eq(data_load(&s, 0, &a, &part[0], &part[1], NULL), NN_OK);
    const size_t n = (size_t)part[1].n * 32 * 32 * 3;
    ck_assert_mem_eq(array("x_test_images.npy", "|u1", "(10, 32, 32, 3)", n),
                     part[1].pixel, n);
    const int32_t *label = (const void *)array("x_train_labels.npy", "<i4", "(50,)", 200);
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(label[i], part[0].label[i]);
    ck_assert_mem_eq(array("x_train_factors.npy", "<f4", "(50, 7)", sizeof(float[50][7])),
                     part[0].factor, sizeof(float[50][7]));
    const json_t *o = program_json(".", "x.json");
    ck_assert_str_eq(json_string_value(json_array_get(at(o, "classes"), 1)), "ring");
    ck_assert_str_eq(json_string_value(json_array_get(at(o, "factors"), 5)), "x");
    ck_assert_str_eq(text(at(o, "test"), "images"), "x_test_images.npy");
    ck_assert_int_eq(mkdir("d", 0777), 0);
    r = program("data", "export", "shapes", "data.size=50", "-o", "d/", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_mem_eq(array("d/test_images.npy", "|u1", "(10, 32, 32, 3)", n),
                     part[1].pixel, n);
    ck_assert_str_eq(text(at(program_json("d", "set.json"), "test"), "images"),
                     "test_images.npy");
    nn_arena_free(&a);
    r = program("data", "export", "shapes", "data.size=50", "augment.size=16", "-o", "s",
                NULL);
    says(r.out, "s_train_images.npy  uint8 (50, 16, 16, 3)\n");
    r = program("data", "export", "shapes", "data.size=50", "-o", "", NULL);
    ck_assert_msg(r.exit == 2, "%s", r.err);
    says(r.err, "-o: names no file");
}
END_TEST

START_TEST(a_full_disk_leaves_whole_files_or_none)
{
    program_most_bytes = 20000;
    program_result r = program("data", "export", "shapes", "data.size=50", "-o", "x", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_str_eq(r.err, "x_train_images.npy: cannot be written: File too large\n");
    ck_assert_int_eq(present("x*"), 0);
    r = program("data", "show", "shapes", "data.size=50", "-o", "x.png", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_str_eq(r.err, "x.png: cannot be written: File too large\n");
    ck_assert_int_eq(present("x*"), 0);
}
END_TEST

START_TEST(a_signal_ends_an_export_without_a_rest)
{
    const char *const args[] = { "data", "export", "shapes", "data.size=20000", "-o", "x",
                                 NULL };
    const struct timespec moment = { 0, 1000000 };
    struct stat st;

    pid_t pid = program_start(args);
    for (int i = 0; i < 20000 && !present("x_train_images.npy.*"); i++)
        nanosleep(&moment, NULL);
    kill(pid, SIGINT);
    int code = program_wait(pid);
    if (code == 0)
        printf("skipped: the export was over before the signal came\n");
    else
        ck_assert_int_eq(code, 128 + SIGINT);
    ck_assert_int_eq(present("x*.npy.*"), 0);
    if (stat("x_train_images.npy", &st) == 0)
        ck_assert_int_eq(st.st_size, 128 + 20000LL * 32 * 32 * 3);
}
END_TEST

/* ---- mistakes ------------------------------------------------------------------------ */

typedef struct misuse { const char *args[6]; int code; const char *says; } misuse;

static const misuse misuses[] = {
    { { "chek" }, 2, "command line: data has no command 'chek'; did you mean 'check'?" },
    { { "xyzzy" }, 2, "command line: data has no command 'xyzzy'; it has list, check,"
      " fetch-help, show and export" },
    { { "list", "mnist" }, 2, "command line: data list takes no argument" },
    { { "list", "--views=2" }, 2, "command line: --views means nothing to data list; leave"
      " it out" },
    { { "check" }, 2, "command line: data check wants a data set, a configuration or a"
      " folder; 'fullrank data list' names the sets" },
    { { "check", "fasion-mnist" }, 2, "command line: no data set, file or folder"
      " 'fasion-mnist'; did you mean 'fashion-mnist'?" },
    { { "check", "xyzzyxyzzy" }, 2, "command line: no data set, file or folder"
      " 'xyzzyxyzzy'; 'fullrank data list' names the sets" },
    { { "check", ".", "--set=shaped" }, 2, "command line: no data set 'shaped'; did you"
      " mean 'shapes'?" },
    { { "check", "shapes", "data.siez=3" }, 2, "command line: no setting 'siez' in data;"
      " did you mean 'size'?" },
    { { "check", "shapes", "data.size=3" }, 2, "command line: data.size = 3 is out of range"
      " (10 to 1000000)" },
    { { "check", "shapes", "optim.base_lr=3" }, 2, "command line: optim.base_lr means"
      " nothing to a data set, which takes data.KEY, augment.KEY and seed" },
    { { "check", "a.yaml", "--set=shapes" }, 2, "command line: --set goes with a folder; a"
      " configuration says data.name=shapes" },
    { { "check", "none.yaml" }, 2, "none.yaml: no such file" },
    { { "fetch-help", "shaped" }, 2, "command line: no data set 'shaped'; did you mean"
      " 'shapes'?" },
    { { "show", "shapes" }, 2, "command line: data show wants -o FILE.png" },
    { { "show", "shapes", "-o", "a.jpg" }, 2, "command line: -o a.jpg: a sheet is a PNG;"
      " give it a name that ends in .png" },
    { { "show", "shapes", "-o", "a.png", "--images=0" }, 2, "command line: --images = 0 is"
      " out of range (1 to 1000)" },
    { { "show", "shapes", "-o", "a.png", "--operation=blurr" }, 2, "command line: no"
      " operation 'blurr'; did you mean 'blur'?" },
    { { "show", "shapes", "-o", "a.png", "--operation=all", "--views=2" }, 2, "command line:"
      " --operation all has one column for each; leave --views out" },
    { { "show", "shapes", "data.size=20", "-o", "no/a.png" }, 1, "no/a.png: cannot be"
      " written: No such file or directory" },
    { { "show", "shapes", "data.size=20", "-o", "dir.png" }, 1, "dir.png: cannot be"
      " written: is a folder" },
    { { "export", "shapes", "--json" }, 2, "command line: --json means nothing to data"
      " export; leave it out" },
    { { "export", "shapes", "data.size=20", "-o", "no/x" }, 1, "no/x_train_images.npy:"
      " cannot be written: No such file or directory" },
};

START_TEST(a_mistake_gets_one_line_and_its_exit_code)
{
    const misuse *m = &misuses[_i];
    const char *args[8] = { "data" };
    char line[512];

    for (int i = 0; i < 6; i++)
        args[i + 1] = m->args[i];
    ck_assert_int_eq(mkdir("dir.png", 0777), 0);
    program_result r = program_args(args);
    snprintf(line, sizeof line, "%s\n", m->says);
    ck_assert_str_eq(r.err, line);
    ck_assert_int_eq(r.exit, m->code);
    ck_assert_str_eq(r.out, "");
}
END_TEST

START_TEST(a_set_of_numbers_cannot_be_shown)
{
    program_result r = program("data", "show", "clouds", "data.size=20", "-o", "a.png",
                               NULL);
    ck_assert_str_eq(r.err, "data set clouds: its images are 32 numbers each, not"
                     " pictures; there is nothing to show\n");
    ck_assert_int_eq(r.exit, 2);
}
END_TEST

Suite *suite_data_command(void)
{
    Suite *s = suite_create("data_command");
    TCase *tc = tcase_create("data_command");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, list_has_every_set_and_where_it_lies);
    tcase_add_test(tc, fetch_help_tells_files_places_and_commands);
    tcase_add_test(tc, check_measures_and_finds_every_copy);
    tcase_add_test(tc, check_tells_it_in_tables_and_notes);
    tcase_add_test(tc, a_mean_that_fits_and_one_that_is_not_used_get_no_note);
    tcase_add_test(tc, fingerprints_are_those_of_a_run);
    tcase_add_test(tc, a_broken_file_is_named_and_ends_with_5);
    tcase_add_test(tc, a_place_is_told_by_its_files_its_name_or_the_user);
    tcase_add_test(tc, pictures_that_cannot_be_read_are_named);
    tcase_add_test(tc, names_of_any_bytes_stand_whole_in_json);
    tcase_add_test(tc, published_files_are_recognised);
    tcase_add_test(tc, a_sheet_has_images_in_turns_of_classes_and_their_views);
    tcase_add_test(tc, an_operation_alone_is_what_its_name_says);
    tcase_add_test(tc, a_configuration_is_shown_as_it_runs);
    tcase_add_test(tc, export_writes_images_labels_factors_and_names);
    tcase_add_test(tc, a_full_disk_leaves_whole_files_or_none);
    tcase_add_test(tc, a_signal_ends_an_export_without_a_rest);
    tcase_add_loop_test(tc, a_mistake_gets_one_line_and_its_exit_code, 0,
                        (int)(sizeof misuses / sizeof *misuses));
    tcase_add_test(tc, a_set_of_numbers_cannot_be_shown);
    suite_add_tcase(s, tc);
    return s;
}
