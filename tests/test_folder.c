/* The reader of picture folders and its cache, against folders that the tests make:
 * pictures of one colour each (binary PPM and PGM), so that what a row must hold is known
 * without a decoder. */
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/cache.h"
#include "data/data.h"
#include "data/fit.h"
#include "data/image.h"
#include "data/resize.h"
#include "data/walk.h"
#include "tests/program.h"
#include "tests/strike.h"
#include "tests/suites.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE };

static nn_arena arena;
static data_images train, test;
static nn_err err;
static char heard[4096];                /* every remark of the last load */
static int decodings;                   /* times that a decoding began in it */

static void listen_to(const char *text, long done, long of)
{
    if (of == 0)
        snprintf(heard + strlen(heard), sizeof heard - strlen(heard), "%s\n", text);
    decodings += of > 0 && done == 0;
}

static void start(void)
{
    program_enter();
    unsetenv("FULLRANK_DATA");
    setenv("FULLRANK_CACHE", "work", 1);
    data_on_news(listen_to);
}

static void stop(void)
{
    data_release(&train);
    data_release(&test);
    nn_arena_free(&arena);
    program_leave();
}

/* ---- making folders ---- */

static void make_dirs(const char *path)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *p = copy; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(copy, 0777);
            *p = '/';
        }
}

/* A picture of h x w pixels of one colour; by its ending a PPM or a PGM. */
static void colour(const char *path, int h, int w, int r, int g, int b)
{
    int grey = strstr(path, ".pgm") != NULL || strstr(path, ".PGM") != NULL;
    const int value[] = { r, g, b };

    make_dirs(path);
    FILE *f = fopen(path, "wb");
    ck_assert_msg(f != NULL, "%s", path);
    fprintf(f, "P%d %d %d 255\n", grey ? 5 : 6, w, h);
    for (int i = 0; i < h * w; i++)
        for (int j = 0; j < (grey ? 1 : 3); j++)
            fputc(value[j], f);
    ck_assert_int_eq(fclose(f), 0);
}

static void text(const char *path, const char *what)
{
    make_dirs(path);
    program_write(path, what);
}

static void many(const char *class, int n, int grey)
{
    char path[128];
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "set/%s/%d.ppm", class, i);
        colour(path, SIDE, SIDE, grey, grey, grey);
    }
}

/* Two parts: a is 0 or 255 in red, b the same in grey. */
static void two_parts(void)
{
    colour("set/train/a/0.ppm", SIDE, SIDE, 0, 10, 20);
    colour("set/train/a/1.ppm", SIDE, SIDE, 255, 10, 20);
    colour("set/train/b/0.PGM", SIDE, SIDE, 100, 0, 0);
    colour("set/test/a/0.ppm", SIDE, SIDE, 1, 2, 3);
    colour("set/test/b/deep/er/0.ppm", SIDE, SIDE, 4, 5, 6);
}

/* ---- loading ---- */

static data_settings settings(void)
{
    data_settings s;
    nn_setting_defaults(data_setting_table, &s);
    s.name = "folder";
    s.dir = "set";
    s.test_share = 0.2;
    s.side = SIDE;
    return s;
}

static nn_status load_with(const data_settings *s)
{
    data_release(&train);
    data_release(&test);
    heard[0] = 0;
    decodings = 0;
    err.text[0] = 0;
    return data_load(s, 0, &arena, &train, &test, &err);
}

static nn_status load(void)
{
    data_settings s = settings();
    return load_with(&s);
}

static void loads(void)
{
    ck_assert_msg(load() == NN_OK, "%s", err.text);
}

static void fails(const char *want)
{
    ck_assert_int_eq(load(), NN_EDATA);
    ck_assert_msg(strstr(err.text, want) != NULL, "'%s' is not in '%s'", want, err.text);
    ck_assert_ptr_null(train.map);
}

/* The image whose pixels are all (r, g, b), or -1. */
static int image_of(const data_images *d, int r, int g, int b)
{
    for (int i = 0; i < d->n; i++) {
        const uint8_t *p = data_pixel_at(d, i);
        int same = 1;
        for (int k = 0; k < PIXELS; k++)
            same &= p[3 * k] == r && p[3 * k + 1] == g && p[3 * k + 2] == b;
        if (same)
            return i;
    }
    return -1;
}

static char *cache_file(void)
{
    static char path[512];
    FILE *f = popen("ls work/*.pixels", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(path, sizeof path, f));
    pclose(f);
    path[strcspn(path, "\n")] = 0;
    return path;
}

