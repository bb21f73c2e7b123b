#include <math.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/cache.h"
#include "data/data.h"
#include "data/files.h"
#include "data/fit.h"
#include "data/image.h"
#include "data/places.h"
#include "data/walk.h"

/* A folder of pictures: data/walk.h says which, data/fit.h how they become equal squares,
 * data/cache.h where the squares are kept.
 *
 * Images stand in the order of a hash of their paths, so that the first so many
 * (data.limit) are of all classes. */

extern const data_source data_folder;

/* Raised when the same files and settings give other bytes than before. */
enum { FORMAT = 1 };

/* What the cache keeps beside the pixels. */
typedef struct notes {
    uint64_t print[2];                  /* fingerprint of the parts */
    float mean[3], std[3];
} notes;

/* Pictures being loaded. */
typedef struct loading {
    const data_settings *s;
    const char *root;
    data_walk walk;
    nn_arena *arena;                    /* of the run */
    data_fit fit;
    uint16_t *label;                    /* (walk.n) */
} loading;

/* ---- which folder ---- */

/* data.dir names the set itself; without it $FULLRANK_DATA does.  A slash at the end is
 * no part of the name. */
static const char *root_of(const data_settings *s, char *out)
{
    const char *base = getenv("FULLRANK_DATA");
    const char *dir = *s->dir ? s->dir : base ? base : "";
    size_t n = strlen(dir);

    while (n > 1 && dir[n - 1] == '/')
        n--;
    if (n >= DATA_PATH / 2)
        return NULL;
    memcpy(out, dir, n);
    out[n] = 0;
    return out;
}

static int present(const data_settings *s, char *where, size_t size)
{
    char root[DATA_PATH];

    if (!root_of(s, root) || !*root || !data_walk_glance(root))
        return 0;
    snprintf(where, size, "%s", root);
    return 1;
}

static nn_status check_root(const char *root, nn_err *err)
{
    struct stat about;

    if (!root || !*root)
        return nn_fail(err, NN_EDATA, root ? "data set folder: no folder named; name one "
                       "that holds class/name.jpg in data.dir or $FULLRANK_DATA"
                       : "data set folder: the path in data.dir or $FULLRANK_DATA is too "
                       "long; shorten it");
    if (stat(root, &about) == 0 && !S_ISDIR(about.st_mode))
        return nn_fail(err, NN_EDATA, "%.1000s: not a folder; name one that holds "
                       "class/name.jpg in data.dir", root);
    return NN_OK;
}

/* ---- names for people ---- */

static const char *const *names_of(const data_walk *w, nn_arena *a)
{
    const char **out = NN_NEW(a, const char *, w->classes + 1);

    for (int i = 0; i < w->classes; i++)
        out[i] = data_readable(w->class_name[i], a);
    out[w->classes] = NULL;
    return out;
}

/* ---- pictures ---- */

static nn_status read_picture(const loading *l, int i, data_picture *p, nn_err *err)
{
    char path[2 * DATA_PATH];

    snprintf(path, sizeof path, "%s/%s", l->root, l->walk.file[i].path);
    return data_picture_read(path, l->fit.c, p, err);
}

/* The cache is named after what the walk saw, and has to hold that. */
static nn_status make(void *ctx, int i, uint8_t *row, nn_err *err)
{
    const loading *l = ctx;
    data_picture p;
    nn_status status = read_picture(l, i, &p, err);

    if (!data_walk_same(l->root, &l->walk.file[i])) {
        data_picture_free(&p);
        return nn_fail(err, NN_ERUN, "%.1000s/%.1000s: changed while it was read; run "
                       "again when all files are in place", l->root, l->walk.file[i].path);
    }
    NN_TRY(status);
    data_fit_picture(&l->fit, &p, row);
    data_picture_free(&p);
    return NN_OK;
}

static int count_missing(const uint8_t *missing, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        count += missing[i];
    return count;
}

