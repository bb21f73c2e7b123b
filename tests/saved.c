#include "tests/saved.h"

#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "tests/program.h"

enum { MOST_PATH = 4200, DIGITS = 64 };

/* ---- checkpoints ----------------------------------------------------------------- */

/* Length of the header, or 0. */
static size_t header_of(const char *bytes, size_t n)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0 && n >= 8; i--)
        length = length << 8 | (unsigned char)bytes[i];
    return n >= 8 && length <= n - 8 ? (size_t)length : 0;
}

const char *saved_flaw(const char *file)
{
    static const char key[] = "\"sha256\":\"";
    char digits[DIGITS + 1], digest[SHA256_DIGEST_STRING_LENGTH];
    size_t n;
    char *bytes = program_bytes(file, &n);

    if (!bytes)
        return "cannot be read";
    size_t length = header_of(bytes, n);
    if (!length)
        return "is shorter than its header";
    char *at = memmem(bytes + 8, length, key, strlen(key));
    if (!at || at + strlen(key) + DIGITS > bytes + 8 + length)
        return "has no checksum";
    at += strlen(key);
    memcpy(digits, at, DIGITS);
    digits[DIGITS] = 0;
    memset(at, '0', DIGITS);
    SHA256Data((const uint8_t *)bytes, n, digest);
    return strcmp(digest, digits) == 0 ? NULL : "does not fit its checksum";
}

json_t *saved_header(const char *file, size_t *data)
{
    size_t n;
    char *bytes = program_bytes(file, &n);
    ck_assert_msg(bytes, "%s cannot be read", file);
    size_t length = header_of(bytes, n);
    char *text = program_keep(strndup(bytes + 8, length));
    *data = 8 + length;
    return program_parse(text);
}

const float *saved_tensor(const char *file, const char *name)
{
    size_t from, n;
    json_t *entry = json_object_get(saved_header(file, &from), name);
    ck_assert_msg(entry, "%s: no tensor %s", file, name);
    json_t *span = json_object_get(entry, "data_offsets");
    size_t start = (size_t)json_integer_value(json_array_get(span, 0)),
           end = (size_t)json_integer_value(json_array_get(span, 1));
    const char *bytes = program_bytes(file, &n);
    return memcpy(program_keep(malloc(end - start)), bytes + from + start, end - start);
}

void saved_forge(const char *file, json_t *header, const char *data, size_t bytes)
{
    char digest[SHA256_DIGEST_STRING_LENGTH], zeros[DIGITS + 1];
    memset(zeros, '0', DIGITS);
    zeros[DIGITS] = 0;
    json_object_set_new(json_object_get(header, "__metadata__"), "sha256",
                        json_string(zeros));
    char *text = json_dumps(header, JSON_COMPACT);
    size_t n = strlen(text), padded = (n + 7) / 8 * 8;
    char *all = program_keep(malloc(8 + padded + bytes));
    for (int i = 0; i < 8; i++)
        all[i] = (char)(padded >> 8 * i & 0xFF);
    memset(all + 8, ' ', padded);
    memcpy(all + 8, text, n);
    memcpy(all + 8 + padded, data, bytes);
    free(text);
    SHA256Data((const uint8_t *)all, 8 + padded + bytes, digest);
    memcpy(memmem(all, 8 + padded, zeros, DIGITS), digest, DIGITS);
    program_put(file, all, 8 + padded + bytes);
}

const char *saved_word(const char *file, const char *word)
{
    size_t data;
    json_t *o = json_object_get(saved_header(file, &data), "__metadata__");
    const char *text = json_string_value(json_object_get(o, word));
    ck_assert_msg(text, "%s: no '%s' in its metadata", file, word);
    return text;
}

int saved_has_checkpoint(const char *folder)
{
    char last[MOST_PATH], prev[MOST_PATH];
    snprintf(last, sizeof last, "%s/checkpoints/last.safetensors", folder);
    snprintf(prev, sizeof prev, "%s/checkpoints/prev.safetensors", folder);
    return !saved_flaw(last) || !saved_flaw(prev);
}

/* ---- the other files ------------------------------------------------------------- */

