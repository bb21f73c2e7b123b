#include "experiments/quantise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/evaluate.h"
#include "experiments/machine.h"
#include "experiments/npy.h"
#include "experiments/reopen.h"
#include "experiments/survey.h"

/* The codes of a trained run's images, in the batches of its evaluations, so that the
 * figures are those of metrics.jsonl. */
typedef struct look {
    const ex_quantise_options *o;
    ex_reopened in;
    int train_split, parts;
    data_images *images;
    ex_survey part[NN_QUANT_PARTS];
    met_image_sum sum;
    met_images made;
    int rows, cols;                     /* h', w' of a map; 0 before the first batch */
    int *index;                         /* (images, parts, h', w') */
} look;

static nn_status check_options(look *l, nn_err *err)
{
    const ex_quantise_options *o = l->o;
    const char *of_file = o->books ? "codebook" : o->fit ? "fit" : o->rounds ? "rounds"
        : o->seed ? "seed" : o->decoded ? "decode" : NULL;

    if (of_file)
        return nn_fail(err, NN_ECONFIG, "command line: --%s goes with METHOD X.npy, not"
                       " with a run", of_file);
    if (o->indices && o->codebook && strcmp(o->indices, o->codebook) == 0)
        return nn_fail(err, NN_ECONFIG, "command line: %.200s is named twice; a result"
                       " wants a file of its own", o->indices);
    l->train_split = o->split && strcmp(o->split, "train") == 0;
    if (o->split && !l->train_split && strcmp(o->split, "test") != 0)
        return nn_fail(err, NN_ECONFIG, "command line: --split is test or train, not"
                       " '%.40s'", o->split);
    return NN_OK;
}

static nn_status check_run(const look *l, nn_err *err)
{
    const ex_codes *c = &l->in.run.codes;

    if (!c->parts)
        return nn_fail(err, NN_ECONFIG, "%s: method %s has no codebook; a run of vqvae"
                       " has", l->in.record.path, l->in.config.method->name);
    if (l->o->codebook && !nn_quantiser_has_book(c->quantiser))
        return nn_fail(err, NN_ECONFIG, "command line: %s has no codebook to export; -o"
                       " writes its indices", l->in.config.quantiser.kind->name);
    return NN_OK;
}

static void see(void *ctx, const ex_coded *b)
{
    look *l = ctx;
    ex_run *run = &l->in.run;
    const size_t places = (size_t)b->rows * (size_t)b->cols, parts = (size_t)l->parts;
    const size_t images = (size_t)b->images;

    l->rows = b->rows;
    l->cols = b->cols;
    if (l->o->indices && !l->index)
        l->index = NN_NEW(&run->forever, int, (size_t)l->images->n * parts * places);
    for (size_t p = 0; p < parts; p++) {
        const int *index = b->found->index[p];
        ex_survey_add(&l->part[p], images * places, index, b->found->z[p]->val,
                      b->found->code[p]->val, &run->scratch);
        for (size_t i = 0; l->index && i < images; i++)
            memcpy(l->index + (((size_t)b->from + i) * parts + p) * places,
                   index + i * places, sizeof *index * places);
    }
    met_image_add(&l->sum, images, b->truth, b->made, &run->scratch);
}

static void measure(look *l)
{
    ex_run *run = &l->in.run;
    ex_codes *c = &run->codes;
    ex_evaluator e = ex_evaluator_new(run);

    l->parts = c->parts;
    l->images = l->train_split ? &run->train : &run->test;
    l->sum.size = (met_image_size){ l->images->h, l->images->w, l->images->c };
    for (int i = 0; i < c->parts; i++)
        l->part[i] = ex_survey_open(c->k, c->d, &run->forever);
    ex_evaluator_codes(&e, l->images, see, l);
    for (int i = 0; i < c->parts; i++) {
        const size_t mark = nn_arena_mark(&run->scratch);
        ex_survey_close(&l->part[i], nn_quantiser_book(c->quantiser, i, &run->scratch),
                        &run->scratch);
        nn_arena_rewind(&run->scratch, mark);
    }
    l->made = met_image_of(&l->sum);
    if (l->images->value)
        l->made.psnr = NAN;             /* as in ex_codes_of_vectors */
}

