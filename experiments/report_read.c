/* Run folders read back for the report: each file is checked before it is relied on. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>
#include "experiments/report_codes.h"
#include "experiments/report_read.h"

enum {
    SMALL = 1 << 20,            /* most bytes of config.yaml and status.json: 1 page */
    LARGE = 1 << 28,            /* most bytes of a .jsonl: 1000 epochs are 40 MB */
    DEPTH = 8,                  /* nesting of config.yaml; ours has two levels */
    ROWS = 2000,                /* settings in config.yaml; ours has under a hundred */
    EPOCHS = 1000000000         /* most epochs, and most things that are counted */
};

/* Where a reader is; line 0 means the file as a whole. */
typedef struct place {
    const char *file;
    int line;
    nn_err *err;
} place;

/* ---- what is wrong ---------------------------------------------------------------- */

static nn_status wrong_at(const place *at, const char *remedy, const char *format,
                          va_list args)
{
    char cause[512], line[16] = "";
    vsnprintf(cause, sizeof cause, format, args);
    if (at->line)
        snprintf(line, sizeof line, ":%d", at->line);
    return nn_fail(at->err, NN_ERUN, "%s%s: %s; %s", at->file, line, cause, remedy);
}

__attribute__((format(printf, 2, 3)))
static nn_status damaged(const place *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    nn_status code = wrong_at(at, "the file is damaged: train again", format, args);
    va_end(args);
    return code;
}

__attribute__((format(printf, 2, 3)))
static nn_status foreign(const place *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    nn_status code = wrong_at(at, "it was not written by this version of `fullrank "
                              "train`: name another run or train again", format, args);
    va_end(args);
    return code;
}

/* ---- files ------------------------------------------------------------------------ */

static char *join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    NN_NEED(path, "out of memory for a path of %zu bytes", size);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

static int is_missing(const char *file)
{
    struct stat s;
    return stat(file, &s) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

static nn_status unreadable(const place *at)
{
    return nn_fail(at->err, NN_ERUN, "%s: %s; %s", at->file, strerror(errno),
                   errno == ENOENT ? "the run folder is incomplete: train again"
                                   : "make it readable and try again");
}

/* The whole file and a final zero byte in *text, which the caller frees. */
static nn_status slurp(const place *at, size_t most, char **text, size_t *size)
{
    /* without waiting, or a named pipe would hold us for ever */
    int fd = open(at->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat s;
    ssize_t step = 1;

    *text = NULL;
    *size = 0;
    if (fd < 0)
        return unreadable(at);
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode) || (size_t)s.st_size > most) {
        close(fd);
        return foreign(at, S_ISREG(s.st_mode) ? "far too large" : "not a regular file");
    }
    *text = malloc((size_t)s.st_size + 1);
    NN_NEED(*text, "out of memory for %s", at->file);
    while (*size < (size_t)s.st_size && step > 0) {
        step = read(fd, *text + *size, (size_t)s.st_size - *size);
        if (step > 0)
            *size += (size_t)step;
        else if (step < 0 && errno == EINTR)
            step = 1;
    }
    (*text)[*size] = 0;
    close(fd);
    if (step >= 0)
        return NN_OK;
    free(*text);
    *text = NULL;
    return unreadable(at);
}

/* ---- small checks on JSON --------------------------------------------------------- */

static const char *kind_of(const json_t *v)
{
    static const char *const word[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list", [JSON_STRING] = "a text",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false", [JSON_NULL] = "null",
    };
    return v ? word[json_typeof(v)] : "missing";
}

static int starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static int is_count(const json_t *v, json_int_t lo, json_int_t hi)
{
    json_int_t n = json_integer_value(v);
    return json_is_integer(v) && n >= lo && n <= hi;
}

/* A list of numbers; null stands for a number that was not finite. */
static int numbers(const json_t *v)
{
    if (!json_is_array(v))
        return 0;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_number(json_array_get(v, i)) && !json_is_null(json_array_get(v, i)))
            return 0;
    return 1;
}

/* ---- status.json ------------------------------------------------------------------ */

typedef int kind_test(const json_t *v);

static int is_text(const json_t *v)
{
    return !v || json_is_null(v) || json_is_string(v);
}

