#include <string.h>

#include "experiments/quantise_task.h"
#include "nn/quant/search.h"

/* ---- a chunk ------------------------------------------------------------------------ */

typedef struct chunk {
    size_t from, n;
    const float *z[NN_QUANT_PARTS], *q[NN_QUANT_PARTS];
    const int *index[NN_QUANT_PARTS];
} chunk;

static nn_status search_books(ex_quantise_task *t, chunk *c, nn_err *err)
{
    nn_arena *a = &t->scratch;
    const size_t d = t->d, n = c->n;
    const float *z = t->x.val + c->from * d;

    for (int s = 0; s < t->parts; s++) {
        int *index = NN_NEW(a, int, n);
        float *q = NN_NEW(a, float, n * d);
        float *rest = s + 1 < t->parts ? NN_NEW(a, float, n * d) : NULL;
        const nn_search search = { .n = n, .k = t->k[s], .d = d, .z = z,
                                   .code = t->code[s], .index = index,
                                   .cosine = t->book.metric == NN_BOOK_COSINE };
        if (nn_search_nearest(&search, a))
            return nn_fail(err, NN_EDATA, "%s: rows %zu to %zu: what is left over after"
                           " stage %d is too long to be squared in float32", t->file,
                           c->from, c->from + n - 1, s);
        ex_quantise_gather(n, d, t->code[s], index, z, q, rest);
        c->z[s] = z;
        c->q[s] = q;
        c->index[s] = index;
        z = rest;
    }
    return NN_OK;
}

static void ask_grid(ex_quantise_task *t, nn_tape *tape, chunk *c)
{
    const nn_quant_clock clock = { .steps = 1 };
    nn_node *z = nn_input(tape, nn_shape2((int)c->n, t->x.cols),
                          t->x.val + c->from * (size_t)t->x.cols, 0);
    const nn_quantised found = nn_quantise(tape, t->grid, z, &clock);

    for (int i = 0; i < t->parts; i++) {
        c->z[i] = found.z[i]->val;
        c->q[i] = found.code[i]->val;
        c->index[i] = found.index[i];
    }
}

/* Whole vectors: groups side by side, the codes of the stages added up. */
static void join(const ex_quantise_task *t, const chunk *c, float *z, float *q)
{
    const size_t d = t->d, all = (size_t)t->x.cols;

    for (int p = 0; p < t->parts; p++) {
        const size_t group = (size_t)(p / t->stages) * d;
        const int first = p % t->stages == 0;
        for (size_t i = 0; i < c->n; i++)
            for (size_t j = 0; j < d; j++) {
                const size_t at = i * all + group + j, from = i * d + j;
                z[at] = first ? c->z[p][from] : z[at];
                q[at] = first ? c->q[p][from] : q[at] + c->q[p][from];
            }
    }
}

static void note(ex_quantise_task *t, const chunk *c)
{
    const size_t parts = (size_t)t->parts, all = (size_t)t->x.cols;
    float *z = NN_NEW(&t->scratch, float, c->n * all),
          *q = NN_NEW(&t->scratch, float, c->n * all);

    join(t, c, z, q);
    met_code_add(&t->sum, c->n, z, q, &t->scratch);
    for (size_t p = 0; p < parts; p++) {
        ex_survey_add(&t->part[p], c->n, c->index[p], c->z[p], c->q[p], &t->scratch);
        for (size_t i = 0; t->index && i < c->n; i++)
            t->index[(c->from + i) * parts + p] = c->index[p][i];
    }
    if (t->decoded)
        memcpy(t->decoded + c->from * all, q, sizeof *q * c->n * all);
}

nn_status ex_quantise_rows(ex_quantise_task *t, nn_err *err)
{
    const size_t n = (size_t)t->x.rows, most = (size_t)ex_quantise_chunk(t);

    for (int i = 0; i < t->parts; i++)
        t->part[i] = ex_survey_open(t->k[i], t->d, &t->own);
    t->sum = met_code_sum_of(t->x.cols, &t->own);
    if (t->o->indices)
        t->index = NN_NEW(&t->own, int, n * (size_t)t->parts);
    if (t->o->decoded)
        t->decoded = NN_NEW(&t->own, float, n * (size_t)t->x.cols);
    for (size_t from = 0; from < n; from += most) {
        const size_t mark = nn_arena_mark(&t->scratch);
        chunk c = { .from = from, .n = n - from < most ? n - from : most };
        nn_tape tape;
        nn_tape_start(&tape, &t->scratch, &t->scratch);
        tape.mode = NN_EVAL;
        tape.record = 0;
        nn_status status = NN_OK;
        if (t->grid)
            ask_grid(t, &tape, &c);
        else
            status = search_books(t, &c, err);
        if (status == NN_OK)
            note(t, &c);
        nn_pool_free(&tape.pool);
        nn_arena_rewind(&t->scratch, mark);
        NN_TRY(status);
    }
    for (int i = 0; i < t->parts; i++)
        ex_survey_close(&t->part[i], t->code[i], &t->scratch);
    t->whole = met_code_loss_of(&t->sum);
    return NN_OK;
}
