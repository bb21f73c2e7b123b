#include "experiments/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "experiments/words.h"
#include "nn/base.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors are little-endian; this file copies floats as they are"
#endif

enum { PREFIX = 8, DIGITS = 64, ALIGN = 8 };

/* A header of a hundred thousand tensors; a longer one is some other file. */
static const uint64_t most_header = 16 << 20;

static const char checksum_key[] = "\"sha256\":\"", ours_key[] = "\"fullrank\":\"";
static const char zeros[] =
    "0000000000000000000000000000000000000000000000000000000000000000";

static const char *const dtype_word[] = { [EX_F32] = "F32", [EX_U8] = "U8" };

/* (out, in, kh, kw) to (out, kh, kw, in); dim is the file's. */
static void turn_in(const float *file, const size_t dim[4], float *ours)
{
    size_t in = dim[1], area = dim[2] * dim[3];
    for (size_t o = 0; o < dim[0]; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < area; k++)
                ours[(o * area + k) * in + i] = file[(o * in + i) * area + k];
}

static void turn_out(const float *ours, const size_t dim[4], float *file)
{
    size_t in = dim[1], area = dim[2] * dim[3];
    for (size_t o = 0; o < dim[0]; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < area; k++)
                file[(o * in + i) * area + k] = ours[(o * area + k) * in + i];
}

ex_tensor ex_tensor_of(const char *name, const nn_shape *s, float *val)
{
    ex_tensor t = { .name = name, .dtype = EX_F32, .rank = s->rank, .data = val,
                    .bytes = sizeof(float) * nn_shape_count(s), .turned = s->rank == 4 };

    for (int k = 0; k < s->rank; k++)
        t.dim[k] = (size_t)s->dim[k];
    if (t.turned) {                             /* (out, kh, kw, in) -> (out, in, kh, kw) */
        t.dim[1] = (size_t)s->dim[3];
        t.dim[2] = (size_t)s->dim[1];
        t.dim[3] = (size_t)s->dim[2];
    }
    return t;
}

int ex_tensor_same(const ex_tensor *a, const ex_tensor *b)
{
    return a->dtype == b->dtype && a->rank == b->rank
        && memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank) == 0;
}

const char *ex_tensor_text(const ex_tensor *t, char *out, size_t size)
{
    ex_words w = { .at = out, .size = size };
    ex_say(&w, "%s (", t->dtype == EX_OTHER ? t->dtype_word : dtype_word[t->dtype]);
    for (int k = 0; k < t->rank; k++)
        ex_say(&w, "%s%zu", k ? ", " : "", t->dim[k]);
    ex_say(&w, ")");
    return out;
}

void ex_tensor_take(const ex_tensor *from, const ex_tensor *to, float *room)
{
    float *val = (float *)(uintptr_t)to->data;  /* a parameter's own memory */
    if (!to->turned) {
        memcpy(val, from->data, to->bytes);
        return;
    }
    memcpy(room, from->data, to->bytes);        /* in a file nothing need be aligned */
    turn_in(room, to->dim, val);
}

/* ---- writing --------------------------------------------------------------------- */

static json_t *shape_of(const ex_tensor *t)
{
    json_t *shape = json_array();
    for (int k = 0; k < t->rank; k++)
        json_array_append_new(shape, json_integer((json_int_t)t->dim[k]));
    return shape;
}

/* The header with its length before it and zeros for the checksum; malloc'd.  NULL: out
 * of memory, or a text that is not UTF-8. */