/* As codes are used: after a projection, and of length 1 where the metric asks for it. */
static nn_status write_books(look *l, nn_err *err)
{
    ex_run *run = &l->in.run;
    const ex_codes *c = &run->codes;
    const size_t mark = nn_arena_mark(&run->scratch), each = c->k * c->d;
    const int k = (int)c->k, d = (int)c->d;
    float *all = NN_NEW(&run->scratch, float, each * (size_t)c->parts);

    for (int i = 0; i < c->parts; i++) {
        const size_t inner = nn_arena_mark(&run->scratch);
        memcpy(all + (size_t)i * each, nn_quantiser_book(c->quantiser, i, &run->scratch),
               sizeof *all * each);
        nn_arena_rewind(&run->scratch, inner);
    }
    const ex_npy_shape shape = c->parts == 1 ? (ex_npy_shape){ 2, { k, d } }
                                             : (ex_npy_shape){ 3, { c->parts, k, d } };
    nn_status status = ex_npy_write_floats(l->o->codebook, &shape, all, err);
    nn_arena_rewind(&run->scratch, mark);
    return status;
}

static nn_status write_files(look *l, nn_err *err)
{
    const ex_npy_shape shape = { 4, { l->images->n, l->parts, l->rows, l->cols } };

    if (l->o->indices)
        NN_TRY(ex_npy_write_ints(l->o->indices, &shape, l->index, err));
    return l->o->codebook ? write_books(l, err) : NN_OK;
}

/* ---- telling ------------------------------------------------------------------------ */

static void tell_json(const look *l, FILE *out)
{
    const ex_codes *c = &l->in.run.codes;
    json_t *parts = json_array();
    char name[16];

    for (int i = 0; i < l->parts; i++) {
        nn_quantiser_part_name(c->quantiser, i, name, sizeof name);
        json_t *p = json_pack("{s:s, s:I}", "part", name, "K", (json_int_t)c->k);
        ex_survey_json(&l->part[i], 1, p);
        json_array_append_new(parts, p);
    }
    json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I}", "method",
                          l->in.config.quantiser.kind->name, "split",
                          l->train_split ? "train" : "test", "epoch", l->in.seen.at.epoch,
                          "images", l->images->n, "n",
                          (json_int_t)l->images->n * l->rows * l->cols, "K",
                          (json_int_t)c->k, "D", (json_int_t)c->d);
    NN_NEED(o, "quantise: out of memory");
    ex_survey_json(l->part, l->parts, o);
    met_images made = l->made;
    for (int i = 0; i < ex_image_figure_count(); i++)
        json_object_set_new(o, ex_image_figure_name(i),
                            ex_json_number(*ex_image_figure_at(&made, i)));
    json_object_set_new(o, "parts", parts);
    json_dumpf(o, out, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    fputc('\n', out);
    json_decref(o);
}

static void tell(const look *l, FILE *out)
{
    const ex_codes *c = &l->in.run.codes;
    char name[16];

    fprintf(out, "%s\n%s, %s after %d of %d epochs\n", l->in.record.path,
            l->in.config.quantiser.kind->name, l->in.checkpoint, l->in.seen.at.epoch,
            l->in.config.top.epochs);
    fprintf(out, "n = %d %s images of %d x %d codes, D = %zu\n", l->images->n,
            l->train_split ? "training" : "held-out", l->rows, l->cols, c->d);
    ex_survey_head(out);
    for (int i = 0; i < l->parts; i++)
        ex_survey_line(&l->part[i],
                       nn_quantiser_part_name(c->quantiser, i, name, sizeof name), out);
    if (l->images->value)
        fprintf(out, "vectors: mse %.6g, nmse %.6g\n", l->made.mse, l->made.nmse);
    else
        fprintf(out, "images: mse %.6g, psnr %.2f dB, ssim %.4f\n", l->made.mse,
                l->made.psnr, l->made.ssim);
}

static nn_status of_run(look *l, nn_err *err)
{
    const ex_quantise_options *o = l->o;

    NN_TRY(ex_machine_choose(o->threads, err));
    NN_TRY(check_options(l, err));
    NN_TRY(ex_reopen(&l->in, &(ex_reopen_options){ o->word[0], o->words - 1, o->word + 1,
                                                   o->checkpoint }, err));
    NN_TRY(check_run(l, err));
    measure(l);
    return write_files(l, err);
}

nn_status ex_quantise_run(const ex_quantise_options *o, FILE *out, nn_err *err)
{
    look *l = calloc(1, sizeof *l);

    NN_NEED(l, "out of memory");
    l->o = o;
    nn_status status = of_run(l, err);
    if (status == NN_OK)
        (o->json ? tell_json : tell)(l, out);
    ex_reopened_free(&l->in);
    free(l);
    return status;
}
