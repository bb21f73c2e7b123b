#include <string.h>

#include "data/files.h"
#include "data/places.h"
#include "experiments/data_task.h"

/* `fullrank data list`, and how to get what is not there. */

static int is_here(const data_source *d, char *where, size_t size)
{
    data_settings usual;

    nn_setting_defaults(data_setting_table, &usual);
    usual.name = d->name;
    return ex_data_here(d, &usual, where, size);
}

/* What a person does to have it. */
static const char *how(const data_source *d, char *out, size_t size)
{
    if (d->package)
        snprintf(out, size, "apt-get install %s", d->package);
    else if (d->files)
        snprintf(out, size, "fullrank data fetch-help %s", d->name);
    else
        snprintf(out, size, "your own files: data.dir");
    return out;
}

static const char *images_text(const data_source *d, char *out, size_t size)
{
    if (d->train)
        snprintf(out, size, "%d / %d", d->train, d->test);
    else
        snprintf(out, size, "-");
    return out;
}

static const char *size_text(const data_source *d, char *out, size_t size)
{
    if (d->h)
        snprintf(out, size, "%d x %d x %d", d->h, d->w, d->c);
    else
        snprintf(out, size, "-");
    return out;
}

static void table(FILE *out)
{
    char where[DATA_PATH], images[32], size[32], classes[16], get[128];

    fprintf(out, "%-15s %16s %12s %7s  %s\n", "set", "train / test", "size", "classes",
            "where");
    for (int i = 0; i < data_source_count(); i++) {
        const data_source *d = data_source_at(i);
        const int here = is_here(d, where, sizeof where);
        snprintf(classes, sizeof classes, d->classes ? "%d" : "-", d->classes);
        fprintf(out, "%-15s %16s %12s %7s  ", d->name,
                images_text(d, images, sizeof images), size_text(d, size, sizeof size),
                classes);
        if (here)
            fprintf(out, "%s\n", where[0] ? where : "built in");
        else
            fprintf(out, "not here: %s\n", how(d, get, sizeof get));
    }
}

static json_t *number(int x)
{
    return x ? json_integer(x) : json_null();
}

static void objects(ex_data_task *t, FILE *out)
{
    json_t *list = json_array();
    char where[DATA_PATH], get[128];

    for (int i = 0; i < data_source_count(); i++) {
        const data_source *d = data_source_at(i);
        const int here = is_here(d, where, sizeof where);
        json_array_append_new(list, json_pack(
            "{s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", d->name,
            "about", d->about, "here", here, "where",
            here ? json_string(data_readable(where, &t->own)) : json_null(), "train",
            number(d->train), "test",
            number(d->test), "h", number(d->h), "w", number(d->w), "c", number(d->c),
            "classes", number(d->classes), "get",
            here ? json_null() : json_string(how(d, get, sizeof get))));
    }
    json_t *o = json_pack("{s:o}", "sets", list);
    NN_NEED(o, "data list: out of memory");
    json_dumpf(o, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(o);
}

nn_status ex_data_list(ex_data_task *t, FILE *out, nn_err *err)
{
    (void)err;
    if (t->o->json)
        objects(t, out);
    else
        table(out);
    return NN_OK;
}

/* ---- fetch-help ---- */

/* Sums and names as md5sum -c reads them, when all are known. */
static void sums(const data_source *d, FILE *out)
{
    int known = 0;

    for (const data_file *f = d->files; f->name; f++)
        known += f->md5 != NULL;
    if (!known)
        return;
    fputs("    md5sum -c <<'END'\n", out);
    for (const data_file *f = d->files; f->name; f++)
        if (f->md5)
            fprintf(out, "%s  %s\n", f->md5, f->name);
    fputs("END\n", out);
}

static void tell_files(const data_source *d, FILE *out)
{
    fprintf(out, "\n%-32s %12s  %s\n", "file", "bytes", "md5");
    for (const data_file *f = d->files; f->name; f++) {
        fprintf(out, "%-32s ", f->name);
        if (f->bytes)
            fprintf(out, "%12lld", f->bytes);
        else
            fprintf(out, "%12s", "-");
        fprintf(out, "  %s\n", f->md5 ? f->md5 : "-");
    }
}

static void tell_commands(const data_source *d, FILE *out)
{
    const char *n = d->name;

    fprintf(out, "\nThey are looked for in $FULLRANK_DATA/%s, $FULLRANK_DATA, data.dir/%s"
            " and data.dir.\n"
            "This program downloads nothing; a browser does, or curl:\n\n", n, n);
    fprintf(out, "    mkdir -p ~/data/%s && cd ~/data/%s\n", n, n);
    if (d->origin && strstr(d->origin, ".tar"))
        fputs("    curl -LO ADDRESS          # of the archive\n"
              "    tar --strip-components=1 -xf ARCHIVE\n", out);
    else
        fputs("    curl -LO ADDRESS          # of each file\n", out);
    sums(d, out);
    fprintf(out, "    export FULLRANK_DATA=~/data\n    fullrank data check %s\n", n);
}

static void explain(const data_source *d, FILE *out)
{
    char where[DATA_PATH];
    const int here = is_here(d, where, sizeof where);

    fprintf(out, "%s: %s\n", d->name, d->about);
    if (here && !where[0]) {
        fputs("It is built in and needs no files.\n", out);
        return;
    }
    if (here)
        fprintf(out, "It is here: %s\n", where);
    if (d->package)
        fprintf(out, "Debian's package: apt-get install %s\n", d->package);
    if (d->origin)
        fprintf(out, "Published at %s\n", d->origin);
    if (d->files) {
        tell_files(d, out);
        tell_commands(d, out);
    } else if (!d->package) {
        fputs("Its files are your own: data.dir says where they lie.\n", out);
    }
}

nn_status ex_data_fetch_help(ex_data_task *t, FILE *out, nn_err *err)
{
    const char *name = t->o->words > 1 ? t->o->word[1] : NULL;
    char hint[96];
    int told = 0;

    if (name && !data_source_find(name))
        return nn_fail(err, NN_ECONFIG, "command line: no data set '%.60s'%s", name,
                       ex_data_near(name, hint, sizeof hint));
    if (name) {
        explain(data_source_find(name), out);
        return NN_OK;
    }
    for (int i = 0; i < data_source_count(); i++) {
        const data_source *d = data_source_at(i);
        if (d->package || !d->files)
            continue;
        fputs(told++ ? "\n" : "", out);
        explain(d, out);
    }
    return NN_OK;
}
