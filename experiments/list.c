#include "experiments/ask.h"

#include <string.h>

#include "data/data.h"
#include "experiments/codes.h"
#include "experiments/paper.h"
#include "metrics/met.h"
#include "nn/model.h"
#include "nn/quant/quant.h"
#include "optim/opt.h"
#include "ssl/method.h"

static void methods(FILE *out)
{
    for (int i = 0; i < ssl_method_count(); i++)
        fprintf(out, "%-14s %s\n", ssl_method_at(i)->name, ssl_method_at(i)->paper);
}

static void addons(FILE *out)
{
    for (int i = 0; i < ssl_addon_count(); i++)
        fprintf(out, "%-14s %s\n", ssl_addon_at(i)->name, ssl_addon_at(i)->paper);
}

static void models(FILE *out)
{
    for (int i = 0; i < nn_model_count(); i++)
        fprintf(out, "%-16s %s\n", nn_model_at(i)->name, nn_model_at(i)->about);
}

static void datasets(FILE *out)
{
    data_settings usual;
    char where[1024];

    nn_setting_defaults(data_setting_table, &usual);
    for (int i = 0; i < data_source_count(); i++) {
        const data_source *d = data_source_at(i);
        usual.name = d->name;
        int here = d->present(&usual, where, sizeof where);
        fprintf(out, "%-14s %s%s%s%s\n", d->name, d->about,
                here || d->own ? "" : d->package ? " (not here: apt-get install " : " (not here)",
                here || !d->package ? "" : d->package, here || !d->package ? "" : ")");
    }
}

static void optimizers(FILE *out)
{
    for (int i = 0; i < opt_method_count(); i++)
        fprintf(out, "%-14s %s\n", opt_method_at(i)->name, opt_method_at(i)->about);
}

static void quantisers(FILE *out)
{
    for (int i = 0; i < nn_quant_count(); i++)
        fprintf(out, "%-14s %s\n", nn_quant_at(i)->name, nn_quant_at(i)->about);
}

static void metrics(FILE *out)
{
    for (int i = 0; i < met_metric_count(); i++) {
        const met_metric *m = met_metric_at(i);
        fprintf(out, "%-26s %s%s%s\n", m->name, m->about,
                m->reference ? "; reference: " : "", m->reference ? m->reference : "");
    }
    for (int i = 0; i < ex_code_figure_count(); i++)
        fprintf(out, "%-26s %s\n", ex_code_figure_name(i), ex_code_figure_about(i));
    for (int i = 0; i < ex_image_figure_count(); i++)
        fprintf(out, "%-26s %s\n", ex_image_figure_name(i), ex_image_figure_about(i));
}

nn_status ex_list(const char *what, FILE *out, nn_err *err)
{
    static const struct { const char *name; void (*print)(FILE *); } lists[] = {
        { "methods", methods }, { "addons", addons }, { "models", models },
        { "datasets", datasets }, { "optimizers", optimizers },
        { "quantisers", quantisers }, { "metrics", metrics }, { "papers", ex_paper_list }
    };
    const char *known[NN_COUNT(lists) + 1] = { NULL };

    for (size_t i = 0; i < NN_COUNT(lists); i++) {
        if (strcmp(what, lists[i].name) == 0) {
            lists[i].print(out);
            return NN_OK;
        }
        known[i] = lists[i].name;
    }
    const char *near = nn_nearest(what, known);
    return nn_fail(err, NN_ECONFIG, "command line: cannot list '%.40s'%s%s%s", what,
                   near ? "; did you mean '" : "; there are methods, addons, models,"
                   " datasets, optimizers, quantisers, metrics and papers", near ? near : "",
                   near ? "'?" : "");
}
