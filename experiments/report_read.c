/* Run folders read back for the report: every file is checked before anyone looks at it. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>
#include "experiments/report_read.h"

enum {
    SMALL = 1 << 20,            /* most bytes of config.yaml and status.json: both are pages */
    LARGE = 1 << 28,            /* most bytes of a .jsonl: 1000 epochs of maps are 40 MB */
    DEPTH = 8,                  /* nesting of config.yaml; ours has two levels */
    ROWS = 2000,                /* settings in config.yaml; ours has under a hundred */
    SIDE = 4096                 /* largest image side in snapshots.jsonl */
};

/* ---- files --------------------------------------------------------------------------- */

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

/* The whole file and a final zero byte in *text, which the caller frees. */
static nn_status slurp(const char *file, size_t most, char **text, size_t *size, nn_err *err)
{
    struct stat s;
    /* without waiting, or a named pipe would hold us for ever */
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    *text = NULL;
    *size = 0;
    if (fd < 0 || fstat(fd, &s) != 0) {
        nn_status code = nn_fail(err, NN_ERUN, "%s: %s; %s", file, strerror(errno),
                                 errno == ENOENT ? "the run folder is incomplete: train again"
                                                 : "make it readable and try again");
        if (fd >= 0)
            close(fd);
        return code;
    }
    if (!S_ISREG(s.st_mode) || (size_t)s.st_size > most) {
        close(fd);
        return nn_fail(err, NN_ERUN, "%s: %s; it was not written by fullrank, remove it or "
                       "train again", file, S_ISREG(s.st_mode) ? "far too large" :
                       "not a regular file");
    }
    char *all = malloc((size_t)s.st_size + 1);
    size_t got = 0;
    ssize_t step = 1;
    while (all && got < (size_t)s.st_size && step > 0) {
        step = read(fd, all + got, (size_t)s.st_size - got);
        if (step < 0 && errno == EINTR)
            step = 1;
        else if (step > 0)
            got += (size_t)step;
    }
    close(fd);
    if (!all || step < 0) {
        free(all);
        return nn_fail(err, NN_ERUN, "%s: %s; make it readable and try again", file,
                       all ? strerror(errno) : "out of memory");
    }
    all[got] = 0;
    *text = all;
    *size = got;
    return NN_OK;
}

/* ---- small checks on JSON ------------------------------------------------------------ */

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