static int is_number(const json_t *v)
{
    return !v || json_is_null(v) || json_is_number(v);
}

static int is_object(const json_t *v)
{
    return !v || json_is_null(v) || json_is_object(v);
}

/* The members of status.json that the report reads; each may be absent or null. */
static const struct member { const char *key; kind_test *fits; const char *wanted; }
members[] = {
    { "message", is_text, "a text" }, { "label", is_text, "a text" },
    { "host", is_text, "a text" }, { "version", is_text, "a text" },
    { "compiler", is_text, "a text" }, { "kernel", is_text, "a text" },
    { "started", is_text, "a text" }, { "ended", is_text, "a text" },
    { "weights_sha256", is_text, "a text" },
    { "exit", is_number, "a number" }, { "epoch", is_number, "a number" },
    { "epochs", is_number, "a number" }, { "seed", is_number, "a number" },
    { "threads", is_number, "a number" }, { "seconds", is_number, "a number" },
    { "baseline", is_object, "an object" }, { "reference", is_object, "an object" },
    { "data", is_object, "an object" }, { "model", is_object, "an object" },
};

static nn_status check_status(const place *at, const json_t *s)
{
    static const char *const state[] = {
        "running", "finished", "failed", "diverged", "interrupted"
    };
    const json_t *method = json_object_get(s, "method");
    int known = 0;

    for (size_t i = 0; i < NN_COUNT(state); i++)
        known |= strcmp(ex_text_of(s, "state"), state[i]) == 0;
    if (!known)
        return foreign(at, "no \"state\" known to fullrank (running, finished, failed, "
                       "diverged, interrupted)");
    if (!json_is_string(method))
        return foreign(at, "\"method\" is %s, wanted a text", kind_of(method));
    for (size_t i = 0; i < NN_COUNT(members); i++) {
        const json_t *v = json_object_get(s, members[i].key);
        if (!members[i].fits(v))
            return foreign(at, "\"%s\" is %s, wanted %s", members[i].key, kind_of(v),
                           members[i].wanted);
    }
    return NN_OK;
}

static nn_status read_status(const place *at, ex_record *r)
{
    char *text;
    size_t size;
    json_error_t e;

    NN_TRY(slurp(at, SMALL, &text, &size));
    r->status = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
    free(text);
    if (!json_is_object(r->status))
        return damaged(at, "%s", r->status ? "not a JSON object" :
                       size ? e.text : "empty");
    return check_status(at, r->status);
}

/* ---- config.yaml ------------------------------------------------------------------ */

typedef struct walk {
    yaml_document_t doc;
    place at;
    const char *text;
    json_t *out;
} walk;

/* The trailing comment of line `line` (from 0) of the text tells where a value came from.
 * Only plain words count: a '#' inside a quoted value has a quote after it. */
static void origin_of(const char *text, size_t line, char *out, size_t size)
{
    const char *from = text, *hash = NULL;

    *out = 0;
    for (; line && from; line--)
        if ((from = strchr(from, '\n')))
            from++;
    if (!from)
        return;
    const char *end = from + strcspn(from, "\r\n");
    for (const char *p = from; p + 2 < end; p++)
        if (memcmp(p, " # ", 3) == 0)
            hash = p + 3;
    size_t n = hash ? (size_t)(end - hash) : 0;
    if (n == 0 || n >= size || memchr(hash, '"', n) || memchr(hash, '\'', n))
        return;
    memcpy(out, hash, n);
    out[n] = 0;
}

static nn_status add_setting(walk *w, const char *key, const char *value, size_t line)
{
    char origin[48];

    if (json_array_size(w->out) >= ROWS)
        return foreign(&w->at, "more than %d settings", (int)ROWS);
    origin_of(w->text, line, origin, sizeof origin);
    json_t *row = json_pack("[sss]", key, value, origin);
    if (!row)
        return damaged(&w->at, "not valid UTF-8");
    json_array_append_new(w->out, row);
    return NN_OK;
}