static int files_in(const char *dir)
{
    char command[128];
    int n = -1;
    snprintf(command, sizeof command, "ls -A %s 2>/dev/null | wc -l", dir);
    FILE *f = popen(command, "r");
    ck_assert_int_eq(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

/* ---- what a folder means ---- */

START_TEST(parts_classes_and_pixels_come_from_the_folders)
{
    two_parts();
    text("set/README", "hello");
    text("set/train/a/notes.txt", "hello");
    text("set/train/a/.hidden.ppm", "no picture");
    loads();
    ck_assert_int_eq(train.n, 3);
    ck_assert_int_eq(test.n, 2);
    ck_assert_int_eq(train.classes, 2);
    ck_assert_str_eq(train.names[0], "a");
    ck_assert_str_eq(train.names[1], "b");
    ck_assert_ptr_null(train.names[2]);
    int red = image_of(&train, 255, 10, 20), grey = image_of(&train, 100, 100, 100);
    int deep = image_of(&test, 4, 5, 6);
    ck_assert(red >= 0 && grey >= 0 && deep >= 0);
    ck_assert_int_eq(train.label[red], 0);
    ck_assert_int_eq(train.label[grey], 1);
    ck_assert_int_eq(test.label[deep], 1);
}
END_TEST

/* Red is 0, 255, 100: mean 355/3, mean square 75025/3.  Floats have 24 bits. */
START_TEST(moments_are_those_of_the_training_pixels)
{
    double mean = 355 / 3., std = sqrt(75025 / 3. - mean * mean);

    two_parts();
    loads();
    ck_assert_double_eq_tol(train.mean[0], mean / 255, 1e-7);
    ck_assert_double_eq_tol(train.std[0], std / 255, 1e-7);
    ck_assert_double_eq_tol(test.mean[0], mean / 255, 1e-7);
}
END_TEST

START_TEST(a_channel_of_one_value_is_divided_by_one)
{
    many("a", 20, 7);
    loads();
    ck_assert_double_eq_tol(train.mean[1], 7 / 255., 1e-7);
    ck_assert(train.std[1] == 1);
}
END_TEST

/* sha256sum says of "a/0.ppm" to "a/19.ppm" which begin below 0.2 * 2^64 = 0x3333...:
 *     for i in $(seq 0 19); do printf a/$i.ppm | sha256sum; done */
START_TEST(the_held_out_share_is_a_hash_of_the_path_and_moves_no_other_file)
{
    char path[64];
    int held = 0;

    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "set/a/%d.ppm", i);
        colour(path, SIDE, SIDE, i, i, i);
    }
    FILE *f = popen("for i in $(seq 0 39); do printf a/$i.ppm | sha256sum; done", "r");
    int is_test[40] = { 0 };
    for (int i = 0; i < 40; i++) {
        unsigned long long place;
        ck_assert_int_eq(fscanf(f, "%16llx%*s - ", &place), 1);
        is_test[i] = place < 0x3333333333333333ULL;
        held += is_test[i];
    }
    pclose(f);
    loads();
    ck_assert_int_eq(test.n, held);
    for (int i = 0; i < 40; i++)
        ck_assert_int_ge(image_of(is_test[i] ? &test : &train, i, i, i), 0);
    colour("set/a/new.ppm", SIDE, SIDE, 200, 0, 0);
    colour("set/b/new.ppm", SIDE, SIDE, 201, 0, 0);
    colour("set/b/0.ppm", SIDE, SIDE, 202, 0, 0);
    loads();
    ck_assert_int_eq(train.n + test.n, 43);
    for (int i = 0; i < 40; i++)
        ck_assert_int_ge(image_of(is_test[i] ? &test : &train, i, i, i), 0);
}
END_TEST

START_TEST(train_alone_is_a_part_and_beside_other_classes_a_class)
{
    for (int i = 0; i < 12; i++) {
        char path[64];
        snprintf(path, sizeof path, "set/train/x/%d.ppm", i);
        colour(path, SIDE, SIDE, i, 0, 0);
    }
    loads();
    ck_assert_str_eq(train.names[0], "x");
    many("boat", 12, 5);
    loads();
    ck_assert_str_eq(train.names[0], "boat");
    ck_assert_str_eq(train.names[1], "train");
}
END_TEST

START_TEST(names_of_any_bytes_become_text)
{
    many("\xff\n\xc3\xa9", 12, 1);
    loads();
    ck_assert_str_eq(train.names[0], "\\xFF\\x0A\xc3\xa9");
}
END_TEST