/* The first of them with its fault, the next ones by name. */
static const char *name_missing(const loading *l, const uint8_t *missing, char *out,
                                size_t size)
{
    enum { NAMED = 4 };
    int named = 0, at = 0;
    nn_err why = { 0 };
    data_picture p;

    for (int i = 0; i < l->walk.n && named < NAMED; i++) {
        if (!missing[i])
            continue;
        if (named++ == 0) {
            if (read_picture(l, i, &p, &why) == NN_OK)
                data_picture_free(&p);
            at = snprintf(out, size, "%.600s", why.text);
        } else {
            at += snprintf(out + at, size - (size_t)at, "%s%.200s",
                           named == 2 ? "; then " : ", ", l->walk.file[i].path);
        }
    }
    return out;
}

/* As data.broken says. */
static nn_status judge_missing(const loading *l, const uint8_t *missing, nn_err *err)
{
    int n = count_missing(missing, l->walk.n);
    char which[1400];

    if (n == 0)
        return NN_OK;
    name_missing(l, missing, which, sizeof which);
    if (n > l->walk.n / 2)
        return nn_fail(err, NN_EDATA, "%.1000s: %d of %d pictures cannot be read, more than "
                       "half: this is not the folder, or it is damaged; first %s", l->root,
                       n, l->walk.n, which);
    if (l->s->broken == DATA_REFUSE)
        return nn_fail(err, NN_EDATA, "%.1000s: %d of %d pictures cannot be read; replace "
                       "or remove them, or leave them out with data.broken=skip; first %s",
                       l->root, n, l->walk.n, which);
    return NN_OK;
}

/* One of them may have become readable without a trace in size and time. */
static int outdated(void *ctx, const uint8_t *missing)
{
    const loading *l = ctx;
    nn_err none;
    data_picture p;

    for (int i = 0; i < l->walk.n; i++)
        if (missing[i] && read_picture(l, i, &p, &none) == NN_OK) {
            data_picture_free(&p);
            return 1;
        }
    return 0;
}

/* ---- the set ---- */

static int first_of(const loading *l, int part)
{
    return part ? l->walk.of_part[0] : 0;
}

/* The rows of a part that there are; NULL when those are all. */
static const uint32_t *rows_of(const loading *l, int part, const uint8_t *missing,
                               nn_arena *a, int *n)
{
    int all = l->walk.of_part[part], lost = count_missing(missing, all);

    *n = all - lost;
    if (lost == 0)
        return NULL;
    uint32_t *row = NN_NEW(a, uint32_t, *n ? *n : 1);
    for (int i = 0, to = 0; i < all; i++)
        if (!missing[i])
            row[to++] = (uint32_t)i;
    return row;
}

/* A part of the rows, with labels. */
static data_images part_of(const loading *l, int part, const uint8_t *missing,
                           const uint8_t *rows, nn_arena *a)
{
    int first = first_of(l, part);
    data_images d = {
        .h = l->fit.side, .w = l->fit.side, .c = l->fit.c, .classes = l->walk.classes,
        .pixel = rows + (size_t)first * data_fit_bytes(&l->fit)
    };

    d.row = rows_of(l, part, missing + first, a, &d.n);
    d.skipped = l->walk.of_part[part] - d.n;
    uint16_t *label = NN_NEW(a, uint16_t, d.n ? d.n : 1);
    for (int i = 0; i < d.n; i++)
        label[i] = (uint16_t)l->walk.file[first + (d.row ? (int)d.row[i] : i)].class;
    d.label = label;
    return d;
}

static nn_status conclude(void *ctx, const uint8_t *missing, const uint8_t *rows,
                          void *out, nn_err *err)
{
    const loading *l = ctx;
    nn_status status = judge_missing(l, missing, err);
    nn_arena own = { 0 };
    data_images of[2];
    notes found = { 0 };

    for (int part = 0; part < 2 && status == NN_OK; part++) {
        of[part] = part_of(l, part, missing, rows, &own);
        if (of[part].n == 0)
            status = nn_fail(err, NN_EDATA, "%.1000s: none of the %d pictures to %s on "
                             "can be read; replace them", l->root, of[part].skipped,
                             part ? "test" : "train");
        else
            found.print[part] = data_fingerprint(&of[part]);
    }
    if (status == NN_OK) {
        data_measure(&of[0], &of[1]);
        memcpy(found.mean, of[0].mean, sizeof found.mean);
        memcpy(found.std, of[0].std, sizeof found.std);
    }
    memcpy(out, &found, sizeof found);
    nn_arena_free(&own);
    return status;
}