static char *header_of(const ex_tensor *list, int count, json_t *metadata, size_t *bytes)
{
    json_t *o = json_object();
    size_t from = 0;

    json_object_set_new(metadata, "sha256", json_string(zeros));
    json_object_set(o, "__metadata__", metadata);
    for (int i = 0; i < count; i++) {
        const ex_tensor *t = &list[i];
        json_object_set_new(o, t->name, json_pack(
            "{s:s, s:o, s:[I, I]}", "dtype", dtype_word[t->dtype], "shape", shape_of(t),
            "data_offsets", (json_int_t)from, (json_int_t)(from + t->bytes)));
        from += t->bytes;
    }
    char *json = json_dumps(o, JSON_COMPACT);
    int complete = json_object_size(o) == (size_t)count + 1;
    json_decref(o);
    size_t n = json ? strlen(json) : 0, padded = (n + ALIGN - 1) / ALIGN * ALIGN;
    char *out = json && complete ? malloc(PREFIX + padded + 1) : NULL;
    if (out) {
        for (int i = 0; i < PREFIX; i++)
            out[i] = (char)(padded >> 8 * i & 0xFF);
        memcpy(out + PREFIX, json, n);
        memset(out + PREFIX + n, ' ', padded - n);
        out[PREFIX + padded] = 0;
        *bytes = PREFIX + padded;
    }
    free(json);
    return out;
}

/* Where the digits of the checksum begin; 0: nowhere.  Quotes inside texts are escaped,
 * so that only the key itself looks like this. */
static size_t checksum_place(const char *bytes, size_t n)
{
    const char *key = memmem(bytes, n, checksum_key, strlen(checksum_key));
    return key ? (size_t)(key - bytes) + strlen(checksum_key) : 0;
}

typedef struct hashed { ex_file file; SHA2_CTX sha; } hashed;

static nn_status add(hashed *h, const void *bytes, size_t n, nn_err *err)
{
    SHA256Update(&h->sha, bytes, n);
    return ex_file_add(&h->file, bytes, n, err);
}

nn_status ex_safetensors_write(const char *folder, const char *name, const char *keep,
                               const ex_tensor *list, int count, json_t *metadata,
                               float *room, nn_err *err)
{
    char digest[SHA256_DIGEST_STRING_LENGTH];
    size_t bytes = 0;
    hashed h;
    char *header = header_of(list, count, metadata, &bytes);

    NN_NEED(header, "%s/%s: the header cannot be made as JSON", folder, name);
    size_t at = checksum_place(header, bytes);
    NN_NEED(at, "%s/%s: no place for the checksum", folder, name);

    nn_status status = ex_file_begin(&h.file, folder, name, err);
    SHA256Init(&h.sha);
    if (status == NN_OK)
        status = add(&h, header, bytes, err);
    free(header);
    for (int i = 0; i < count && status == NN_OK; i++) {
        const void *data = list[i].data;
        if (list[i].turned) {
            turn_out(data, list[i].dim, room);
            data = room;
        }
        status = add(&h, data, list[i].bytes, err);
    }
    SHA256End(&h.sha, digest);
    if (status == NN_OK)
        status = ex_file_patch(&h.file, at, digest, DIGITS, err);
    return status == NN_OK ? ex_file_commit(&h.file, keep, err) : status;
}

/* ---- reading --------------------------------------------------------------------- */

static nn_status unreadable(const char *path, int why, nn_err *err)
{
    return nn_fail(err, NN_ECHECKPOINT, "%s: cannot be read: %s", path, strerror(why));
}

