#include "data/walk.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/data.h"
#include "data/image.h"
#include "data/places.h"

enum {
    DEEP = 64,                          /* folders in each other: beyond any set */
    MOST_FILES = 100000000
};

/* Where the walk is: path is the root, and behind it what was entered since. */
typedef struct walker {
    data_walk *w;
    nn_arena *arena;
    nn_err *err;
    char path[DATA_PATH];
    size_t root;                        /* bytes of it, with its slash */
    int room, part, class, deep;
    struct { dev_t device; ino_t number; } above[DEEP];
} walker;

/* ---- one folder ---- */

typedef struct list { struct dirent **entry; int n; } list;

static int is_shown(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void free_list(list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->entry[i]);
    free(l->entry);
    *l = (list){ 0 };
}

static nn_status read_list(walker *k, list *l)
{
    *l = (list){ 0 };
    l->n = scandir(k->path, &l->entry, is_shown, by_bytes);
    if (l->n >= 0)
        return NN_OK;
    l->n = 0;
    if (errno == ENOMEM)
        nn_no_memory("the names in a folder do not fit");
    return nn_fail(k->err, NN_EDATA, "%.1000s: this folder cannot be read: %s; allow it, or "
                   "move it away", k->path, strerror(errno));
}

/* Goes on to an entry of the folder; leave() with what it returned goes back. */
static nn_status go_to(walker *k, const char *name, size_t *back)
{
    *back = strlen(k->path);
    int need = snprintf(k->path + *back, DATA_PATH - *back, "/%s", name);
    if ((size_t)need < DATA_PATH - *back)
        return NN_OK;
    k->path[*back] = 0;
    return nn_fail(k->err, NN_EDATA, "%.1000s: a path in it is longer than %d bytes; "
                   "shorten it", k->path, DATA_PATH - 1);
}

static void leave(walker *k, size_t back)
{
    k->path[back] = 0;
}

static nn_status loop(walker *k)
{
    return nn_fail(k->err, NN_EDATA, "%.1000s: a symbolic link that leads back to itself "
                   "or a folder above it; remove it", k->path);
}

/* Returns stat()'s answer, 0 or -1; links that never end are a fault. */
static nn_status look(walker *k, struct stat *about, int *answer)
{
    *answer = stat(k->path, about);
    return *answer != 0 && errno == ELOOP ? loop(k) : NN_OK;
}

/* Enters the folder at path, unless the walk is within it already. */
static nn_status enter(walker *k, const struct stat *about)
{
    for (int i = 0; i < k->deep; i++)
        if (k->above[i].device == about->st_dev && k->above[i].number == about->st_ino)
            return loop(k);
    if (k->deep == DEEP)
        return nn_fail(k->err, NN_EDATA, "%.1000s: more than %d folders in each other; "
                       "move the pictures up", k->path, DEEP);
    k->above[k->deep].device = about->st_dev;
    k->above[k->deep++].number = about->st_ino;
    return NN_OK;
}

/* ---- the pictures of a class ---- */

static uint64_t place_of(const char *path)
{
    uint8_t sum[SHA256_DIGEST_LENGTH];
    SHA2_CTX sha;
    uint64_t place = 0;

    SHA256Init(&sha);
    SHA256Update(&sha, (const uint8_t *)path, strlen(path));
    SHA256Final(sum, &sha);
    for (int i = 0; i < 8; i++)
        place = place << 8 | sum[i];
    return place;
}

static int64_t time_of(const struct stat *about)
{
    return (int64_t)about->st_mtim.tv_sec * 1000000000 + about->st_mtim.tv_nsec;
}

static nn_status add_file(walker *k, const struct stat *about, int there)
{
    data_walk *w = k->w;

    if (w->n == MOST_FILES)
        return nn_fail(k->err, NN_EDATA, "%.*s: more than %d pictures", (int)k->root - 1,
                       k->path, MOST_FILES);
    if (w->n == k->room) {
        k->room = k->room ? 2 * k->room : 1024;
        w->file = realloc(w->file, (size_t)k->room * sizeof *w->file);
        if (!w->file)
            nn_no_memory("the list of pictures needs %zu bytes more",
                         (size_t)k->room * sizeof *w->file);
    }
    const char *path = nn_arena_copy(k->arena, k->path + k->root);
    w->file[w->n++] = (data_found){
        .path = path, .place = place_of(path), .bytes = there ? about->st_size : -1,
        .time = there ? time_of(about) : 0, .part = k->part, .class = k->class
    };
    return NN_OK;
}

static nn_status walk_class(walker *k, const struct stat *about);