/* Adds every value under node `node` as "prefix.key": a list as "prefix[0]", ... */
static nn_status flatten(walk *w, int node, const char *prefix, int depth)
{
    const yaml_node_t *n = yaml_document_get_node(&w->doc, node);
    char name[256];
    int i = 0;

    w->at.line = (int)n->start_mark.line + 1;
    if (depth > DEPTH)
        return foreign(&w->at, "nested more than %d deep", (int)DEPTH);
    if (n->type == YAML_SCALAR_NODE)
        return add_setting(w, prefix, (const char *)n->data.scalar.value,
                           n->end_mark.line);
    if (n->type == YAML_SEQUENCE_NODE) {
        for (const yaml_node_item_t *p = n->data.sequence.items.start;
             p < n->data.sequence.items.top; p++) {
            snprintf(name, sizeof name, "%s[%d]", prefix, i++);
            NN_TRY(flatten(w, *p, name, depth + 1));
        }
        return NN_OK;
    }
    for (const yaml_node_pair_t *p = n->data.mapping.pairs.start;
         p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&w->doc, p->key);
        if (key->type != YAML_SCALAR_NODE)
            return foreign(&w->at, "a key is not a word");
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "",
                 (const char *)key->data.scalar.value);
        NN_TRY(flatten(w, p->value, name, depth + 1));
    }
    return NN_OK;
}

static nn_status read_config(const place *at, ex_record *r)
{
    walk w = { .at = *at, .out = r->config };
    yaml_parser_t parser;
    nn_status code;
    char *text;
    size_t size;

    NN_TRY(slurp(at, SMALL, &text, &size));
    w.text = text;
    NN_NEED(yaml_parser_initialize(&parser), "out of memory for the YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    if (!yaml_parser_load(&parser, &w.doc)) {
        w.at.line = (int)parser.problem_mark.line + 1;
        code = damaged(&w.at, "%s", parser.problem ? parser.problem : "not YAML");
    } else {
        const yaml_node_t *root = yaml_document_get_root_node(&w.doc);
        if (!root || root->type != YAML_MAPPING_NODE)
            code = damaged(&w.at, root ? "holds no settings" : "empty");
        else
            code = flatten(&w, 1, "", 0);
        yaml_document_delete(&w.doc);
    }
    yaml_parser_delete(&parser);
    free(text);
    return code;
}

/* ---- files of lines --------------------------------------------------------------- */

typedef nn_status line_check(const place *at, json_t *v, ex_record *r);

/* One JSON object per line, each given to `check`.  A last line without its newline is
 * what a killed writer leaves: used if it is whole, left out with a note if it is not. */
static nn_status read_lines(const char *file, line_check *check, ex_record *r,
                            nn_err *err)
{
    place at = { file, 0, err };
    nn_status code = NN_OK;
    json_error_t e;
    char *text;
    size_t size;

    NN_TRY(slurp(&at, LARGE, &text, &size));
    for (const char *p = text, *end = text + size; p < end && code == NN_OK;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        json_t *v = json_loadb(p, n, JSON_REJECT_DUPLICATES, &e);
        at.line++;
        if (!v && !stop)
            ex_record_note(r, "%s ends in a line that was cut off (line %d), as a killed "
                           "run leaves it; the whole lines before it are used",
                           strrchr(file, '/') + 1, at.line);
        else if (!json_is_object(v))
            code = damaged(&at, "%s", v ? "not a JSON object" :
                           n ? e.text : "an empty line");
        else
            code = check(&at, v, r);
        json_decref(v);
        p = stop ? stop + 1 : end;
    }
    free(text);
    return code;
}

/* Appends `v` to `list`, whose epochs rise.  A resumed run repeats epochs it had begun:
 * the later line replaces the earlier ones. */
static void append_epoch(json_t *list, json_t *v)
{
    json_int_t e = json_integer_value(json_object_get(v, "epoch"));
    for (size_t n; (n = json_array_size(list)) > 0; json_array_remove(list, n - 1)) {
        const json_t *last = json_array_get(list, n - 1);
        if (json_integer_value(json_object_get(last, "epoch")) < e)
            break;
    }
    json_array_append(list, v);
}

static int counts_things(const char *key)
{
    static const char *const word[] = { "n", "d", "r", "k", "knn_k", "bank",
                                        "linear_bank" };
    for (size_t i = 0; i < NN_COUNT(word); i++)
        if (strcmp(key, word[i]) == 0)
            return 1;
    return 0;
}