/* All bytes of a regular file; a device or a pipe might never end. */
static nn_status read_bytes(ex_tensors *f, const char *path, nn_err *err)
{
    struct stat st;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t got = 0;

    if (file < 0)
        return unreadable(path, errno, err);
    if (fstat(file, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(file);
        return nn_fail(err, NN_ECHECKPOINT, "%s: is not a file", path);
    }
    f->size = (size_t)st.st_size;
    f->bytes = f->size < nn_memory_left() ? malloc(f->size + 1) : NULL;
    if (!f->bytes) {
        close(file);
        return nn_fail(err, NN_ERUN, "out of memory: %s takes %zu MiB while it is read, and"
                       " %zu MiB are left (memory.limit, or what was free at the start)",
                       path, f->size >> 20, nn_memory_left() >> 20);
    }
    while (got < f->size) {
        ssize_t n = read(file, f->bytes + got, f->size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int why = errno;
            close(file);
            return n < 0 ? unreadable(path, why, err)
                         : nn_fail(err, NN_ECHECKPOINT, "%s: became shorter while it was"
                                   " read", path);
        }
        got += (size_t)n;
    }
    close(file);
    return NN_OK;
}

/* The length of the header, from the first PREFIX bytes. */
static uint64_t header_length(const char *prefix)
{
    uint64_t n = 0;
    for (int i = 0; i < PREFIX; i++)
        n |= (uint64_t)(unsigned char)prefix[i] << 8 * i;
    return n;
}

/* f->checked, when the file is ours and its header names a checksum.  What others mean by
 * a sha256 is their affair. */
static nn_status verify(ex_tensors *f, const char *path, size_t header, nn_err *err)
{
    char digest[SHA256_DIGEST_STRING_LENGTH];
    size_t at = checksum_place(f->bytes, PREFIX + header);
    SHA2_CTX sha;

    if (!at || !memmem(f->bytes, PREFIX + header, ours_key, strlen(ours_key)))
        return NN_OK;
    if (at + DIGITS > PREFIX + header)
        return nn_fail(err, NN_ECHECKPOINT, "%s: damaged: its checksum is cut off", path);
    SHA256Init(&sha);
    SHA256Update(&sha, (const uint8_t *)f->bytes, at);
    SHA256Update(&sha, (const uint8_t *)zeros, DIGITS);
    SHA256Update(&sha, (const uint8_t *)f->bytes + at + DIGITS, f->size - at - DIGITS);
    SHA256End(&sha, digest);
    if (memcmp(digest, f->bytes + at, DIGITS) != 0)
        return nn_fail(err, NN_ECHECKPOINT, "%s: damaged: its contents do not fit its"
                       " SHA-256", path);
    f->checked = 1;
    return NN_OK;
}

static size_t width_of(const char *dtype)
{
    static const struct { const char *word; size_t bytes; } known[] = {
        { "F32", 4 }, { "U8", 1 }, { "F64", 8 }, { "F16", 2 }, { "BF16", 2 },
        { "I64", 8 }, { "I32", 4 }, { "I16", 2 }, { "I8", 1 }, { "U16", 2 },
        { "U32", 4 }, { "U64", 8 }, { "BOOL", 1 }
    };
    for (size_t i = 0; i < NN_COUNT(known); i++)
        if (strcmp(known[i].word, dtype) == 0)
            return known[i].bytes;
    return 0;
}

/* One entry of the header; NULL, or what is wrong with it. */
static const char *read_tensor(ex_tensor *t, const char *name, const json_t *o,
                               size_t data, size_t *from, size_t *to)
{
    const json_t *shape = json_object_get(o, "shape"), *offsets = json_object_get(
        o, "data_offsets");
    const char *dtype = json_string_value(json_object_get(o, "dtype"));
    size_t width = dtype ? width_of(dtype) : 0, count = 1;

    if (!dtype || !json_is_array(shape) || json_array_size(offsets) != 2)
        return "wants dtype, shape and data_offsets";
    if (!width)
        return "is of a type that is not known";
    if (json_array_size(shape) > EX_MAX_RANK)
        return "has too many dimensions";
    *t = (ex_tensor){ .name = name, .dtype_word = dtype, .dtype = EX_OTHER,
                      .rank = (int)json_array_size(shape) };
    for (int k = 0; k < t->rank; k++) {
        const json_t *dim = json_array_get(shape, (size_t)k);
        json_int_t n = json_integer_value(dim);
        if (!json_is_integer(dim) || n < 0)
            return "has a shape that is not of whole numbers";
        t->dim[k] = (size_t)n;
        if (__builtin_mul_overflow(count, t->dim[k], &count))
            return "is larger than any memory";
    }
    const json_t *first = json_array_get(offsets, 0), *second = json_array_get(offsets, 1);
    json_int_t a = json_integer_value(first), b = json_integer_value(second);
    if (!json_is_integer(first) || !json_is_integer(second) || a < 0 || b < a
        || (size_t)b > data)
        return "lies outside the file";
    if (__builtin_mul_overflow(count, width, &count) || count != (size_t)(b - a))
        return "has a shape that does not fit its bytes";
    for (ex_dtype k = EX_F32; k <= EX_U8; k++)
        if (strcmp(dtype_word[k], dtype) == 0)
            t->dtype = k;
    t->bytes = count;
    *from = (size_t)a;
    *to = (size_t)b;
    return NULL;
}

typedef struct span { size_t from, to; } span;

static int by_place(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

/* Tensors cover the data without gap or overlap. */
static int covered(span *list, int count, size_t data)
{
    size_t end = 0;
    qsort(list, (size_t)count, sizeof *list, by_place);
    for (int i = 0; i < count; i++) {
        if (list[i].from != end)
            return 0;
        end = list[i].to;
    }
    return end == data;
}

static nn_status read_entries(ex_tensors *f, const char *path, char *base, size_t data,
                              span *place, nn_err *err)
{
    const char *name, *wrong;
    json_t *o;

    json_object_foreach(f->header, name, o) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        span *s = &place[f->count];
        ex_tensor *t = &f->list[f->count];
        if ((wrong = read_tensor(t, name, o, data, &s->from, &s->to)))
            return nn_fail(err, NN_ECHECKPOINT, "%s: tensor '%.80s' %s", path, name,
                           wrong);
        t->data = base + s->from;
        f->count++;
    }
    if (!covered(place, f->count, data))
        return nn_fail(err, NN_ECHECKPOINT, "%s: its tensors do not cover it without gap"
                       " or overlap", path);
    return NN_OK;
}

nn_status ex_tensors_read(ex_tensors *f, const char *path, nn_err *err)
{
    uint64_t header = 0;
    json_error_t wrong;

    *f = (ex_tensors){0};
    NN_TRY(read_bytes(f, path, err));
    if (f->size >= PREFIX)
        header = header_length(f->bytes);
    if (f->size < PREFIX || header < 2 || header > most_header
        || header > f->size - PREFIX || f->bytes[PREFIX] != '{')
        return nn_fail(err, NN_ECHECKPOINT, "%s: is not a safetensors file, or is"
                       " truncated (%zu bytes)", path, f->size);
    NN_TRY(verify(f, path, header, err));
    f->header = json_loadb(f->bytes + PREFIX, header, JSON_REJECT_DUPLICATES, &wrong);
    if (!json_is_object(f->header))
        return nn_fail(err, NN_ECHECKPOINT, "%s: its header is not JSON: %s (byte %d)",
                       path, f->header ? "no object" : wrong.text, wrong.position);
    f->metadata = json_object_get(f->header, "__metadata__");
    size_t count = json_object_size(f->header);
    f->list = calloc(count + 1, sizeof *f->list);
    span *place = calloc(count + 1, sizeof *place);
    if (!f->list || !place) {
        free(place);
        return nn_fail(err, NN_ERUN, "%s: no memory for %zu tensors", path, count);
    }
    nn_status status = read_entries(f, path, f->bytes + PREFIX + header,
                                    f->size - PREFIX - header, place, err);
    free(place);
    return status;
}

/* n bytes from the start of a regular file; 0: it has not so many. */
static int read_start(int file, void *to, size_t n, size_t at)
{
    struct stat st;
    return fstat(file, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size >= at
        && (size_t)st.st_size - at >= n
        && pread(file, to, n, (off_t)at) == (ssize_t)n;
}

json_t *ex_safetensors_metadata(const char *path)
{
    char prefix[PREFIX];
    uint64_t header = 0;
    char *text = NULL;
    json_t *o = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file < 0)
        return NULL;
    if (read_start(file, prefix, sizeof prefix, 0)) {
        header = header_length(prefix);
        text = header <= most_header ? malloc(header + 1) : NULL;
        if (text && read_start(file, text, header, PREFIX))
            o = json_loadb(text, header, JSON_REJECT_DUPLICATES, NULL);
    }
    free(text);
    close(file);
    json_t *metadata = json_incref(json_object_get(o, "__metadata__"));
    json_decref(o);
    return metadata;
}

void ex_tensors_free(ex_tensors *f)
{
    json_decref(f->header);
    free(f->list);
    free(f->bytes);
    *f = (ex_tensors){0};
}

const ex_tensor *ex_tensors_find(const ex_tensors *f, const char *name)
{
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->list[i].name, name) == 0)
            return &f->list[i];
    return NULL;
}

const char *ex_tensors_word(const ex_tensors *f, const char *word)
{
    return json_string_value(json_object_get(f->metadata, word));
}
