#ifndef EX_SAFETENSORS_H
#define EX_SAFETENSORS_H

#include <jansson.h>
#include "experiments/folder.h"

/* Files of named tensors in the safetensors layout, which PyTorch, NumPy and JAX read:
 *
 *   8 bytes    length n of the header, little-endian
 *   n bytes    JSON: {"__metadata__": {word: text, ...},
 *                     name: {"dtype": "F32", "shape": [...], "data_offsets": [from, to]}}
 *              filled up with blanks, so that the data begin at a multiple of 8
 *   the rest   the tensors, little-endian, row-major, in order, without gap or overlap
 *
 * Ours have a word "fullrank" in the metadata and a checksum: "sha256" is the SHA-256 of
 * the whole file in which these 64 digits are zeros.  No byte can change unnoticed, the digits included. */
typedef enum ex_dtype { EX_F32, EX_U8, EX_OTHER } ex_dtype;

enum { EX_MAX_RANK = 8 };

typedef struct ex_tensor {
    const char *name;
    ex_dtype dtype;
    const char *dtype_word;             /* as in the file; read only */
    int rank;
    size_t dim[EX_MAX_RANK];
    size_t bytes;
    const void *data;
    /* Convolution weights are (out, kh, kw, in) here and (out, in, kh, kw) everywhere
     * else.  1: `data` is in our order and `dim` in the file's; written turned. */
    int turned;
} ex_tensor;

/* What a parameter or a buffer of its shape looks like in a file. */
ex_tensor   ex_tensor_of(const char *name, const nn_shape *s, float *val);
int         ex_tensor_same(const ex_tensor *a, const ex_tensor *b);     /* type and shape */
const char *ex_tensor_text(const ex_tensor *t, char *out, size_t size); /* "F32 (2, 3)" */
/* Copies the numbers of a tensor that was read to where `to` has them in memory.  `room`
 * holds a tensor that is turned. */
void        ex_tensor_take(const ex_tensor *from, const ex_tensor *to, float *room);

/* Writes <folder>/<name> whole or not at all (ex_file).  `metadata` maps words to texts
 * and gets "sha256" added; "fullrank" among them makes the file ours.  `keep`: the name
 * that the old file goes on under, or NULL.  `room` holds the largest turned tensor. */
nn_status ex_safetensors_write(const char *folder, const char *name, const char *keep,
                               const ex_tensor *list, int count, json_t *metadata,
                               float *room, nn_err *err);

typedef struct ex_tensors {             /* a file that was read */
    char *bytes;
    size_t size;
    json_t *header;
    const json_t *metadata;             /* NULL: none */
    ex_tensor *list;
    int count;
    int checked;                        /* 1: it has a checksum, and that is right */
} ex_tensors;

/* Reads and checks a file, ours or others': NN_ECHECKPOINT with its path and what is
 * wrong.  NN_ERUN: not enough memory.  ex_tensors_free also after a failure. */
nn_status        ex_tensors_read(ex_tensors *f, const char *path, nn_err *err);
/* The metadata alone, of a file that is not checked; NULL: none.  The caller's. */
json_t          *ex_safetensors_metadata(const char *path);
void             ex_tensors_free(ex_tensors *f);
const ex_tensor *ex_tensors_find(const ex_tensors *f, const char *name);
/* A text of the metadata, or NULL. */
const char      *ex_tensors_word(const ex_tensors *f, const char *word);

#endif