START_TEST(a_limit_takes_the_first_images_of_all_classes)
{
    data_settings s = settings();
    int seen[2] = { 0 };

    many("a", 100, 1);
    many("b", 100, 2);
    s.limit = 20;
    s.test_limit = 5;
    ck_assert_msg(load_with(&s) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n, 20);
    ck_assert_int_eq(test.n, 5);
    for (int i = 0; i < train.n; i++)
        seen[train.label[i]]++;
    ck_assert(seen[0] > 0 && seen[1] > 0);              /* of one class: chance 2^-19 */
    ck_assert_uint_eq(train.print, 0);
}
END_TEST

/* Left third 10, middle 20, right 30, SIDE high and 3 SIDE wide: nothing is resampled
 * along the height, and the middle third is the middle square. */
START_TEST(crop_squash_and_pad_show_the_middle_all_and_bars)
{
    static uint8_t in[PIXELS * 3], high[PIXELS * 3], out[PIXELS];
    const data_picture p = { SIDE, 3 * SIDE, 1, in }, turned = { 3 * SIDE, SIDE, 1, high };
    data_fit f = { SIDE, 1, DATA_CROP, DATA_AREA };

    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < 3 * SIDE; x++)
            in[y * 3 * SIDE + x] = (uint8_t)(10 * (x / SIDE + 1));
    data_fit_picture(&f, &p, out);
    for (int i = 0; i < PIXELS; i++)
        ck_assert_int_eq(out[i], 20);
    for (int i = 0; i < 3 * PIXELS; i++)
        high[i] = (uint8_t)(10 * (i / PIXELS + 1));
    data_fit_picture(&f, &turned, out);
    for (int i = 0; i < PIXELS; i++)
        ck_assert_int_eq(out[i], 20);
    f.fit = DATA_SQUASH;                /* an output covers three inputs */
    data_fit_picture(&f, &p, out);
    for (int y = 0; y < SIDE; y++) {
        ck_assert_int_eq(out[y * SIDE], 10);
        ck_assert_int_eq(out[y * SIDE + 3], 20);
        ck_assert_int_eq(out[y * SIDE + 7], 30);
    }
    f.fit = DATA_PAD;                   /* 8 x 24 becomes round(8/3) = 3 rows at 2 */
    data_fit_picture(&f, &p, out);
    for (int y = 0; y < SIDE; y++)
        ck_assert_int_eq(out[y * SIDE + 3], y >= 2 && y < 5 ? 20 : 0);
}
END_TEST

START_TEST(mixed_sizes_become_squares)
{
    many("a", 9, 3);
    colour("set/a/wide.ppm", 3, 200, 50, 60, 70);
    colour("set/a/high.ppm", 1000, 5, 51, 61, 71);
    colour("set/a/one.ppm", 1, 1, 52, 62, 72);
    loads();
    for (int i = 0; i < 3; i++)
        ck_assert(image_of(&train, 50 + i, 60 + i, 70 + i) >= 0
                  || image_of(&test, 50 + i, 60 + i, 70 + i) >= 0);
}
END_TEST

/* ---- what is no such folder ---- */

START_TEST(faults_of_a_folder_are_named)
{
    fails("set: cannot be read: No such file or directory; name a folder");
    text("set", "a file");
    fails("set: not a folder");
    remove("set");
    mkdir("set", 0777);
    fails("set: no pictures here");
    text("set/notes.txt", "x");
    fails("set: no pictures here");
    mkdir("set/empty", 0777);
    fails("set/empty: the folder of a class, but there is no picture in it");
    rmdir("set/empty");
    colour("set/loose.ppm", 1, 1, 0, 0, 0);
    fails("set/loose.ppm: a picture where the folder of a class is expected");
    remove("set/loose.ppm");
    many("a", 12, 0);
    mkdir("set/a/dir.JPG", 0777);
    fails("set/a/dir.JPG: a folder where a picture is expected");
    rmdir("set/a/dir.JPG");
    ck_assert_int_eq(mkfifo("set/a/pipe.png", 0666), 0);
    fails("set/a/pipe.png: not a regular file where a picture is expected");
    remove("set/a/pipe.png");
    loads();
}
END_TEST