static int integer_in(const json_t *v, json_int_t lo, json_int_t hi)
{
    return json_is_integer(v) && json_integer_value(v) >= lo && json_integer_value(v) <= hi;
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

/* ---- status.json --------------------------------------------------------------------- */

static nn_status status_wrong(const char *file, const char *key, const json_t *v,
                              const char *wanted, nn_err *err)
{
    return nn_fail(err, NN_ERUN, "%s: \"%s\" is %s, wanted %s; not written by this version of "
                   "fullrank: train again", file, key, kind_of(v), wanted);
}

static nn_status check_status(const char *file, const json_t *s, nn_err *err)
{
    static const char *const state[] = {
        "running", "finished", "failed", "diverged", "interrupted"
    };
    static const char *const text[] = { "method" };
    static const char *const text_or_null[] = {
        "message", "name", "label", "host", "version", "compiler", "kernel", "started",
        "ended", "weights_sha256"
    };
    static const char *const object_or_null[] = { "baseline", "reference", "data", "model" };
    static const char *const number_or_null[] = {
        "exit", "epoch", "epochs", "seed", "threads", "seconds"
    };
    const char *now = json_string_value(json_object_get(s, "state"));
    int known = 0;

    for (size_t i = 0; i < NN_COUNT(state); i++)
        known |= now && strcmp(now, state[i]) == 0;
    if (!known)
        return nn_fail(err, NN_ERUN, "%s: no \"state\" known to fullrank (running, finished, "
                       "failed, diverged, interrupted); this is the status of another program: "
                       "name a run of `fullrank train`", file);
    for (size_t i = 0; i < NN_COUNT(text); i++)
        if (!json_is_string(json_object_get(s, text[i])))
            return status_wrong(file, text[i], json_object_get(s, text[i]), "a text", err);
    for (size_t i = 0; i < NN_COUNT(text_or_null); i++) {
        const json_t *v = json_object_get(s, text_or_null[i]);
        if (v && !json_is_string(v) && !json_is_null(v))
            return status_wrong(file, text_or_null[i], v, "a text", err);
    }
    for (size_t i = 0; i < NN_COUNT(number_or_null); i++) {
        const json_t *v = json_object_get(s, number_or_null[i]);
        if (v && !json_is_number(v) && !json_is_null(v))
            return status_wrong(file, number_or_null[i], v, "a number", err);
    }
    for (size_t i = 0; i < NN_COUNT(object_or_null); i++) {
        const json_t *v = json_object_get(s, object_or_null[i]);
        if (v && !json_is_object(v) && !json_is_null(v))
            return status_wrong(file, object_or_null[i], v, "an object", err);
    }
    return NN_OK;
}

static nn_status read_status(const char *file, ex_record *r, nn_err *err)
{
    char *text;
    size_t size;
    json_error_t e;

    NN_TRY(slurp(file, SMALL, &text, &size, err));
    r->status = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
    free(text);
    if (!json_is_object(r->status))
        return nn_fail(err, NN_ERUN, "%s: %s; the file is damaged: train again", file,
                       r->status ? "not a JSON object" :
                       size ? e.text : "empty");
    return check_status(file, r->status, err);
}

/* ---- config.yaml --------------------------------------------------------------------- */

typedef struct yaml_walk {
    yaml_document_t doc;
    const char *file, *text;
    json_t *out;
    nn_err *err;
} yaml_walk;

/* The trailing comment of line `line` (from 0) of the text, which tells where a value came
 * from.  Only plain words count: a '#' inside a quoted value is followed by a quote. */
static void origin_of(const char *text, size_t line, char *out, size_t size)
{
    const char *from = text, *end, *hash = NULL;

    *out = 0;
    for (; line && from; line--)
        if ((from = strchr(from, '\n')))
            from++;
    if (!from)
        return;
    end = from + strcspn(from, "\r\n");
    for (const char *p = from; p + 1 < end; p++)
        if (p[0] == '#' && p > from && p[-1] == ' ' && p[1] == ' ')
            hash = p + 2;
    if (!hash || (size_t)(end - hash) >= size)
        return;
    for (const char *p = hash; p < end; p++)
        if (*p == '"' || *p == '\'')
            return;
    memcpy(out, hash, (size_t)(end - hash));
    out[end - hash] = 0;
}

static nn_status yaml_row(yaml_walk *w, const char *key, const char *value, size_t line)
{
    char origin[48];
    if (json_array_size(w->out) >= ROWS)
        return nn_fail(w->err, NN_ERUN, "%s: more than %d settings; not a config.yaml of a "
                       "run: train again", w->file, (int)ROWS);
    origin_of(w->text, line, origin, sizeof origin);
    json_t *row = json_pack("[sss]", key, value, origin);
    if (!row)
        return nn_fail(w->err, NN_ERUN, "%s:%zu: not valid UTF-8; the file is damaged: train "
                       "again", w->file, line + 1);
    json_array_append_new(w->out, row);
    return NN_OK;
}

static nn_status yaml_flatten(yaml_walk *w, int at, const char *prefix, int depth)
{
    yaml_node_t *node = yaml_document_get_node(&w->doc, at);

    if (depth > DEPTH)
        return nn_fail(w->err, NN_ERUN, "%s:%zu: nested more than %d deep; not a config.yaml "
                       "of a run: train again", w->file, node->start_mark.line + 1, (int)DEPTH);
    if (node->type == YAML_SCALAR_NODE)
        return yaml_row(w, prefix, (const char *)node->data.scalar.value,
                        node->end_mark.line);
    if (node->type == YAML_SEQUENCE_NODE) {
        int i = 0;
        for (yaml_node_item_t *p = node->data.sequence.items.start;
             p < node->data.sequence.items.top; p++) {
            char name[256];
            snprintf(name, sizeof name, "%s[%d]", prefix, i++);
            NN_TRY(yaml_flatten(w, *p, name, depth + 1));
        }
        return NN_OK;
    }
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start;
         p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(&w->doc, p->key);
        char name[256];
        if (key->type != YAML_SCALAR_NODE)
            return nn_fail(w->err, NN_ERUN, "%s:%zu: a key is not a word; not a config.yaml of "
                           "a run: train again", w->file, key->start_mark.line + 1);
        snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "",
                 (const char *)key->data.scalar.value);
        NN_TRY(yaml_flatten(w, p->value, name, depth + 1));
    }
    return NN_OK;
}

