#include "experiments/config_read.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "nn/base.h"

/* A configuration is a page of text; anything longer is some other file. */
enum { MOST_BYTES = 1 << 20 };

const char *const ex_section_name[EX_SECTIONS + 1] = {
    "", "method", "model", "quantiser", "data", "augment", "optim", "metrics", "alarm",
    "init", "checkpoint", "memory", NULL
};

const char *ex_quoted(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; text[n] && n + 4 < size; n++)
        out[n] = iscntrl((unsigned char)text[n]) ? '?' : text[n];
    if (text[n])
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
            n--; /* not through the middle of a character */
    strcpy(out + n, text[n] ? "..." : "");
    return out;
}

const char *ex_place(const char *file, ex_mark m, char *out, size_t size)
{
    static const char *const word[] = { "default", "recipe", "", "command line" };
    if (m.from == EX_FILE)
        snprintf(out, size, "%s:%d", file, m.line);
    else
        snprintf(out, size, "%s", word[m.from]);
    return out;
}

int ex_find_row(const nn_setting *table, const char *key)
{
    for (int i = 0; table[i].name; i++)
        if (strcmp(table[i].name, key) == 0)
            return i;
    return -1;
}

int ex_find_section(const char *word)
{
    for (int i = 1; i < EX_SECTIONS; i++)
        if (strcmp(ex_section_name[i], word) == 0)
            return i;
    return -1;
}

const char *ex_section_text(int section, char *out, size_t size)
{
    if (section < EX_SECTIONS)
        snprintf(out, size, "%s", ex_section_name[section]);
    else
        snprintf(out, size, "add.%s", ssl_addon_at(section - EX_SECTIONS)->name);
    return out;
}

int ex_has_choice(int section)
{
    return section == EX_METHOD || section == EX_MODEL || section == EX_QUANTISER
        || section == EX_DATA || section == EX_OPTIM;
}

const char *ex_meant(const char *nearest, char *out, size_t size)
{
    out[0] = 0;
    if (nearest)
        snprintf(out, size, "; did you mean '%s'?", nearest);
    return out;
}

/* The section of a regulariser, which becomes part of the run. */
static nn_status add_regulariser(ex_reader *r, const char *name, ex_mark m, int *section)
{
    const char *known[EX_ADDONS + 1] = { NULL };
    char at[EX_PLACE], w[64], hint[96];
    int n = ssl_addon_count(), i = 0;

    NN_NEED(n <= EX_ADDONS, "%d regularisers, at most %d", n, EX_ADDONS);
    for (int k = 0; k < n; k++)
        known[k] = ssl_addon_at(k)->name;
    while (i < n && strcmp(known[i], name) != 0)
        i++;
    ex_place(r->file, m, at, sizeof at);
    if (i == n) {
        const char *near = nn_nearest(name, known);
        return nn_fail(r->err, NN_ECONFIG, "%s: no regulariser '%s'%s", at,
                       ex_quoted(name, w, sizeof w),
                       near ? ex_meant(near, hint, sizeof hint)
                            : "; 'fullrank list addons' names them");
    }
    if (m.from == EX_FILE && r->added[i].from == EX_FILE)
        return nn_fail(r->err, NN_ECONFIG, "%s: add.%s is given twice (first in line %d)",
                       at, name, r->added[i].line);
    if (r->added[i].from == EX_DEFAULT)
        r->added[i] = m;
    *section = EX_SECTIONS + i;
    return NN_OK;
}

