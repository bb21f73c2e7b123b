#ifndef EX_QUANTISE_TASK_H
#define EX_QUANTISE_TASK_H

#include "experiments/npy.h"
#include "experiments/quantise.h"
#include "experiments/survey.h"
#include "nn/quant/book.h"

/* `fullrank quantise METHOD X.npy` in the making, for its own three files.  Two sorts of
 * methods:
 *
 *   books   the nearest of given codes, stage by stage on what is left over: every kind
 *           of quant.def with a table of codes (they differ in training alone), and
 *           cosine, unit and rvq
 *   grids   codes that are no table (fsq, lfq): the quantiser itself, without training
 *
 *   rows of X -> a chunk -> z, index, q of every part -> figures, and files if wanted
 *
 * Beside X and the codes nothing grows with n but what is to be written. */
enum {
    EX_CHUNK = 1 << 14,                 /* rows at a time; and their floats: 16 MiB */
    EX_CHUNK_FLOATS = 1 << 22,
    EX_LEAST_CHUNK = 256                /* codes are packed anew for every chunk */
};

typedef struct ex_book_settings { int metric, stages; } ex_book_settings;

typedef struct ex_quantise_task {
    const ex_quantise_options *o;
    const char *name, *file;            /* the method; X.npy */
    const nn_setting *table;
    void *config;
    ex_book_settings book;              /* of books */
    int several;                        /* 1: it may have more than one stage */
    nn_quant_plan plan;                 /* of grids; kind NULL: a book */
    nn_quantiser *grid;
    nn_store store;
    int bits_given;
    ex_npy x;
    ex_npy_shape shape;                 /* of the file, before it became rows */
    int parts, groups, stages;
    const float *code[NN_QUANT_PARTS];  /* (k, d) each; NULL of grids */
    size_t k[NN_QUANT_PARTS], d;
    int fit, rounds, seed;
    ex_survey part[NN_QUANT_PARTS];
    met_code_sum sum;                   /* of whole vectors */
    met_code_loss whole;
    int *index;                         /* (n, parts); NULL: not wanted */
    float *decoded;                     /* (n, D); NULL: not wanted */
    nn_arena own, scratch;
} ex_quantise_task;

/* X.npy, and its codes: read, learnt, or a grid (quantise_codes.c). */
nn_status ex_quantise_read(ex_quantise_task *t, nn_err *err);

/* All rows, and the figures (quantise_pass.c). */
nn_status ex_quantise_rows(ex_quantise_task *t, nn_err *err);

int  ex_quantise_chunk(const ex_quantise_task *t);      /* rows at a time */
/* q of n rows, and what they leave over (rest may be z, or NULL). */
void ex_quantise_gather(size_t n, size_t d, const float *code, const int *index,
                        const float *z, float *q, float *rest);

#endif