static nn_status read_config(const char *file, ex_record *r, nn_err *err)
{
    yaml_walk w = { .file = file, .out = r->config, .err = err };
    yaml_parser_t parser;
    nn_status code;
    char *text;
    size_t size;

    NN_TRY(slurp(file, SMALL, &text, &size, err));
    w.text = text;
    NN_NEED(yaml_parser_initialize(&parser), "out of memory for the YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    if (!yaml_parser_load(&parser, &w.doc)) {
        code = nn_fail(err, NN_ERUN, "%s:%zu: %s; the file is damaged: train again", file,
                       parser.problem_mark.line + 1, parser.problem ? parser.problem :
                       "cannot be read");
    } else {
        yaml_node_t *root = yaml_document_get_root_node(&w.doc);
        if (!root || root->type != YAML_MAPPING_NODE)
            code = nn_fail(err, NN_ERUN, "%s: %s; the file is damaged: train again", file,
                           root ? "holds no settings" : "empty");
        else
            code = yaml_flatten(&w, 1, "", 0);
        yaml_document_delete(&w.doc);
    }
    yaml_parser_delete(&parser);
    free(text);
    return code;
}

/* ---- files of lines ------------------------------------------------------------------ */

typedef nn_status line_check(const char *file, int line, json_t *v, ex_record *r, nn_err *err);

/* One JSON object per line, each given to `check`.  A last line without its newline is what a
 * killed writer leaves: it is used if it is whole, and left out with a note if it is not. */
static nn_status read_lines(const char *file, line_check *check, ex_record *r, nn_err *err)
{
    const char *name = strrchr(file, '/') + 1;
    nn_status code = NN_OK;
    json_error_t e;
    char *text;
    size_t size;
    int line = 1;

    NN_TRY(slurp(file, LARGE, &text, &size, err));
    for (const char *p = text, *end = text + size; p < end && code == NN_OK; line++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        json_t *v = json_loadb(p, n, JSON_REJECT_DUPLICATES, &e);
        if (!v && !stop)
            ex_record_note(r, "%s ends in a line that was cut off (line %d), as a killed run "
                           "leaves it; the whole lines before it are used", name, line);
        else if (!json_is_object(v))
            code = nn_fail(err, NN_ERUN, "%s:%d: %s; the file is damaged: train again", file,
                           line, v ? "not a JSON object" : n ? e.text : "an empty line");
        else
            code = check(file, line, v, r, err);
        json_decref(v);
        p = stop ? stop + 1 : end;
    }
    free(text);
    return code;
}

/* Appends `v` to `list`, whose epochs rise.  A resumed run repeats epochs it had begun: the
 * later line replaces the earlier ones. */
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
    static const char *const word[] = { "n", "d", "r", "k", "knn_k", "bank" };
    for (size_t i = 0; i < NN_COUNT(word); i++)
        if (strcmp(key, word[i]) == 0)
            return 1;
    return 0;
}

static int holds_a_number(const char *key)
{
    static const char *const word[] = { "loss", "lr", "images_per_s", "seconds" };
    static const char *const group[] = { "collapse/", "h/", "eval/", "code/" };
    for (size_t i = 0; i < NN_COUNT(word); i++)
        if (strcmp(key, word[i]) == 0)
            return 1;
    for (size_t i = 0; i < NN_COUNT(group); i++)
        if (starts(key, group[i]))
            return 1;
    return 0;
}