/* A word outside any section that is neither a section nor a setting. */
static nn_status unknown_top(const ex_reader *r, const char *where, const char *word)
{
    const char *known[EX_SECTIONS + 17];
    char w[64], hint[96];
    int n = 0;

    for (int i = 1; i < EX_SECTIONS; i++)
        known[n++] = ex_section_name[i];
    known[n++] = "add";
    for (int i = 0; ex_top_table[i].name; i++)
        known[n++] = ex_top_table[i].name;
    known[n] = NULL;

    const nn_setting *const table[] = { data_setting_table, data_augment_table,
                                        opt_setting_table, ex_metrics_table,
                                        ex_alarm_table,    ex_init_table,
                                        ex_saving_table,   ex_memory_table };
    static const int of[] = { EX_DATA, EX_AUGMENT, EX_OPTIM, EX_METRICS, EX_ALARM,
                              EX_INIT, EX_CHECKPOINT, EX_MEMORY };
    for (size_t i = 0; i < NN_COUNT(table); i++)
        if (ex_find_row(table[i], word) >= 0)
            return nn_fail(r->err, NN_ECONFIG,
                           "%s: '%s' belongs into the section %s (%s.%s on"
                           " the command line)",
                           where, word, ex_section_name[of[i]], ex_section_name[of[i]],
                           word);
    if (ssl_addon_find(word))
        return nn_fail(r->err, NN_ECONFIG, "%s: '%s' is a regulariser; write 'add: [{%s:"
                       " {KEY: VALUE}}]' (add.%s.KEY=VALUE on the command line)", where,
                       word, word, word);
    return nn_fail(r->err, NN_ECONFIG, "%s: no section or setting '%s'%s", where,
                   ex_quoted(word, w, sizeof w),
                   ex_meant(nn_nearest(word, known), hint, sizeof hint));
}

static nn_status push(ex_reader *r, int section, const char *key, const char *value,
                      ex_mark m)
{
    char at[EX_PLACE], k[64];
    if (m.from == EX_FILE)
        for (int i = 0; i < r->count; i++)
            if (r->list[i].section == section && r->list[i].mark.from == EX_FILE
                && strcmp(r->list[i].key, key) == 0)
                return nn_fail(r->err, NN_ECONFIG,
                               "%s: %s is given twice (first in line %d)",
                               ex_place(r->file, m, at, sizeof at),
                               ex_quoted(key, k, sizeof k), r->list[i].mark.line);
    if (r->count == EX_MOST_ENTRIES)
        return nn_fail(r->err, NN_ECONFIG, "%s: more than %d settings",
                       ex_place(r->file, m, at, sizeof at), EX_MOST_ENTRIES);
    r->list[r->count++] = (ex_entry){ section, key, value, m };
    return NN_OK;
}

/* ---- the file ----------------------------------------------------------------- */

/* The nearest .yaml beside a file that is not there; "" if nothing is near. */
static void suggest_file(const char *file, char *out, size_t size)
{
    char dir[EX_PLACE], base[EX_PLACE], *names[256 + 1];
    int n = 0;

    out[0] = 0;
    snprintf(dir, sizeof dir, "%s", file);
    snprintf(base, sizeof base, "%s", file);
    const char *folder = dirname(dir), *leaf = basename(base);
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *e; n < 256 && (e = readdir(d)); ) {
        const char *dot = strrchr(e->d_name, '.');
        if (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
            if ((names[n] = strdup(e->d_name)))
                n++;
    }
    closedir(d);
    names[n] = NULL;
    const char *near = nn_nearest(leaf, (const char *const *)names);
    if (near)
        snprintf(out, size, "; did you mean '%s%s%s'?", strchr(file, '/') ? folder : "",
                 strchr(file, '/') ? "/" : "", near);
    while (n > 0)
        free(names[--n]);
}