static int holds_a_number(const char *key)
{
    static const char *const word[] = { "loss", "lr", "images_per_s", "data_wait",
                                        "seconds", "tau" };
    static const char *const group[] = { "term/", "train/", "collapse/", "h/", "eval/",
                                         "code/", "recon/" };
    for (size_t i = 0; i < NN_COUNT(word); i++)
        if (strcmp(key, word[i]) == 0)
            return 1;
    for (size_t i = 0; i < NN_COUNT(group); i++)
        if (starts(key, group[i]))
            return 1;
    return 0;
}

static nn_status check_row(const place *at, json_t *v, ex_record *r)
{
    const char *key;
    json_t *x;

    if (!is_count(json_object_get(v, "epoch"), 0, EPOCHS))
        return foreign(at, "no \"epoch\"");
    json_object_foreach(v, key, x) {
        int says = strcmp(key, "verdict") == 0 || strcmp(key, "why") == 0;
        if (holds_a_number(key) && !is_number(x))
            return damaged(at, "\"%s\" is %s, wanted a number or null", key, kind_of(x));
        if (counts_things(key) && !json_is_null(x) && !is_count(x, 0, EPOCHS))
            return damaged(at, "\"%s\" is %s, wanted a count", key, kind_of(x));
        if (says && !is_text(x))
            return damaged(at, "\"%s\" is %s, wanted a text", key, kind_of(x));
    }
    append_epoch(r->rows, v);
    return NN_OK;
}