static nn_status check_row(const char *file, int line, json_t *v, ex_record *r, nn_err *err)
{
    const char *key;
    json_t *x;

    if (!integer_in(json_object_get(v, "epoch"), 0, 1000000000))
        return nn_fail(err, NN_ERUN, "%s:%d: no \"epoch\"; not a metrics file of fullrank: name "
                       "a run of `fullrank train`", file, line);
    json_object_foreach(v, key, x) {
        if (holds_a_number(key) && !json_is_number(x) && !json_is_null(x))
            return nn_fail(err, NN_ERUN, "%s:%d: \"%s\" is %s, wanted a number or null; the "
                           "file is damaged: train again", file, line, key, kind_of(x));
        if (counts_things(key) && !integer_in(x, 0, 1000000000) && !json_is_null(x))
            return nn_fail(err, NN_ERUN, "%s:%d: \"%s\" is %s, wanted a count; the file is "
                           "damaged: train again", file, line, key, kind_of(x));
        if ((strcmp(key, "verdict") == 0 || strcmp(key, "why") == 0) && !json_is_string(x) &&
            !json_is_null(x))
            return nn_fail(err, NN_ERUN, "%s:%d: \"%s\" is %s, wanted a text; the file is "
                           "damaged: train again", file, line, key, kind_of(x));
    }
    append_epoch(r->rows, v);
    return NN_OK;
}

/* Length and alphabet of base64 that holds `bytes` bytes. */
static int is_base64(const json_t *v, size_t bytes)
{
    static const char digit[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *s = json_string_value(v);
    if (!s || strlen(s) != (bytes + 2) / 3 * 4)
        return 0;
    size_t body = strspn(s, digit), pad = strspn(s + body, "=");
    return s[body + pad] == 0 && pad == (3 - bytes % 3) % 3;
}

static nn_status check_pairs(const char *file, const json_t *p, nn_err *err)
{
    static const char *const side[] = { "original", "view1", "view2" };
    const json_t *h = json_object_get(p, "h"), *w = json_object_get(p, "w"),
                 *c = json_object_get(p, "c"), *count = json_object_get(p, "count");

    if (!p || json_is_null(p))
        return NN_OK;
    if (!integer_in(h, 1, SIDE) || !integer_in(w, 1, SIDE) || !integer_in(c, 1, 3) ||
        json_integer_value(c) == 2 || !integer_in(count, 0, 1000))
        return nn_fail(err, NN_ERUN, "%s:1: \"pairs\" needs h and w from 1 to %d, c 1 or 3, and "
                       "a count; the file is damaged: train again", file, (int)SIDE);
    size_t bytes = (size_t)(json_integer_value(h) * json_integer_value(w) *
                            json_integer_value(c) * json_integer_value(count));
    for (size_t i = 0; i < NN_COUNT(side); i++)
        if (!is_base64(json_object_get(p, side[i]), bytes))
            return nn_fail(err, NN_ERUN, "%s:1: \"pairs.%s\" is not base64 of %zu bytes "
                           "(count x h x w x c); the file is damaged: train again", file,
                           side[i], bytes);
    return NN_OK;
}

static nn_status check_set(const char *file, const json_t *v, nn_err *err)
{
    const json_t *classes = json_object_get(v, "classes"), *label = json_object_get(v, "label");
    const json_t *x;
    size_t i;

    if (!json_is_array(classes) || !json_is_array(label))
        return nn_fail(err, NN_ERUN, "%s:1: no \"classes\" and \"label\"; not a snapshot file "
                       "of fullrank: train again", file);
    json_array_foreach(classes, i, x)
        if (!json_is_string(x))
            return nn_fail(err, NN_ERUN, "%s:1: class %zu is %s, wanted a text; the file is "
                           "damaged: train again", file, i, kind_of(x));
    json_array_foreach(label, i, x)
        if (!integer_in(x, 0, (json_int_t)json_array_size(classes) - 1))
            return nn_fail(err, NN_ERUN, "%s:1: label %zu is not one of the %zu classes; the "
                           "file is damaged: train again", file, i, json_array_size(classes));
    return check_pairs(file, json_object_get(v, "pairs"), err);
}

static nn_status check_shot(const char *file, int line, json_t *v, ex_record *r, nn_err *err)
{
    static const char *const list[] = { "spectrum_z", "spectrum_h", "map", "share" };

    if (!r->set) {
        NN_TRY(check_set(file, v, err));
        r->set = json_incref(v);
        return NN_OK;
    }
    if (!integer_in(json_object_get(v, "epoch"), 0, 1000000000))
        return nn_fail(err, NN_ERUN, "%s:%d: no \"epoch\"; the file is damaged: train again",
                       file, line);
    for (size_t i = 0; i < NN_COUNT(list); i++) {
        const json_t *x = json_object_get(v, list[i]);
        if (x && !json_is_null(x) && !numbers(x))
            return nn_fail(err, NN_ERUN, "%s:%d: \"%s\" is not a list of numbers; the file is "
                           "damaged: train again", file, line, list[i]);
    }
    size_t points = json_array_size(json_object_get(r->set, "label"));
    const json_t *map = json_object_get(v, "map");
    if (json_is_array(map) && json_array_size(map) != 2 * points)
        return nn_fail(err, NN_ERUN, "%s:%d: the map has %zu numbers, wanted 2 for each of the "
                       "%zu labels; the file is damaged: train again", file, line,
                       json_array_size(map), points);
    append_epoch(r->shots, v);
    return NN_OK;
}

/* ---- the folder ---------------------------------------------------------------------- */

static nn_status check_folder(const char *path, nn_err *err)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return nn_fail(err, NN_ECONFIG, "%s: %s; name a run folder such as "
                       "runs/demo/simsiam-fashion-mnist-1a2b3c4d/s0", path, strerror(errno));
    if (!S_ISDIR(s.st_mode))
        return nn_fail(err, NN_ECONFIG, "%s: a file, not a run folder; name the folder that "
                       "holds it", path);

    char *file = join(path, "status.json");
    int missing = is_missing(file);
    free(file);
    if (missing) {
        char *below = join(path, "s0/status.json");
        int seeds = !is_missing(below);
        free(below);
        return nn_fail(err, NN_ECONFIG, "%s: not a run folder (no status.json in it); %s%s%s",
                       path, seeds ? "did you mean " : "name the folder of one seed, such as "
                       "runs/demo/simsiam-fashion-mnist-1a2b3c4d/s0", seeds ? path : "",
                       seeds ? "/s0 ?" : "");
    }
    return NN_OK;
}