static nn_status meet(walker *k, const char *name)
{
    int picture = data_picture_suffix(name), answer;
    struct stat about;

    NN_TRY(look(k, &about, &answer));
    if (answer == 0 && S_ISDIR(about.st_mode) && !picture)
        return walk_class(k, &about);
    if (!picture) {
        k->w->ignored++;
        return NN_OK;
    }
    if (answer == 0 && !S_ISREG(about.st_mode))
        return nn_fail(k->err, NN_EDATA, "%.1000s: %s where a picture is expected; rename "
                       "or remove it", k->path,
                       S_ISDIR(about.st_mode) ? "a folder" : "not a regular file");
    return add_file(k, &about, answer == 0);
}

static nn_status walk_class(walker *k, const struct stat *about)
{
    nn_status status;
    size_t back;
    list l;

    NN_TRY(enter(k, about));
    status = read_list(k, &l);
    for (int i = 0; i < l.n && status == NN_OK; i++) {
        status = go_to(k, l.entry[i]->d_name, &back);
        if (status == NN_OK) {
            status = meet(k, l.entry[i]->d_name);
            leave(k, back);
        }
    }
    free_list(&l);
    k->deep--;
    return status;
}

/* ---- the classes of a part ---- */

/* Its number, by name; -1: there is none. */
static int class_of(const data_walk *w, const char *name)
{
    int low = 0, high = w->classes;

    while (low < high) {
        int middle = (low + high) / 2, order = strcmp(name, w->class_name[middle]);
        if (order == 0)
            return middle;
        low = order > 0 ? middle + 1 : low;
        high = order > 0 ? high : middle;
    }
    return -1;
}

/* Names come sorted, so a new class is the last one.  The part to test on has none of its
 * own. */
static nn_status number_class(walker *k, const char *name)
{
    data_walk *w = k->w;

    if (k->part == 1) {
        k->class = class_of(w, name);
        return k->class >= 0 ? NN_OK
            : nn_fail(k->err, NN_EDATA, "%.1000s: a class without pictures to train on; "
                      "add a folder of this name beside the other classes, or remove it",
                      k->path);
    }
    if (w->classes == DATA_MOST_CLASSES)
        return nn_fail(k->err, NN_EDATA, "%.1000s: class number %d, but there can be %d; "
                       "name a folder with fewer in data.dir", k->path,
                       DATA_MOST_CLASSES + 1, DATA_MOST_CLASSES);
    k->class = w->classes++;
    w->class_name[k->class] = nn_arena_copy(k->arena, name);
    return NN_OK;
}

static nn_status meet_class(walker *k, const char *name)
{
    struct stat about;
    int answer, before = k->w->n;

    NN_TRY(look(k, &about, &answer));
    if (answer != 0 || !S_ISDIR(about.st_mode)) {
        if (data_picture_suffix(name))
            return nn_fail(k->err, NN_EDATA, "%.1000s: a picture where the folder of a "
                           "class is expected; move it into one", k->path);
        k->w->ignored++;
        return NN_OK;
    }
    NN_TRY(number_class(k, name));
    NN_TRY(walk_class(k, &about));
    if (k->w->n == before)
        return nn_fail(k->err, NN_EDATA, "%.1000s: the folder of a class, but there is no "
                       "picture in it; remove it, or add some (jpg, jpeg, png, bmp, ppm, "
                       "pgm, pnm)", k->path);
    return NN_OK;
}

/* The folder at path, whose entries are classes. */
static nn_status walk_part(walker *k, int part)
{
    nn_status status = NN_OK;
    struct stat about;
    size_t back;
    int answer;
    list l;

    k->part = part;
    NN_TRY(look(k, &about, &answer));
    if (answer != 0)
        return nn_fail(k->err, NN_EDATA, "%.1000s: cannot be read: %s; name a folder that "
                       "holds class/name.jpg in data.dir", k->path, strerror(errno));
    NN_TRY(enter(k, &about));
    status = read_list(k, &l);
    for (int i = 0; i < l.n && status == NN_OK; i++) {
        status = go_to(k, l.entry[i]->d_name, &back);
        if (status == NN_OK) {
            status = meet_class(k, l.entry[i]->d_name);
            leave(k, back);
        }
    }
    free_list(&l);
    k->deep--;
    return status;
}

/* ---- the parts ---- */

