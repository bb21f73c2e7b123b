#include <dirent.h>
#include <libgen.h>
#include <md5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/places.h"
#include "experiments/config_read.h"
#include "experiments/data_task.h"

/* Files of a set on the disk: finding the published ones, and telling a set by them. */

static int is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int ex_data_here(const data_source *d, const data_settings *s, char *where, size_t size)
{
    where[0] = 0;
    if (!d->present(s, where, size))
        return where[0] = 0;
    if (access(where, F_OK) != 0)       /* "built in" */
        where[0] = 0;
    return 1;
}

int ex_data_file(const char *dir, const data_file *f, char *path, int *plain)
{
    const char *gz = strrchr(f->name, '.');
    const int cut = gz && strcmp(gz, ".gz") == 0 ? (int)(gz - f->name)
                                                 : (int)strlen(f->name);

    *plain = 0;
    if (snprintf(path, DATA_PATH, "%s/%s", dir, f->name) < DATA_PATH && is_file(path))
        return 1;
    *plain = f->name[cut] != 0;
    return *plain && snprintf(path, DATA_PATH, "%s/%.*s", dir, cut, f->name) < DATA_PATH
           && is_file(path);
}

int ex_data_md5(const char *path, char out[33])
{
    return MD5File(path, out) != NULL;
}

/* ---- which set is it? ---- */

static void settings_in(const char *dir, const data_source *d, data_settings *s)
{
    nn_setting_defaults(data_setting_table, s);
    s->name = d->name;
    s->dir = dir;
}

/* Its reader finds everything in that place. */
static int is_whole(const data_source *d, const char *dir)
{
    char where[DATA_PATH] = "";
    data_settings s;

    settings_in(dir, d, &s);
    return ex_data_here(d, &s, where, sizeof where) && where[0]
           && strncmp(where, dir, strlen(dir)) == 0;
}

static int has_a_file(const data_source *d, const char *dir)
{
    char path[DATA_PATH];
    int plain;

    for (const data_file *f = d->files; f && f->name; f++)
        if (ex_data_file(dir, f, path, &plain))
            return 1;
    return 0;
}

/* Sets share names of files, but not what is in them. */
static int is_published(const data_source *d, const char *dir)
{
    char path[DATA_PATH], md5[33];
    int plain;

    for (const data_file *f = d->files; f && f->name; f++)
        if (f->md5 && ex_data_file(dir, f, path, &plain) && !plain
            && ex_data_md5(path, md5))
            return strcmp(md5, f->md5) == 0;
    return 0;
}

static int is_named(const data_source *d, const char *dir)
{
    char real[DATA_PATH];
    if (!realpath(dir, real))
        return 0;
    return strcmp(basename(real), d->name) == 0;
}

/* The only one, or the only one for which `best` holds. */
static const data_source *only(const data_source *const *found, int n, const char *dir,
                               int (*best)(const data_source *, const char *))
{
    const data_source *one = NULL;
    for (int i = 0; i < n; i++)
        if (!best || best(found[i], dir)) {
            if (one)
                return NULL;
            one = found[i];
        }
    return one;
}

static const data_source *told_apart(const data_source *const *found, int n,
                                     const char *dir)
{
    const data_source *one = only(found, n, dir, NULL);
    one = one ? one : only(found, n, dir, is_named);
    return one ? one : only(found, n, dir, is_published);
}

/* A file of a set stands for its folder, unless its reader takes it as it is. */
static const char *folder_of(const char *path, nn_arena *a)
{
    struct stat st;

    if (stat(path, &st) != 0 || S_ISDIR(st.st_mode))
        return path;
    for (int i = 0; i < data_source_count(); i++)
        if (is_whole(data_source_at(i), path))
            return path;
    return dirname(nn_arena_copy(a, path));
}

/* A file must be one of the set's, or stand for itself. */
static int holds(const data_source *d, const char *path, const char *dir)
{
    char file[DATA_PATH], real[2][DATA_PATH];
    int plain;

    if (path == dir)
        return 1;
    for (const data_file *f = d->files; f && f->name; f++)
        if (ex_data_file(dir, f, file, &plain) && realpath(file, real[0])
            && realpath(path, real[1]) && strcmp(real[0], real[1]) == 0)
            return 1;
    return 0;
}

const data_source *ex_data_guess(const char *path, nn_arena *a, const char **dir,
                                 nn_err *err)
{
    const int n = data_source_count();
    const data_source **found = NN_NEW(a, const data_source *, n);
    char names[256] = "", w[256];
    int count = 0;

    *dir = folder_of(path, a);
    for (int whole = 1; whole >= 0 && !count; whole--)
        for (int i = 0; i < n; i++) {
            const data_source *d = data_source_at(i);
            if ((whole ? is_whole : has_a_file)(d, *dir) && holds(d, path, *dir))
                found[count++] = d;
        }
    const data_source *one = told_apart(found, count, *dir);
    if (one)
        return one;
    ex_quoted(path, w, sizeof w);
    for (int i = 0; i < count; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                 i ? ", " : "", found[i]->name);
    if (count)
        nn_fail(err, NN_EDATA, "%s: may be any of %s; say which with --set NAME", w,
                names);
    else
        nn_fail(err, NN_EDATA, "%s: neither a configuration (.yaml) nor a place where the"
                " files of a set lie; if they do, say which set with --set NAME"
                " ('fullrank data list' has the names)", w);
    return NULL;
}