static void is_yaml(const char *path)
{
    char *text = program_read(path);
    yaml_parser_t parser;
    yaml_event_t event;
    int done = 0;

    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    while (!done) {
        ck_assert_msg(yaml_parser_parse(&parser, &event), "%s: %s", path, parser.problem);
        done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    ck_assert_msg(strchr(text, ':'), "%s: nothing in it", path);
}

static int ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Entries of one folder, each held against what may be there.  Returns how many bear a
 * temporary name. */
static int check_folder(const char *folder, const char *const *may)
{
    char path[MOST_PATH];
    int temporary = 0;
    DIR *dir = opendir(folder);

    ck_assert_msg(dir, "%s cannot be opened", folder);
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        char *name = program_keep(strdup(e->d_name));
        if (ends_in(name, ".new")) {
            name[strlen(name) - 4] = 0;
            temporary++;
        } else if (ends_in(name, ".json")) {
            program_json(folder, name);
        } else if (ends_in(name, ".jsonl")) {
            program_lines(folder, name);
        } else if (ends_in(name, ".yaml")) {
            is_yaml(path);
        } else if (ends_in(name, ".safetensors")) {
            const char *flaw = saved_flaw(path);
            ck_assert_msg(!flaw, "%s %s", path, flaw);
        }
        int known = 0;
        for (int i = 0; may[i]; i++)
            known |= strcmp(name, may[i]) == 0;
        ck_assert_msg(known, "%s was left behind", path);
    }
    closedir(dir);
    return temporary;
}

void saved_check(const char *folder, int most_new)
{
    static const char *const files[] = { "config.yaml", "metrics.jsonl", "status.json",
                                         "snapshots.jsonl", "checkpoints", ".try",
                                         ".lock", NULL };
    static const char *const checkpoints[] = { "last.safetensors", "prev.safetensors",
                                               NULL };
    char path[MOST_PATH];
    snprintf(path, sizeof path, "%s/checkpoints", folder);
    int temporary = check_folder(folder, files);
    if (access(path, F_OK) == 0)
        temporary += check_folder(path, checkpoints);
    ck_assert_msg(temporary <= most_new, "%s: %d temporary files", folder, temporary);
}

/* ---- two runs -------------------------------------------------------------------- */

const char *saved_state(const char *folder)
{
    const char *s =
        json_string_value(json_object_get(program_json(folder, "status.json"), "state"));
    ck_assert_msg(s, "%s: no state", folder);
    return s;
}

const char *saved_sha256(const char *folder)
{
    const char *s = json_string_value(
        json_object_get(program_json(folder, "status.json"), "weights_sha256"));
    ck_assert_msg(s, "%s: no weights_sha256", folder);
    return s;
}

/* A line without what the clock wrote into it. */
static json_t *timeless(const json_t *line)
{
    json_t *o = json_copy((json_t *)line);
    ck_assert_msg(json_object_get(o, "seconds"), "a line without 'seconds'");
    json_object_del(o, "seconds");
    json_object_del(o, "eval_seconds");
    json_object_del(o, "images_per_s");
    json_object_del(o, "data_wait");
    return o;
}

void saved_same_lines(const json_t *got, const json_t *want, int part)
{
    size_t n = json_array_size(got), all = json_array_size(want);
    ck_assert_msg(part ? n <= all : n == all, "%zu lines instead of %zu", n, all);
    for (size_t i = 0; i < n; i++) {
        json_t *a = timeless(json_array_get(got, i));
        json_t *b = timeless(json_array_get(want, i));
        char *x = json_dumps(a, JSON_COMPACT), *y = json_dumps(b, JSON_COMPACT);
        ck_assert_msg(json_equal(a, b), "line %zu of metrics.jsonl is\n%s\ninstead of"
                      "\n%s", i + 1, x, y);
        free(x);
        free(y);
        json_decref(a);
        json_decref(b);
    }
}

void saved_same(const char *folder, const char *undisturbed)
{
    char one[MOST_PATH], two[MOST_PATH];

    ck_assert_str_eq(saved_state(folder), saved_state(undisturbed));
    ck_assert_str_eq(saved_sha256(folder), saved_sha256(undisturbed));
    saved_same_lines(program_lines(folder, "metrics.jsonl"),
                     program_lines(undisturbed, "metrics.jsonl"), 0);
    snprintf(one, sizeof one, "%s/snapshots.jsonl", folder);
    snprintf(two, sizeof two, "%s/snapshots.jsonl", undisturbed);
    ck_assert_msg(strcmp(program_read(one), program_read(two)) == 0,
                  "%s differs from that of the undisturbed run", one);
}