static nn_status read_files(ex_record *r, nn_err *err)
{
    char *status = join(r->path, "status.json"), *config = join(r->path, "config.yaml");
    char *metrics = join(r->path, "metrics.jsonl"), *shots = join(r->path, "snapshots.jsonl");
    nn_status code = read_status(status, r, err);

    if (code == NN_OK)
        code = read_config(config, r, err);
    if (code == NN_OK) {
        const char *state = json_string_value(json_object_get(r->status, "state"));
        int finished = strcmp(state, "finished") == 0;
        if (finished || !is_missing(metrics))
            code = read_lines(metrics, check_row, r, err);
        if (code == NN_OK && json_array_size(r->rows) == 0) {
            if (finished)
                code = nn_fail(err, NN_ERUN, "%s: no whole line, though the run has finished; "
                               "the file is damaged: train again", metrics);
            else
                ex_record_note(r, "no epoch has been evaluated yet");
        }
    }
    if (code == NN_OK && !is_missing(shots))
        code = read_lines(shots, check_shot, r, err);
    if (code == NN_OK && json_array_size(r->rows) && json_array_size(r->shots) == 0)
        ex_record_note(r, "snapshots.jsonl %s, so there is no map and no spectrum",
                       is_missing(shots) ? "is missing" : "holds no epoch");
    free(status);
    free(config);
    free(metrics);
    free(shots);
    return code;
}

nn_status ex_record_read(const char *path, ex_record *r, nn_err *err)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    *r = (ex_record){ .path = strndup(path, n), .config = json_array(), .rows = json_array(),
                      .shots = json_array(), .notes = json_array() };
    NN_NEED(r->path && r->config && r->rows && r->shots && r->notes, "out of memory");
    NN_TRY(check_folder(r->path, err));
    return read_files(r, err);
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