static int is_folder(const char *root, const char *name)
{
    char path[3 * DATA_PATH];
    struct stat about;

    snprintf(path, sizeof path, "%s/%s", root, name);
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static const char *test_part(const char *root)
{
    return is_folder(root, "test") ? "test" : is_folder(root, "val") ? "val" : NULL;
}

/* 1 for a train/ that is the part to train on and not a class of trains. */
static int has_train(const char *root)
{
    struct dirent **entry;
    int folders = 0;

    if (!is_folder(root, "train") || test_part(root))
        return is_folder(root, "train");
    int n = scandir(root, &entry, is_shown, by_bytes);
    for (int i = 0; i < n; i++) {
        folders += is_folder(root, entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    return folders == 1;
}

static nn_status walk_named(walker *k, const char *name, int part)
{
    size_t back;

    NN_TRY(go_to(k, name, &back));
    nn_status status = walk_part(k, part);
    leave(k, back);
    return status;
}

/* As many places in 2^64 as the share says; ldexp is exact. */
static void hold_out(data_walk *w, double share)
{
    uint64_t below = (uint64_t)ldexp(share, 64);

    for (int i = 0; i < w->n; i++)
        w->file[i].part = w->file[i].place < below;
}

/* Whoever is held out of a small class can be all there is of it. */
static nn_status check_classes(walker *k, const char *root)
{
    data_walk *w = k->w;
    char has[DATA_MOST_CLASSES] = { 0 };

    if (w->n == 0)
        return nn_fail(k->err, NN_EDATA, "%.1000s: no pictures here; wanted are folders "
                       "named after classes with jpg, jpeg, png, bmp, ppm, pgm or pnm "
                       "files in them", root);
    for (int i = 0; i < w->n; i++) {
        w->of_part[w->file[i].part]++;
        if (w->file[i].part == 0)
            has[w->file[i].class] = 1;
    }
    for (int i = 0; i < w->classes; i++)
        if (!has[i])
            return nn_fail(k->err, NN_EDATA, "%.1000s: all pictures of class %.200s are "
                           "held out; lower data.test_share, or make folders train and "
                           "test", root, w->class_name[i]);
    if (w->of_part[1] == 0)
        return nn_fail(k->err, NN_EDATA, "%.1000s: no picture to test on: there is none in "
                       "test/ or val/, and none is held out; raise data.test_share", root);
    return NN_OK;
}

static int by_place(const void *a, const void *b)
{
    const data_found *f = a, *g = b;

    if (f->part != g->part)
        return f->part - g->part;
    if (f->place != g->place)
        return f->place < g->place ? -1 : 1;
    return strcmp(f->path, g->path);
}

nn_status data_walk_folder(const char *root, double share, nn_arena *a, data_walk *out,
                           nn_err *err)
{
    walker *k = NN_NEW0(a, walker, 1);
    const char *test = test_part(root);
    int train = has_train(root);

    *out = (data_walk){ .class_name = NN_NEW(a, const char *, DATA_MOST_CLASSES) };
    k->w = out;
    k->arena = a;
    k->err = err;
    k->root = strlen(root) + 1;
    NN_NEED(k->root < DATA_PATH, "walk: a path of %zu bytes", k->root);
    strcpy(k->path, root);
    NN_TRY(train ? walk_named(k, "train", 0) : walk_part(k, 0));
    if (train && test)
        NN_TRY(walk_named(k, test, 1));
    else
        hold_out(out, share);
    NN_TRY(check_classes(k, root));
    qsort(out->file, (size_t)out->n, sizeof *out->file, by_place);
    return NN_OK;
}

void data_walk_free(data_walk *w)
{
    free(w->file);
    *w = (data_walk){ 0 };
}

int data_walk_same(const char *root, const data_found *f)
{
    char path[2 * DATA_PATH];
    struct stat about;

    snprintf(path, sizeof path, "%s/%s", root, f->path);
    if (stat(path, &about) != 0)
        return f->bytes == -1;
    return f->bytes == about.st_size && f->time == time_of(&about);
}

/* ---- a glance ---- */

/* 1 when some entry passes. */
static int any(const char *dir, int (*passes)(const char *dir, const char *name))
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int found = 0;

    while (d && !found && (e = readdir(d)))
        found = is_shown(e) && passes(dir, e->d_name);
    if (d)
        closedir(d);
    return found;
}

static int is_picture(const char *dir, const char *name)
{
    return data_picture_suffix(name) && !is_folder(dir, name);
}

static int has_picture(const char *dir, const char *name)
{
    char path[2 * DATA_PATH];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return is_folder(dir, name) && any(path, is_picture);
}

int data_walk_glance(const char *root)
{
    char train[DATA_PATH + 16];

    snprintf(train, sizeof train, "%s/train", root);
    return any(has_train(root) ? train : root, has_picture);
}
