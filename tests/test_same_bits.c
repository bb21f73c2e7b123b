/* Promise 1 in small: a few training steps of every model with every method end in the
 * same bytes at any number of threads and with every kernel table. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/par.h"
#include "tests/net.h"
#include "tests/suites.h"

enum { STEPS = 3 };

/* All tensors one after the other; the caller frees. */
static float *weights(net *n, size_t *bytes)
{
    size_t count = 0, at = 0;
    for (int i = 0; i < n->store.count; i++)
        count += nn_shape_count(&n->store.list[i]->shape);
    float *all = malloc(sizeof *all * count);
    for (int i = 0; i < n->store.count; i++) {
        size_t c = nn_shape_count(&n->store.list[i]->shape);
        memcpy(all + at, n->store.list[i]->val, sizeof *all * c);
        at += c;
    }
    *bytes = sizeof *all * count;
    return all;
}

static float *train(const char *model, const char *method, int threads, const nn_kern *k,
                    size_t *bytes)
{
    net n;

    nn_par_set_threads(threads);
    nn_kern_now = k;
    /* rows of 9 x 9 x 8 = 648 are three chunks of a column sum: the tree is not trivial */
    const int side = nn_model_find(model)->fits ? 12 : 9;
    net_start(&n, model, method, (nn_image_shape){ side, side, 3 }, 8);
    if (nn_model_find(model)->settings[0].name)
        net_set_model(&n, "width", 0.2);
    if (!n.method->decodes)
        net_set_method(&n, "proj_dim", 24);
    net_build(&n, 11);
    for (int s = 0; s < STEPS; s++)
        net_train_step(&n, 0.05f);
    float *all = weights(&n, bytes);
    net_free(&n);
    return all;
}

static const int teams[] = { 1, 2, 3, 7 };      /* 7: more than there is work for */
enum { TEAMS = sizeof teams / sizeof *teams };

/* Every table with every team for each model once (its first method) and for each method
 * once (with the first model that can); the other pairs meet every table and every team,
 * not each with each: a code path of a model or of a method alone is in the former, and
 * what only their meeting does would have to depend on table and team at once to escape
 * the latter.  In the long form and for the first of each: all. */
static int meets(int k, int t, int all)
{
    int longer = TEAMS > nn_kern_count() ? TEAMS : nn_kern_count();
    for (int i = 0; !all && i < longer; i++)
        if (k == i % nn_kern_count() && t == (i + 1) % TEAMS)
            return 1;
    return all;
}

static int is_first_of_its_kind(const char *model, const char *method)
{
    int first_method = 0, first_model = 0;
    while (!net_can(model, ssl_method_at(first_method)->name))
        first_method++;
    while (!net_can(nn_model_at(first_model)->name, method))
        first_model++;
    return strcmp(ssl_method_at(first_method)->name, method) == 0
           || strcmp(nn_model_at(first_model)->name, model) == 0;
}

START_TEST(weights_do_not_depend_on_threads_or_kernels)
{
    const nn_model *m = nn_model_at(_i / ssl_method_count());
    const ssl_method *s = ssl_method_at(_i % ssl_method_count());
    size_t bytes, more;
    if (!net_can(m->name, s->name))
        return;                         /* refused by the configuration (test_config.c) */
    int all = getenv("FULLRANK_LONG") || is_first_of_its_kind(m->name, s->name);
    float *want = train(m->name, s->name, 1, nn_kern_at(0), &bytes);

    for (int k = 0; k < nn_kern_count(); k++)
        for (int t = 0; t < TEAMS; t++) {
            if ((k == 0 && teams[t] == 1) || !meets(k, t, all))
                continue;                           /* the first is `want` */
            float *got = train(m->name, s->name, teams[t], nn_kern_at(k), &more);
            ck_assert_uint_eq(more, bytes);
            ck_assert_msg(memcmp(got, want, bytes) == 0,
                          "%s %s differs with table %s at %d threads", m->name, s->name,
                          nn_kern_at(k)->name, teams[t]);
            free(got);
        }
    free(want);
}
END_TEST

Suite *suite_same_bits(void)
{
    Suite *s = suite_create("same_bits");
    TCase *tc = tcase_create("same_bits");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, weights_do_not_depend_on_threads_or_kernels, 0,
                        nn_model_count() * ssl_method_count());
    suite_add_tcase(s, tc);
    return s;
}