static nn_status read_text(ex_reader *r, char **text, size_t *bytes)
{
    char hint[EX_PLACE + 300];
    struct stat st;
    FILE *f = fopen(r->file, "rb");

    if (!f && (errno == ENOENT || errno == ENOTDIR)) {
        suggest_file(r->file, hint, sizeof hint);
        return nn_fail(r->err, NN_ECONFIG, "%s: no such file%s", r->file, hint);
    }
    if (!f)
        return nn_fail(r->err, NN_ECONFIG, "%s: cannot be read: %s", r->file,
                       strerror(errno));
    if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
        fclose(f);
        return nn_fail(r->err, NN_ECONFIG, "%s: is a folder; name one .yaml file in it",
                       r->file);
    }
    *text = nn_arena_alloc(r->arena, MOST_BYTES + 1);
    *bytes = fread(*text, 1, MOST_BYTES + 1, f);
    int bad = ferror(f);
    fclose(f);
    if (bad)
        return nn_fail(r->err, NN_ECONFIG, "%s: cannot be read: %s", r->file,
                       strerror(errno));
    if (*bytes > MOST_BYTES)
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: longer than %d KiB, so not a configuration", r->file,
                       MOST_BYTES >> 10);
    return NN_OK;
}

static nn_status not_yaml(const ex_reader *r, const yaml_parser_t *p)
{
    if (p->error == YAML_READER_ERROR)
        return nn_fail(r->err, NN_ECONFIG, "%s: not YAML: %s at byte %zu", r->file,
                       p->problem ? p->problem : "unreadable", p->problem_offset);
    return nn_fail(r->err, NN_ECONFIG, "%s:%zu:%zu: not YAML: %s", r->file,
                   p->problem_mark.line + 1, p->problem_mark.column + 1,
                   p->problem ? p->problem : "out of memory");
}

static const char *kind_of(const yaml_node_t *n)
{
    return n->type == YAML_SEQUENCE_NODE ? "a list" : n->type == YAML_MAPPING_NODE
        ? "a section" : "a single value";
}

static ex_mark mark_of(const yaml_node_t *n)
{
    return (ex_mark){ EX_FILE, (int)n->start_mark.line + 1 };
}

/* The text of a scalar node, in the arena; NULL for a list, a mapping or bytes with a
 * NUL. */
static const char *scalar(const ex_reader *r, const yaml_node_t *n)
{
    if (n->type != YAML_SCALAR_NODE
        || memchr(n->data.scalar.value, 0, n->data.scalar.length))
        return NULL;
    return nn_arena_copy(r->arena, (const char *)n->data.scalar.value);
}

static nn_status read_section(ex_reader *r, yaml_document_t *doc, const yaml_node_t *map,
                              int section)
{
    char at[EX_PLACE], k[64], name[64];
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start;
         p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(doc, p->key);
        const yaml_node_t *value = yaml_document_get_node(doc, p->value);
        const char *word = scalar(r, key), *text = scalar(r, value);

        ex_place(r->file, mark_of(key), at, sizeof at);
        if (!word)
            return nn_fail(r->err, NN_ECONFIG,
                           "%s: the name of a setting must be one word", at);
        if (!text)
            return nn_fail(r->err, NN_ECONFIG, "%s: %s.%s wants a single value, found %s",
                           at, ex_section_text(section, name, sizeof name),
                           ex_quoted(word, k, sizeof k),
                           kind_of(value));
        NN_TRY(push(r, section, word, text, mark_of(key)));
    }
    return NN_OK;
}

/* "vicreg: {mu: 1}", or "vicreg:" for its defaults. */
static nn_status read_regulariser(ex_reader *r, yaml_document_t *doc,
                                  const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(doc, pair->key);
    const yaml_node_t *value = yaml_document_get_node(doc, pair->value);
    const char *word = scalar(r, key), *text = scalar(r, value);
    char at[EX_PLACE];
    int section;

    ex_place(r->file, mark_of(key), at, sizeof at);
    if (!word)
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: the name of a regulariser must be one word", at);
    NN_TRY(add_regulariser(r, word, mark_of(key), &section));
    if (value->type != YAML_MAPPING_NODE && !(text && text[0] == 0))
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: add.%s is a section, found %s; write '%s: {KEY: VALUE}'", at,
                       word, kind_of(value), word);
    return text ? NN_OK : read_section(r, doc, value, section);
}

/* add: a list whose items are words and sections of one regulariser each, or one section
 * with all of them. */
