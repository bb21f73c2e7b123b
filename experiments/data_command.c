#include "experiments/data_command.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/config_read.h"
#include "experiments/data_task.h"

typedef struct verb {
    const char *name;
    int least, most;                    /* words behind it */
    int writes, draws, tells, reads;    /* -o; --images ...; --json; a set's files */
    nn_status (*run)(ex_data_task *t, FILE *out, nn_err *err);
} verb;

enum { MANY = 1 << 20 };

static const verb verbs[] = {
    { "list", 0, 0, 0, 0, 1, 0, ex_data_list },
    { "check", 1, MANY, 0, 0, 1, 1, ex_data_check },
    { "fetch-help", 0, 1, 0, 0, 0, 0, ex_data_fetch_help },
    { "show", 1, MANY, 1, 1, 0, 1, ex_data_show },
    { "export", 1, MANY, 1, 0, 0, 1, ex_data_export },
};

static const verb *find(const char *name, nn_err *err)
{
    const char *known[NN_COUNT(verbs) + 1] = { NULL };
    char w[64], hint[96];

    for (size_t i = 0; i < NN_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
        known[i] = verbs[i].name;
    }
    ex_meant(nn_nearest(name, known), hint, sizeof hint);
    nn_fail(err, NN_ECONFIG, "command line: data has no command '%s'%s",
            ex_quoted(name, w, sizeof w),
            hint[0] ? hint : "; it has list, check, fetch-help, show and export");
    return NULL;
}

static nn_status check_options(const verb *v, const ex_data_options *o, nn_err *err)
{
    const struct { const char *name; int given, taken; } option[] = {
        { "--json", o->json, v->tells },
        { "--set", o->set != NULL, v->reads },
        { "-o", o->output != NULL, v->writes },
        { "--images", o->images != NULL, v->draws },
        { "--views", o->views != NULL, v->draws },
        { "--operation", o->operation != NULL, v->draws },
    };
    const int words = o->words - 1;

    for (size_t i = 0; i < NN_COUNT(option); i++)
        if (option[i].given && !option[i].taken)
            return nn_fail(err, NN_ECONFIG, "command line: %s means nothing to data %s;"
                           " leave it out", option[i].name, v->name);
    if (words < v->least)
        return nn_fail(err, NN_ECONFIG, "command line: data %s wants a data set, a"
                       " configuration or a folder; 'fullrank data list' names the sets",
                       v->name);
    if (words > v->most)
        return nn_fail(err, NN_ECONFIG, "command line: data %s takes %s", v->name,
                       v->most ? "one data set" : "no argument");
    if (v->writes && !o->output)
        return nn_fail(err, NN_ECONFIG, "command line: data %s wants -o %s", v->name,
                       v->draws ? "FILE.png" : "PREFIX");
    return NN_OK;
}

/* A handler and no mask: a signal to the process finds the one thread that does not block
 * it.  What is ignored on purpose (nohup) stays ignored. */
static const int endings[] = { SIGINT, SIGTERM, SIGHUP };
static struct sigaction before[NN_COUNT(endings)];
static volatile sig_atomic_t came;

static void remember(int signal)
{
    came = signal;
}

void ex_data_hold(void)
{
    struct sigaction wait = { .sa_handler = remember, .sa_flags = SA_RESTART };

    for (size_t i = 0; i < NN_COUNT(endings); i++)
        if (sigaction(endings[i], NULL, &before[i]) == 0
            && before[i].sa_handler != SIG_IGN)
            sigaction(endings[i], &wait, NULL);
}

int ex_data_waits(void)
{
    return came != 0;
}

void ex_data_let_go(void)
{
    for (size_t i = 0; i < NN_COUNT(endings); i++)
        sigaction(endings[i], &before[i], NULL);
    if (came)
        raise(came);
}

nn_status ex_data(const ex_data_options *o, FILE *out, nn_err *err)
{
    const verb *v = find(o->word[0], err);

    if (!v)
        return NN_ECONFIG;
    NN_TRY(check_options(v, o, err));
    signal(SIGXFSZ, SIG_IGN);           /* a limit on file sizes is an error of writing */
    ex_data_task *t = calloc(1, sizeof *t);
    NN_NEED(t, "out of memory");
    t->o = o;
    nn_status status = v->reads ? ex_data_open(t, err) : NN_OK;
    if (status == NN_OK)
        status = v->run(t, out, err);
    for (int k = 0; k < EX_PARTS; k++)
        data_release(&t->part[k]);
    nn_arena_free(&t->own);
    free(t);
    return status;
}
