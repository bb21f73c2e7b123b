#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "data/files.h"
#include "data/places.h"
#include "experiments/data_measure.h"
#include "experiments/data_task.h"
#include "experiments/folder.h"
#include "experiments/npy.h"
#include "experiments/survey.h"

/* `fullrank data export`: a set as NumPy's arrays, for other tools.
 *
 *   PREFIX_train_images.npy    uint8 (n, h, w, c), or float32 of sets of numbers (n, c)
 *   PREFIX_train_labels.npy    int32 (n), -1 without a label
 *   PREFIX_train_factors.npy   float32 (n, factors), where they are known
 *   PREFIX_test_...            the same
 *   PREFIX.json                names of classes and factors, fingerprints
 *
 * A PREFIX that ends with "/" is a folder: train_images.npy, ..., set.json in it, which
 * the set `arrays` reads. */
typedef struct item { const data_images *d; float *value; uint8_t *pixel; } item;

/* Images as everybody gets them; what is stored in another size is resized. */
static const void *image(void *ctx, int i)
{
    item *it = ctx;
    const data_images *d = it->d;
    const size_t n = (size_t)d->h * (size_t)d->w * (size_t)d->c;

    if (i % 64 == 0 && ex_data_waits())
        return NULL;
    if (d->value)
        return data_value_at(d, i);
    if (data_raw_count(d) == n)
        return data_pixel_at(d, i);
    data_plain(d, NULL, i, 1, it->value);
    for (size_t k = 0; k < n; k++) {
        const int j = (int)(k % (size_t)d->c);
        const double x = (double)it->value[k] * (double)data_std_of(d, j)
                         + (double)data_mean_of(d, j);
        it->pixel[k] = x <= 0 ? 0 : x >= 1 ? 255 : (uint8_t)(x * 255 + 0.5);
    }
    return it->pixel;
}

static int is_folder(const ex_data_task *t)
{
    const size_t n = strlen(t->o->output);
    return n && t->o->output[n - 1] == '/';
}

static const char *name_of(const ex_data_task *t, int k, const char *what, char *out)
{
    snprintf(out, DATA_PATH, "%s%s%s_%s.npy", t->o->output, is_folder(t) ? "" : "_",
             k == EX_TRAIN ? "train" : "test", what);
    return out;
}

static nn_status write_images(ex_data_task *t, int k, const char *file, nn_err *err)
{
    const data_images *d = &t->part[k];
    const size_t n = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    const ex_npy_shape shape = { d->value && d->h == 1 && d->w == 1 ? 2 : 4,
                                 { d->n, shape.dims == 2 ? d->c : d->h, d->w, d->c } };
    item it = { d, NN_NEW(&t->own, float, n), NN_NEW(&t->own, uint8_t, n) };

    return ex_npy_write_items(file, d->value ? EX_NPY_FLOAT : EX_NPY_BYTE, &shape, image,
                              &it, err);
}

static nn_status write_labels(ex_data_task *t, int k, const char *file, nn_err *err)
{
    const data_images *d = &t->part[k];
    const ex_npy_shape shape = { 1, { d->n } };
    int *label = NN_NEW(&t->own, int, d->n + 1);

    for (int i = 0; i < d->n; i++)
        label[i] = ex_data_labelled(d, i) ? d->label[i] : -1;
    return ex_npy_write_ints(file, &shape, label, err);
}

/* Each file is whole, or not there: a signal waits for the end of a short one and is the
 * end of a long one. */
static nn_status write_part(ex_data_task *t, int k, nn_err *err)
{
    const data_images *d = &t->part[k];
    const ex_npy_shape shape = { 2, { d->n, d->factors } };
    char file[DATA_PATH];

    ex_data_hold();
    nn_status status = write_images(t, k, name_of(t, k, "images", file), err);
    if (status == NN_OK)
        status = write_labels(t, k, name_of(t, k, "labels", file), err);
    if (status == NN_OK && d->factor)
        status = ex_npy_write_floats(name_of(t, k, "factors", file), &shape, d->factor,
                                     err);
    ex_data_let_go();
    return status;
}

/* ---- names ---- */