static nn_status read_add(ex_reader *r, yaml_document_t *doc, const yaml_node_t *add)
{
    char at[EX_PLACE];

    if (add->type == YAML_MAPPING_NODE) {
        for (const yaml_node_pair_t *p = add->data.mapping.pairs.start;
             p < add->data.mapping.pairs.top; p++)
            NN_TRY(read_regulariser(r, doc, p));
        return NN_OK;
    }
    if (add->type != YAML_SEQUENCE_NODE)
        return nn_fail(r->err, NN_ECONFIG, "%s: add is a list of regularisers, found %s;"
                       " write 'add: [{NAME: {KEY: VALUE}}]'",
                       ex_place(r->file, mark_of(add), at, sizeof at), kind_of(add));
    for (const yaml_node_item_t *i = add->data.sequence.items.start;
         i < add->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(doc, *i);
        const char *word = scalar(r, item);
        int section;

        if (word) {
            NN_TRY(add_regulariser(r, word, mark_of(item), &section));
            continue;
        }
        if (item->type != YAML_MAPPING_NODE || item->data.mapping.pairs.top
                                                   - item->data.mapping.pairs.start != 1)
            return nn_fail(r->err, NN_ECONFIG, "%s: each item of add is one regulariser:"
                           " NAME or 'NAME: {KEY: VALUE}'",
                           ex_place(r->file, mark_of(item), at, sizeof at));
        NN_TRY(read_regulariser(r, doc, item->data.mapping.pairs.start));
    }
    return NN_OK;
}

static nn_status read_document(ex_reader *r, yaml_document_t *doc)
{
    const yaml_node_t *root = yaml_document_get_root_node(doc);
    int seen[EX_SECTIONS + 1] = {0};    /* the last for `add` */
    char at[EX_PLACE];

    if (!root)
        return nn_fail(r->err, NN_ECONFIG, "%s: the file is empty; the least it needs is"
                       " 'method: {name: simsiam}'", r->file);
    if (root->type != YAML_MAPPING_NODE)
        return nn_fail(r->err, NN_ECONFIG,
                       "%s: wanted settings such as 'epochs: 5', found %s",
                       ex_place(r->file, mark_of(root), at, sizeof at), kind_of(root));
    for (yaml_node_pair_t *p = root->data.mapping.pairs.start;
         p < root->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(doc, p->key);
        const yaml_node_t *value = yaml_document_get_node(doc, p->value);
        const char *word = scalar(r, key), *text = scalar(r, value);

        ex_place(r->file, mark_of(key), at, sizeof at);
        if (!word)
            return nn_fail(r->err, NN_ECONFIG,
                           "%s: the name of a setting must be one word", at);
        int section = strcmp(word, "add") == 0 ? EX_SECTIONS : ex_find_section(word);
        if (section < 0 && ex_find_row(ex_top_table, word) < 0)
            return unknown_top(r, at, word);
        if (section < 0 && !text)
            return nn_fail(r->err, NN_ECONFIG, "%s: %s wants a single value, found %s",
                           at, word, kind_of(value));
        if (section < 0) {
            NN_TRY(push(r, EX_TOP, word, text, mark_of(key)));
            continue;
        }
        if (section < EX_SECTIONS && value->type != YAML_MAPPING_NODE)
            return nn_fail(r->err, NN_ECONFIG,
                           "%s: %s is a section, found %s; write '%s: {%s: ...}'", at,
                           word, kind_of(value), word,
                           ex_has_choice(section) ? "name" : "key");
        if (seen[section])
            return nn_fail(r->err, NN_ECONFIG, "%s: %s is given twice (first in line %d)",
                           at, word, seen[section]);
        seen[section] = mark_of(key).line;
        NN_TRY(section == EX_SECTIONS ? read_add(r, doc, value)
                                      : read_section(r, doc, value, section));
    }
    return NN_OK;
}