int ex_is_base64(const json_t *v, size_t bytes)
{
    static const char digit[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *s = json_string_value(v);
    if (!s || strlen(s) != (bytes + 2) / 3 * 4)
        return 0;
    size_t body = strspn(s, digit), pad = strspn(s + body, "=");
    return s[body + pad] == 0 && pad == (3 - bytes % 3) % 3;
}

static nn_status check_pairs(const place *at, const json_t *p)
{
    static const char *const side[] = { "original", "view1", "view2" };
    const json_t *h = json_object_get(p, "h"), *w = json_object_get(p, "w");
    const json_t *c = json_object_get(p, "c"), *count = json_object_get(p, "count");

    if (!p || json_is_null(p))
        return NN_OK;
    if (!is_count(h, 1, EX_SIDE) || !is_count(w, 1, EX_SIDE) ||
        !is_count(count, 0, 1000) || !is_count(c, 1, 3) || json_integer_value(c) == 2)
        return damaged(at, "\"pairs\" needs h and w from 1 to %d, c 1 or 3, and a count",
                       (int)EX_SIDE);
    size_t bytes = (size_t)(json_integer_value(h) * json_integer_value(w) *
                            json_integer_value(c) * json_integer_value(count));
    for (size_t i = 0; i < NN_COUNT(side); i++)
        if (!ex_is_base64(json_object_get(p, side[i]), bytes))
            return damaged(at, "\"pairs.%s\" is not base64 of %zu bytes (count x h x w x "
                           "c)", side[i], bytes);
    return NN_OK;
}

static nn_status check_set(const place *at, const json_t *v)
{
    const json_t *classes = json_object_get(v, "classes"), *x;
    const json_t *label = json_object_get(v, "label");
    size_t i, count = json_array_size(classes);

    if (!json_is_array(classes) || !json_is_array(label))
        return foreign(at, "no \"classes\" and \"label\"");
    json_array_foreach(classes, i, x)
        if (!json_is_string(x))
            return damaged(at, "class %zu is %s, wanted a text", i, kind_of(x));
    json_array_foreach(label, i, x)
        if (!is_count(x, 0, (json_int_t)count - 1))
            return damaged(at, "label %zu is not one of the %zu classes", i, count);
    return check_pairs(at, json_object_get(v, "pairs"));
}

static nn_status check_shot(const place *at, json_t *v, ex_record *r)
{
    static const char *const list[] = { "spectrum_z", "spectrum_h", "map", "share" };
    char why[128];

    if (!r->set) {
        NN_TRY(check_set(at, v));
        r->set = json_incref(v);
        return NN_OK;
    }
    if (!is_count(json_object_get(v, "epoch"), 0, EPOCHS))
        return damaged(at, "no \"epoch\"");
    for (size_t i = 0; i < NN_COUNT(list); i++) {
        const json_t *x = json_object_get(v, list[i]);
        if (x && !json_is_null(x) && !numbers(x))
            return damaged(at, "\"%s\" is not a list of numbers", list[i]);
    }
    size_t points = json_array_size(json_object_get(r->set, "label"));
    const json_t *map = json_object_get(v, "map");
    if (json_is_array(map) && json_array_size(map) != 2 * points)
        return damaged(at, "the map has %zu numbers, wanted 2 for each of the %zu labels",
                       json_array_size(map), points);
    if (ex_code_shot_wrong(r->status, v, why, sizeof why))
        return damaged(at, "%s", why);
    append_epoch(r->shots, v);
    return NN_OK;
}

/* ---- the folder ------------------------------------------------------------------- */

static const char example[] = "runs/demo/simsiam-fashion-mnist-1a2b3c4d/s0";

static nn_status check_folder(const char *path, nn_err *err)
{
    struct stat s;

    if (stat(path, &s) != 0)
        return nn_fail(err, NN_ECONFIG, "%s: %s; name a run folder such as %s", path,
                       strerror(errno), example);
    if (!S_ISDIR(s.st_mode))
        return nn_fail(err, NN_ECONFIG, "%s: a file, not a run folder; name the folder "
                       "that holds it", path);

    char *status = join(path, "status.json"), *below = join(path, "s0/status.json");
    int missing = is_missing(status), seeds = !is_missing(below);
    free(status);
    free(below);
    if (!missing)
        return NN_OK;
    if (seeds)
        return nn_fail(err, NN_ECONFIG, "%s: not a run folder (no status.json in it); "
                       "did you mean %s/s0 ?", path, path);
    return nn_fail(err, NN_ECONFIG, "%s: not a run folder (no status.json in it); name "
                   "the folder of one seed, such as %s", path, example);
}

static nn_status read_metrics(const char *file, ex_record *r, nn_err *err)
{
    int finished = strcmp(ex_text_of(r->status, "state"), "finished") == 0;

    if (finished || !is_missing(file))
        NN_TRY(read_lines(file, check_row, r, err));
    if (json_array_size(r->rows))
        return NN_OK;
    if (finished)
        return damaged(&(place){ file, 0, err }, "no whole line, though the run has "
                       "finished");
    ex_record_note(r, "no epoch has been evaluated yet");
    return NN_OK;
}

static nn_status read_shots(const char *file, ex_record *r, nn_err *err)
{
    if (!is_missing(file))
        NN_TRY(read_lines(file, check_shot, r, err));
    if (json_array_size(r->rows) && json_array_size(r->shots) == 0)
        ex_record_note(r, "snapshots.jsonl %s, so there is no map and no spectrum",
                       is_missing(file) ? "is missing" : "holds no epoch");
    return NN_OK;
}

nn_status ex_record_read(const char *path, ex_record *r, nn_err *err)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    *r = (ex_record){
        .path = strndup(path, n), .config = json_array(), .rows = json_array(),
        .shots = json_array(), .notes = json_array(),
    };
    NN_NEED(r->path && r->config && r->rows && r->shots && r->notes, "out of memory");
    NN_TRY(check_folder(r->path, err));

    char *status = join(r->path, "status.json");
    char *config = join(r->path, "config.yaml");
    char *rows = join(r->path, "metrics.jsonl");
    char *shots = join(r->path, "snapshots.jsonl");
    nn_status code = read_status(&(place){ status, 0, err }, r);
    if (code == NN_OK)
        code = read_config(&(place){ config, 0, err }, r);
    if (code == NN_OK)
        code = read_metrics(rows, r, err);
    if (code == NN_OK)
        code = read_shots(shots, r, err);
    free(status);
    free(config);
    free(rows);
    free(shots);
    return code;
}

void ex_record_free(ex_record *r)
{
    free(r->path);
    json_decref(r->status);
    json_decref(r->config);
    json_decref(r->rows);
    json_decref(r->set);
    json_decref(r->shots);
    json_decref(r->notes);
    *r = (ex_record){0};
}

void ex_record_note(ex_record *r, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(r->notes, json_string(text));
}