START_TEST(no_folder_named_says_so)
{
    data_settings s = settings();
    char where[64];

    s.dir = "";
    ck_assert_int_eq(load_with(&s), NN_EDATA);
    ck_assert_ptr_nonnull(strstr(err.text, "data set folder: no folder named"));
    ck_assert_int_eq(data_source_find("folder")->present(&s, where, sizeof where), 0);
    two_parts();
    setenv("FULLRANK_DATA", "set/", 1);
    ck_assert_msg(load_with(&s) == NN_OK, "%s", err.text);
    ck_assert_int_eq(data_source_find("folder")->present(&s, where, sizeof where), 1);
    ck_assert_str_eq(where, "set");
}
END_TEST

START_TEST(a_class_to_test_on_alone_is_refused_and_one_to_train_on_is_not)
{
    two_parts();
    colour("set/train/only/0.ppm", 1, 1, 0, 0, 0);
    loads();
    colour("set/test/other/0.ppm", 1, 1, 0, 0, 0);
    fails("set/test/other: a class without pictures to train on");
}
END_TEST

START_TEST(links_are_followed_until_they_lead_in_circles)
{
    many("a", 12, 0);
    colour("far/b/0.ppm", SIDE, SIDE, 9, 9, 9);
    ck_assert_int_eq(symlink("../../far/b/0.ppm", "set/a/link.ppm"), 0);
    loads();
    ck_assert_int_eq(train.n + test.n, 13);
    ck_assert_int_eq(symlink("..", "set/a/up"), 0);
    fails("set/a/up: a symbolic link that leads back");
    remove("set/a/up");
    ck_assert_int_eq(symlink("self", "set/a/self"), 0);
    fails("set/a/self: a symbolic link that leads back");
}
END_TEST

START_TEST(a_folder_that_may_not_be_read_is_named)
{
    if (geteuid() == 0) {
        printf("skipped: root may read any folder\n");
        return;
    }
    many("a", 12, 0);
    chmod("set/a", 0);
    fails("set/a: this folder cannot be read: Permission denied");
    chmod("set/a", 0777);
}
END_TEST

/* ---- unreadable pictures ---- */

static void fifty_broken(int of)
{
    char path[64];
    for (int i = 0; i < of; i++) {
        snprintf(path, sizeof path, "set/%c/%d.ppm", 'a' + i % 2, i);
        colour(path, 2, 2, i % 256, i / 256, 0);
    }
    for (int i = 0; i < 50; i++) {
        snprintf(path, sizeof path, "set/%c/broken%d.jpg", 'a' + i % 2, i);
        text(path, "\xff\xd8\xff\xe0 this is no JPEG");
    }
}

static int how_many(void)
{
    return getenv("FULLRANK_MANY") ? 4950 : 450;
}

START_TEST(fifty_unreadable_pictures_are_refused_with_their_number_and_names)
{
    char want[128];
    fifty_broken(how_many());
    snprintf(want, sizeof want, "set: 50 of %d pictures cannot be read", how_many() + 50);
    fails(want);
    ck_assert_ptr_nonnull(strstr(err.text, "data.broken=skip"));
    ck_assert_ptr_nonnull(strstr(err.text, "broken"));
    ck_assert_int_eq(files_in("work"), 0);
}
END_TEST

START_TEST(fifty_unreadable_pictures_are_skipped_and_counted)
{
    data_settings s = settings();

    fifty_broken(how_many());
    s.broken = DATA_SKIP;
    for (int time = 0; time < 2; time++) {              /* decoded, then from the cache */
        ck_assert_msg(load_with(&s) == NN_OK, "%s", err.text);
        ck_assert_int_eq(train.n + test.n, how_many());
        ck_assert_int_eq(train.skipped + test.skipped, 50);
        ck_assert_ptr_nonnull(strstr(heard, "50 of"));
        ck_assert_int_eq(decodings, time == 0);
        for (int i = 0; i < train.n; i++)               /* i % 2 is the class */
            ck_assert_int_eq(train.label[i], data_pixel_at(&train, i)[0] % 2);
        uint64_t known = train.print;
        ck_assert_uint_ne(known, 0);
        train.print = 0;
        ck_assert_uint_eq(data_fingerprint(&train), known);
    }
    s.broken = DATA_REFUSE;                             /* the cache does not soften it */
    ck_assert_int_eq(load_with(&s), NN_EDATA);
}
END_TEST

START_TEST(more_than_half_unreadable_is_refused_all_the_same)
{
    data_settings s = settings();
    fifty_broken(49);
    s.broken = DATA_SKIP;
    ck_assert_int_eq(load_with(&s), NN_EDATA);
    ck_assert_ptr_nonnull(strstr(err.text, "more than half"));
}
END_TEST