static nn_status read_yaml(ex_reader *r, yaml_parser_t *parser)
{
    yaml_document_t doc;
    if (!yaml_parser_load(parser, &doc))
        return not_yaml(r, parser);
    nn_status status = read_document(r, &doc);
    int empty = !yaml_document_get_root_node(&doc);
    yaml_document_delete(&doc);
    if (status != NN_OK || empty)
        return status;

    if (!yaml_parser_load(parser, &doc))
        return not_yaml(r, parser);
    const yaml_node_t *second = yaml_document_get_root_node(&doc);
    if (second)
        status = nn_fail(r->err, NN_ECONFIG,
                         "%s:%zu: a second document begins here; one file"
                         " holds one configuration",
                         r->file, second->start_mark.line + 1);
    yaml_document_delete(&doc);
    return status;
}

nn_status ex_read_file(ex_reader *r)
{
    yaml_parser_t parser;
    char *text = NULL;
    size_t bytes = 0;

    NN_TRY(read_text(r, &text, &bytes));
    if (!yaml_parser_initialize(&parser))
        return nn_fail(r->err, NN_ERUN, "%s: out of memory", r->file);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    nn_status status = read_yaml(r, &parser);
    yaml_parser_delete(&parser);
    return status;
}

/* ---- the command line ---------------------------------------------------------- */

/* "add" of add.NAME.KEY=VALUE; rest is "NAME.KEY". */
static nn_status read_add_pair(ex_reader *r, char *rest, const char *value, ex_mark mark)
{
    char *dot = rest ? strchr(rest, '.') : NULL;
    int section;

    if (!dot)
        return nn_fail(r->err, NN_ECONFIG, "command line: add%s%s is a section; write"
                       " add.%s.KEY=VALUE", rest ? "." : "", rest ? rest : "",
                       rest ? rest : "NAME");
    *dot = 0;
    NN_TRY(add_regulariser(r, rest, mark, &section));
    return push(r, section, dot + 1, value, mark);
}

nn_status ex_read_pair(ex_reader *r, const char *pair)
{
    const ex_mark mark = { EX_COMMAND, 0 };
    const char *equals = strchr(pair, '=');
    char w[64];

    if (!equals || equals == pair)
        return nn_fail(r->err, NN_ECONFIG, "command line: '%s' is not KEY=VALUE",
                       ex_quoted(pair, w, sizeof w));
    char *key = nn_arena_copy(r->arena, pair);
    key[equals - pair] = 0;
    const char *value = nn_arena_copy(r->arena, equals + 1);
    char *dot = strchr(key, '.');

    if (strcmp(key, "add") == 0 || strncmp(key, "add.", 4) == 0)
        return read_add_pair(r, dot ? dot + 1 : NULL, value, mark);
    if (!dot) {
        int section = ex_find_section(key);
        if (section > 0 && ex_has_choice(section))
            return nn_fail(r->err, NN_ECONFIG,
                           "command line: %s is a section; write %s.name=%s", key, key,
                           ex_quoted(value, w, sizeof w));
        if (section > 0)
            return nn_fail(r->err, NN_ECONFIG,
                           "command line: %s is a section; write %s.KEY=%s", key, key,
                           ex_quoted(value, w, sizeof w));
        if (ex_find_row(ex_top_table, key) < 0)
            return unknown_top(r, "command line", key);
        return push(r, EX_TOP, key, value, mark);
    }
    *dot = 0;
    int section = ex_find_section(key);
    if (section < 0) {
        char hint[96];
        if (ssl_addon_find(key))
            return nn_fail(r->err, NN_ECONFIG, "command line: '%s' is a regulariser;"
                           " write add.%s.%s=%s", key, key, dot + 1,
                           ex_quoted(value, w, sizeof w));
        return nn_fail(r->err, NN_ECONFIG, "command line: no section '%s'%s",
                       ex_quoted(key, w, sizeof w),
                       ex_meant(nn_nearest(key, ex_section_name + 1), hint, sizeof hint));
    }
    return push(r, section, dot + 1, value, mark);
}