static void add_number(SHA2_CTX *sha, int64_t x)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)x >> 8 * i);
    SHA256Update(sha, bytes, sizeof bytes);
}

/* All that the rows and notes depend on. */
static void make_key(const loading *l, uint8_t key[DATA_CACHE_KEY])
{
    const int what[] = { FORMAT, l->fit.side, l->fit.c, l->fit.fit, l->fit.resample,
                         l->walk.of_part[0], l->walk.of_part[1] };
    SHA2_CTX sha;

    SHA256Init(&sha);
    for (size_t i = 0; i < NN_COUNT(what); i++)
        add_number(&sha, what[i]);
    for (int i = 0; i < l->walk.n; i++) {
        const data_found *f = &l->walk.file[i];
        SHA256Update(&sha, (const uint8_t *)f->path, strlen(f->path) + 1);
        add_number(&sha, f->bytes);
        add_number(&sha, f->time);
        add_number(&sha, f->class);
    }
    SHA256Final(key, &sha);
}

static void tell_missing(const loading *l, const uint8_t *missing)
{
    int n = count_missing(missing, l->walk.n);
    char which[1400];

    if (n > 0)
        data_tell(0, 0, "%.200s: %d of %d pictures cannot be read and are left out; first "
                  "%.600s", l->root, n, l->walk.n,
                  name_missing(l, missing, which, sizeof which));
}

/* The first so many of a part; its fingerprint is known when that is all. */
static void finish(const loading *l, const data_cache *c, int part, int limit,
                   data_images *d)
{
    notes known;

    memcpy(&known, c->notes, sizeof known);
    *d = part_of(l, part, c->missing, c->rows, l->arena);
    memcpy(d->mean, known.mean, sizeof d->mean);
    memcpy(d->std, known.std, sizeof d->std);
    d->map = c->map;
    if (limit && limit < d->n)
        d->n = limit;
    else
        d->print = known.print[part];
}

static nn_status load_found(loading *l, data_images *train, data_images *test,
                            nn_err *err)
{
    char dir[DATA_PATH], kind[64];
    data_making m = { .dir = dir, .kind = kind, .n = l->walk.n,
                      .each = data_fit_bytes(&l->fit), .ctx = l, .make = make,
                      .conclude = conclude, .outdated = outdated };
    data_cache c;

    NN_TRY(data_cache_dir(l->s->cache, dir, sizeof dir, err));
    snprintf(kind, sizeof kind, "folder-%dx%dx%d", l->fit.side, l->fit.side, l->fit.c);
    make_key(l, m.key);
    NN_TRY(data_cache_open(&m, &c, err));
    nn_status status = judge_missing(l, c.missing, err);
    if (status != NN_OK) {
        data_map_close(c.map);
        return status;
    }
    tell_missing(l, c.missing);
    c.map->users = 2;
    finish(l, &c, 0, l->s->limit, train);
    finish(l, &c, 1, l->s->test_limit, test);
    train->names = test->names = names_of(&l->walk, l->arena);
    return NN_OK;
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    char root[DATA_PATH];
    size_t mark = nn_arena_mark(a);
    nn_arena own = { 0 };
    loading l = { .s = s, .root = root_of(s, root), .arena = a, .fit = {
        .side = s->side, .c = s->channels == DATA_GREY ? 1 : 3, .fit = s->fit,
        .resample = s->resample } };
    (void)seed;

    NN_TRY(check_root(l.root, err));
    nn_status status = data_walk_folder(l.root, s->test_share, &own, &l.walk, err);
    if (status == NN_OK)
        status = load_found(&l, train, test, err);
    data_walk_free(&l.walk);
    nn_arena_free(&own);
    if (status != NN_OK)
        nn_arena_rewind(a, mark);
    return status;
}

const data_source data_folder = {
    .name = "folder", .about = "pictures in folders, class/name.jpg, named in data.dir",
    .recipe = "simsiam_cifar", .own = 1, .load = load, .present = present
};