/* A PNG of 60,000 x 60,000 pixels as its header says, in 57 bytes. */
START_TEST(a_giant_png_is_one_unreadable_picture)
{
    static const char giant[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60"
                                "\x08\x02\0\0\0\0\0\0\0\0\0\0\0IDAT\0\0\0\0";
    many("a", 12, 0);
    program_put("set/a/giant.png", giant, sizeof giant);
    fails("giant.png");
    ck_assert_ptr_nonnull(strstr(err.text, "set: 1 of 13 pictures cannot be read"));
}
END_TEST

START_TEST(a_picture_that_became_readable_is_taken)
{
    data_settings s = settings();

    many("a", 12, 0);
    s.broken = DATA_SKIP;
    colour("set/a/x.ppm", SIDE, SIDE, 1, 2, 3);
    struct stat was;
    size_t n;
    ck_assert_int_eq(stat("set/a/x.ppm", &was), 0);
    ck_assert_ptr_nonnull(program_bytes("set/a/x.ppm", &n));
    char *broken = program_keep(calloc(1, n));
    const struct timespec times[] = { was.st_atim, was.st_mtim };
    program_put("set/a/x.ppm", broken, n);
    utimensat(AT_FDCWD, "set/a/x.ppm", times, 0);
    ck_assert_msg(load_with(&s) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n + test.n, 12);
    colour("set/a/x.ppm", SIDE, SIDE, 1, 2, 3);         /* same size and time */
    utimensat(AT_FDCWD, "set/a/x.ppm", times, 0);
    ck_assert_msg(load_with(&s) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n + test.n, 13);
}
END_TEST

/* ---- the cache ---- */

START_TEST(a_second_load_decodes_nothing_and_is_the_same)
{
    many("a", 30, 1);
    many("b", 30, 2);
    loads();
    ck_assert_int_eq(decodings, 1);
    uint64_t print = train.print, other = test.print;
    loads();
    ck_assert_int_eq(decodings, 0);
    ck_assert_uint_eq(train.print, print);
    ck_assert_uint_eq(test.print, other);
    ck_assert_uint_eq(data_fingerprint(&train), print);
    train.print = test.print = 0;
    ck_assert_uint_eq(data_fingerprint(&train), print);
    ck_assert_uint_eq(data_fingerprint(&test), other);
    ck_assert_int_eq(files_in("work"), 1);
}
END_TEST

START_TEST(other_files_or_settings_have_another_cache)
{
    data_settings s = settings();

    many("a", 30, 1);
    loads();
    colour("set/a/0.ppm", SIDE, SIDE, 9, 9, 9);         /* same size, new time */
    loads();
    ck_assert_int_eq(decodings, 1);
    ck_assert(image_of(&train, 9, 9, 9) >= 0 || image_of(&test, 9, 9, 9) >= 0);
    s.fit = DATA_PAD;
    ck_assert_int_eq(load_with(&s), NN_OK);
    ck_assert_int_eq(decodings, 1);
    s.channels = DATA_GREY;
    ck_assert_int_eq(load_with(&s), NN_OK);
    ck_assert_int_eq(decodings, 1);
    ck_assert_int_eq(train.c, 1);
    ck_assert_int_eq(files_in("work"), 4);
}
END_TEST

static void flip(const char *file, long at)
{
    FILE *f = fopen(file, "r+b");
    ck_assert_ptr_nonnull(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

START_TEST(a_damaged_cache_is_made_anew)
{
    struct stat about;

    many("a", 30, 1);
    loads();
    uint64_t print = train.print;
    char *file = cache_file();
    for (int way = 0; way < 5; way++) {
        ck_assert_int_eq(stat(file, &about), 0);
        if (way == 0)
            ck_assert_int_eq(truncate(file, about.st_size - 1), 0);
        else if (way == 1)
            ck_assert_int_eq(truncate(file, 0), 0);
        else if (way == 2)
            ck_assert_int_eq(truncate(file, about.st_size + 1), 0);
        else
            flip(file, way == 3 ? 80 : 360);            /* notes, status of a row */
        loads();
        ck_assert_int_eq(decodings, 1);
        ck_assert_ptr_nonnull(strstr(heard, "this cache is damaged"));
        ck_assert_uint_eq(train.print, print);
    }
}
END_TEST

/* In a process of its own: its exit code says how often it began to decode. */
static pid_t load_aside(void)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(load() == NN_OK ? decodings : 100);
    return pid;
}

static int result_of(pid_t pid)
{
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

START_TEST(of_several_processes_one_decodes)
{
    enum { MANY = 4 };
    pid_t pid[MANY];
    int sum = 0;

    many("a", 150, 1);
    many("b", 150, 2);
    for (int i = 0; i < MANY; i++)
        pid[i] = load_aside();
    for (int i = 0; i < MANY; i++)
        sum += result_of(pid[i]);
    ck_assert_int_eq(sum, 1);
    ck_assert_int_eq(files_in("work"), 1);
}
END_TEST

#define RUN "train", "tiny.yaml", "--out=runs", "--threads=1", "--quiet"

/* A run of the program on set/, its cache in work/. */
static const char *const run[] = { RUN, NULL };

static void write_config(const char *epochs)
{
    char config[1024];
    snprintf(config, sizeof config,
             "method: {name: simsiam, proj_dim: 16}\n"
             "model: {name: conv3, width: 0.25}\n"
             "data: {name: folder, dir: set, side: 16, cache: work}\n"
             "optim: {name: sgd, base_lr: 0.1}\n"
             "epochs: %s\nbatch: 8\n"
             "metrics: {samples: 12, bank: 16, knn_k: 3, lid_k: 3}\n", epochs);
    program_write("tiny.yaml", config);
    for (int i = 0; i < 80; i++) {
        char path[64];
        snprintf(path, sizeof path, "set/%c/%d.ppm", 'a' + i % 2, i);
        colour(path, 16, 16, 3 * i, 255 - 3 * i, i);
    }
}

static int call_of(const call *list, int n, const char *kind)
{
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].kind, kind) == 0)
            return list[i].number;
    ck_abort_msg("no %s", kind);
    return 0;
}