static json_t *class_names(const data_images *d)
{
    json_t *list = json_array();
    char name[64];
    for (int i = 0; i < d->classes; i++)
        json_array_append_new(list, json_string(ex_data_class(d, i, name, sizeof name)));
    return list;
}

static json_t *factor_names(const data_images *d)
{
    json_t *list = json_array();
    char number[16];
    for (int i = 0; i < d->factors; i++) {
        snprintf(number, sizeof number, "%d", i);
        json_array_append_new(list, json_string(d->factor_names ? d->factor_names[i]
                                                                : number));
    }
    return list;
}

static const char *readable(ex_data_task *t, char *path)
{
    return data_readable(basename(path), &t->own);
}

static json_t *part_object(ex_data_task *t, int k)
{
    const data_images *d = &t->part[k];
    char file[3][DATA_PATH], print[20];

    name_of(t, k, "images", file[0]);
    name_of(t, k, "labels", file[1]);
    name_of(t, k, "factors", file[2]);
    snprintf(print, sizeof print, "%016" PRIx64, data_fingerprint(d));
    return json_pack("{s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:s}", "images",
                     readable(t, file[0]), "labels", readable(t, file[1]), "factors",
                     d->factor ? json_string(readable(t, file[2])) : json_null(), "n", d->n,
                     "h", d->h, "w", d->w, "c", d->c, "fingerprint", print);
}

static json_t *figures(const data_images *d, float (*of)(const data_images *, int))
{
    json_t *list = json_array();
    for (int j = 0; j < ex_data_channels(d); j++)
        json_array_append_new(list, ex_json_number((double)of(d, j)));
    return list;
}

static nn_status write_names(ex_data_task *t, nn_err *err)
{
    const data_images *d = &t->part[EX_TRAIN];
    char name[DATA_PATH + 8];
    json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "set", t->source->name,
                          "about", t->source->about, "classes", class_names(d), "factors",
                          factor_names(d), "mean", figures(d, data_mean_of), "std",
                          figures(d, data_std_of));

    NN_NEED(o, "data export: out of memory");
    json_object_set_new(o, "train", part_object(t, EX_TRAIN));
    json_object_set_new(o, "test", part_object(t, EX_TEST));
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    NN_NEED(text, "out of memory");
    snprintf(name, sizeof name, "%s%s", t->o->output, is_folder(t) ? "set.json" : ".json");
    ex_data_hold();
    nn_status status = ex_file_put(dirname(nn_arena_copy(&t->own, name)),
                                   basename(nn_arena_copy(&t->own, name)), text,
                                   strlen(text), err);
    ex_data_let_go();
    free(text);
    json_decref(o);
    return status;
}

nn_status ex_data_export(ex_data_task *t, FILE *out, nn_err *err)
{
    enum { LONGEST = 1000 };            /* of a prefix: what ex_file_put has room for */
    char file[DATA_PATH];

    if (strlen(t->o->output) > LONGEST)
        return nn_fail(err, NN_ECONFIG, "command line: -o: the path is too long");
    if (!t->o->output[0])
        return nn_fail(err, NN_ECONFIG, "command line: -o: names no file; give it a PREFIX");
    NN_TRY(ex_data_read(t, err));
    for (int k = 0; k < EX_PARTS; k++)
        NN_TRY(data_view_size(&t->part[k], t->augment.size, &t->own, err));
    for (int k = 0; k < EX_PARTS; k++)
        NN_TRY(write_part(t, k, err));
    NN_TRY(write_names(t, err));
    for (int k = 0; k < EX_PARTS; k++) {
        const data_images *d = &t->part[k];
        fprintf(out, "%s  %s (%d, %d, %d, %d)\n", name_of(t, k, "images", file),
                d->value ? "float32" : "uint8", d->n, d->h, d->w, d->c);
        fprintf(out, "%s  int32 (%d)\n", name_of(t, k, "labels", file), d->n);
        if (d->factor)
            fprintf(out, "%s  float32 (%d, %d)\n", name_of(t, k, "factors", file), d->n,
                    d->factors);
    }
    fprintf(out, "%s%s  names, fingerprints\n", t->o->output,
            is_folder(t) ? "set.json" : ".json");
    return NN_OK;
}