/* Before a row, in the middle of one, before the rename and after it. */
START_TEST(who_is_killed_while_decoding_leaves_nothing_that_is_used)
{
    static call calls[STRIKE_CALLS];
    static const struct { const char *kind, *what; } way[] = {
        { "pwrite", "kill" }, { "pwrite", "torn" }, { "fsync", "kill" },
        { "rename", "kill" }, { "rename", "killed" }
    };

    if (!strike_able())
        return;
    write_config("1");
    ck_assert_int_eq(strike(run, 0, NULL, 0).exit, 0);
    int n = strike_calls(calls);
    for (size_t i = 0; i < NN_COUNT(way); i++) {
        program_remove("work");
        program_remove("runs");
        program_result r = strike(run, call_of(calls, n, way[i].kind), way[i].what, 0);
        ck_assert_int_eq(r.exit, 128 + SIGKILL);
        r = program_args(run);
        ck_assert_msg(r.exit == 0, "%s", r.err);
        ck_assert_int_eq(files_in("work/*.pixels"), 1);
        ck_assert_int_eq(files_in("work/*.part"), 0);
    }
}
END_TEST

START_TEST(a_full_disk_is_one_error_and_leaves_nothing)
{
    static call calls[STRIKE_CALLS];
    static const char *const kind[] = { "pwrite", "fsync", "rename", "open" };

    if (!strike_able())
        return;
    write_config("1");
    ck_assert_int_eq(strike(run, 0, NULL, 0).exit, 0);
    int n = strike_calls(calls);
    for (size_t i = 0; i < NN_COUNT(kind); i++) {
        program_remove("work");
        program_remove("runs");
        program_result r = strike(run, call_of(calls, n, kind[i]), "ENOSPC", 1);
        ck_assert_int_eq(r.exit, NN_ERUN);
        ck_assert_msg(strstr(r.err, "No space left on device; free some room, or name "
                             "another folder in data.cache"), "%s", r.err);
        ck_assert_ptr_eq(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
        ck_assert_int_eq(files_in("work"), 0);
    }
}
END_TEST

/* The real thing: a file system of 64 KiB, for 80 rows of 192 bytes and then of 12,288. */
START_TEST(a_small_file_system_is_one_error_and_leaves_nothing)
{
    data_settings s = settings();

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)
        || mkdir("small", 0777) || mount("none", "small", "tmpfs", 0, "size=64k") != 0) {
        printf("skipped: no right to mount a small file system\n");
        return;
    }
    many("a", 80, 1);
    s.cache = "small";
    ck_assert_msg(load_with(&s) == NN_OK, "%s", err.text);
    s.side = 64;
    ck_assert_int_eq(load_with(&s), NN_ERUN);
    ck_assert_ptr_nonnull(strstr(err.text, "No space left on device"));
    ck_assert_int_eq(files_in("small"), 1);
    data_release(&train);
    data_release(&test);
    umount("small");
}
END_TEST

START_TEST(a_cache_that_cannot_be_there_is_named)
{
    data_settings s = settings();

    many("a", 12, 1);
    text("file", "x");
    s.cache = "file/below";
    ck_assert_int_eq(load_with(&s), NN_ERUN);
    ck_assert_ptr_nonnull(strstr(err.text, "file/below: cannot make this folder"));
    s.cache = "";
    unsetenv("FULLRANK_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    ck_assert_int_eq(load_with(&s), NN_ERUN);
    ck_assert_ptr_nonnull(strstr(err.text, "set data.cache=DIR"));
    setenv("HOME", "home", 1);
    ck_assert_int_eq(load_with(&s), NN_OK);
    ck_assert_int_eq(files_in("home/.cache/fullrank"), 1);
    setenv("XDG_CACHE_HOME", "xdg", 1);
    ck_assert_int_eq(load_with(&s), NN_OK);
    ck_assert_int_eq(files_in("xdg/fullrank"), 1);
}
END_TEST

/* The first epoch's line in metrics.jsonl is the sign that it trains. */
START_TEST(a_cache_that_shrinks_while_mapped_ends_the_run_with_its_name)
{
    write_config("100000");
    pid_t pid = program_start(run);
    for (int i = 0; i < 3000 && files_in("runs/*/*/*/metrics.jsonl") != 1; i++)
        usleep(10000);
    ck_assert_int_eq(truncate(cache_file(), 0), 0);
    int code = program_wait(pid);
    const char *said = program_read(".err.behind");
    ck_assert_msg(code == NN_EDATA, "exit %d: %s", code, said);
    ck_assert_ptr_nonnull(strstr(said, ".pixels: became shorter"));
}
END_TEST

/* 300 pictures are two strips; the signal comes between them. */
static volatile sig_atomic_t stop_now;

static void stop_at_second_strip(const char *said, long done, long of)
{
    (void)said;
    stop_now = done > 0 && done < of;
}

START_TEST(a_signal_ends_a_decoding_and_leaves_nothing)
{
    many("a", 300, 1);
    data_heed(&stop_now);
    data_on_news(stop_at_second_strip);
    ck_assert_int_eq(load(), NN_EAGAIN);
    ck_assert_int_eq(stop_now, 1);
    ck_assert_int_eq(files_in("work"), 0);
    stop_now = 0;
    data_on_news(listen_to);
    loads();
    ck_assert_int_eq(decodings, 1);
    data_heed(NULL);
}
END_TEST

/* The test holds the lock as a run does that decodes. */
START_TEST(a_signal_ends_a_run_that_waits_for_anothers_decoding)
{
    char lock[600];

    write_config("1");
    ck_assert_int_eq(program_args(run).exit, 0);
    snprintf(lock, sizeof lock, "%s.lock", cache_file());
    ck_assert_int_eq(unlink(cache_file()), 0);
    program_remove("runs");
    int held = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    ck_assert_int_eq(flock(held, LOCK_EX), 0);
    pid_t pid = program_start(run);
    for (int i = 0; i < 1000 && !strstr(program_read(".err.behind"), "waiting for it"); i++)
        usleep(10000);
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(program_wait(pid), 128 + SIGTERM);
    ck_assert_ptr_nonnull(strstr(program_read(".err.behind"),
                                 "while the data were read: nothing has changed"));
    ck_assert_int_eq(files_in("runs"), 0);
    ck_assert_int_eq(files_in(lock), 1);                /* another's, and still its */
    close(held);
}
END_TEST

START_TEST(addresses_of_a_map_know_their_file)
{
    many("a", 12, 1);
    loads();
    ck_assert_ptr_nonnull(data_map_of(train.pixel));
    ck_assert_ptr_nonnull(strstr(data_map_of(train.pixel), ".pixels"));
    ck_assert_ptr_null(data_map_of(&arena));
    const void *was = train.pixel;
    data_release(&train);
    ck_assert_ptr_nonnull(data_map_of(was));            /* test still uses it */
    data_release(&test);
    ck_assert_ptr_null(data_map_of(was));
}
END_TEST

START_TEST(skipped_pictures_stand_in_the_runs_status)
{
    write_config("1");
    text("set/a/broken.png", "x");
    program_result r = program("train", "tiny.yaml", "--out=runs", "--quiet",
                               "data.broken=skip", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(r.err, "1 of 81 pictures cannot be read"));
    json_t *status = program_json(program_run_folder("runs"), "status.json");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(status, "data"),
                                                        "skipped")), 1);
}
END_TEST

/* ---- the real set ---- */

/* Published to four digits of decoded JPEG; decoders differ by a few levels in some
 * pixels, by far less than 0.0002 on average. */
START_TEST(the_signs_have_the_published_counts_and_moments)
{
    static const double mean[] = { .6764, .6473, .6177 }, std[] = { .1465, .1633, .1905 };
    char signs[512];
    data_settings s = settings();

    snprintf(signs, sizeof signs, "%.400s/../shared/data/signs", program_root());
    s.dir = signs;
    s.side = 100;
    if (access(signs, R_OK) != 0) {
        printf("skipped: no ../shared/data/signs\n");
        return;
    }
    ck_assert_msg(load_with(&s) == NN_OK, "%s", err.text);
    ck_assert_int_eq(train.n, 1659);
    ck_assert_int_eq(test.n, 400);
    ck_assert_int_eq(train.classes, 10);
    for (int j = 0; j < 3; j++) {
        ck_assert_double_eq_tol(train.mean[j], mean[j], 0.0002);
        ck_assert_double_eq_tol(train.std[j], std[j], 0.0002);
    }
}
END_TEST

Suite *suite_folder(void)
{
    Suite *s = suite_create("folder");
    TCase *set = tcase_create("folders"), *bad = tcase_create("no such folder");
    TCase *broken = tcase_create("unreadable"), *cache = tcase_create("cache");
    TCase *const all[] = { set, bad, broken, cache };

    program_find();
    for (size_t i = 0; i < NN_COUNT(all); i++) {
        tcase_add_checked_fixture(all[i], start, stop);
        suite_add_tcase(s, all[i]);
    }
    tcase_add_test(set, parts_classes_and_pixels_come_from_the_folders);
    tcase_add_test(set, moments_are_those_of_the_training_pixels);
    tcase_add_test(set, a_channel_of_one_value_is_divided_by_one);
    tcase_add_test(set, the_held_out_share_is_a_hash_of_the_path_and_moves_no_other_file);
    tcase_add_test(set, train_alone_is_a_part_and_beside_other_classes_a_class);
    tcase_add_test(set, names_of_any_bytes_become_text);
    tcase_add_test(set, a_limit_takes_the_first_images_of_all_classes);
    tcase_add_test(set, crop_squash_and_pad_show_the_middle_all_and_bars);
    tcase_add_test(set, mixed_sizes_become_squares);
    tcase_add_test(set, the_signs_have_the_published_counts_and_moments);
    tcase_add_test(bad, faults_of_a_folder_are_named);
    tcase_add_test(bad, no_folder_named_says_so);
    tcase_add_test(bad, a_class_to_test_on_alone_is_refused_and_one_to_train_on_is_not);
    tcase_add_test(bad, links_are_followed_until_they_lead_in_circles);
    tcase_add_test(bad, a_folder_that_may_not_be_read_is_named);
    tcase_add_test(broken,
                   fifty_unreadable_pictures_are_refused_with_their_number_and_names);
    tcase_add_test(broken, fifty_unreadable_pictures_are_skipped_and_counted);
    tcase_add_test(broken, more_than_half_unreadable_is_refused_all_the_same);
    tcase_add_test(broken, a_giant_png_is_one_unreadable_picture);
    tcase_add_test(broken, a_picture_that_became_readable_is_taken);
    tcase_add_test(cache, a_second_load_decodes_nothing_and_is_the_same);
    tcase_add_test(cache, other_files_or_settings_have_another_cache);
    tcase_add_test(cache, a_damaged_cache_is_made_anew);
    tcase_add_test(cache, of_several_processes_one_decodes);
    tcase_add_test(cache, who_is_killed_while_decoding_leaves_nothing_that_is_used);
    tcase_add_test(cache, a_full_disk_is_one_error_and_leaves_nothing);
    tcase_add_test(cache, a_small_file_system_is_one_error_and_leaves_nothing);
    tcase_add_test(cache, a_cache_that_cannot_be_there_is_named);
    tcase_add_test(cache, a_cache_that_shrinks_while_mapped_ends_the_run_with_its_name);
    tcase_add_test(cache, a_signal_ends_a_decoding_and_leaves_nothing);
    tcase_add_test(cache, a_signal_ends_a_run_that_waits_for_anothers_decoding);
    tcase_add_test(cache, addresses_of_a_map_know_their_file);
    tcase_add_test(cache, skipped_pictures_stand_in_the_runs_status);
    return s;
}
