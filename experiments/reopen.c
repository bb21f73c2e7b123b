#include "experiments/reopen.h"

#include <stdio.h>
#include <string.h>

#include "experiments/memory.h"

/* Other settings would make it another run. */
static nn_status check_pair(const char *pair, nn_err *err)
{
    static const char *const may[] = { "data.", "metrics.", "memory." };

    for (size_t i = 0; i < NN_COUNT(may); i++)
        if (strncmp(pair, may[i], strlen(may[i])) == 0)
            return NN_OK;
    return nn_fail(err, NN_ECONFIG, "command line: '%.80s': a run is looked at as it is;"
                   " only settings of data, metrics and memory can be others", pair);
}

/* The run's own configuration.  `init` says where weights began, which does not matter
 * any more, and its file may be gone. */
static nn_status read_config(ex_reopened *in, const ex_reopen_options *o, nn_err *err)
{
    const char **pair = NN_NEW(&in->text, const char *, o->pairs + 1);
    char *file = NN_NEW(&in->text, char, strlen(in->record.path) + 32);

    for (int i = 0; i < o->pairs; i++)
        pair[i] = o->pair[i];
    pair[o->pairs] = "init.from=";
    sprintf(file, "%s/config.yaml", in->record.path);
    NN_TRY(ex_config_load(&in->config, file, o->pairs + 1, pair, &in->text, err));
    return ex_memory_settle(&in->config, err);
}

/* The folder's files tell baselines, which are not needed; a path that is no run folder
 * ends it. */
static nn_status read_folder(ex_reopened *in, const char *path, nn_err *unread,
                             nn_err *err)
{
    nn_err why = {0};
    nn_status status = ex_record_read(path, &in->record, &why);

    if (status == NN_ECONFIG)
        return nn_fail(err, status, "%s", why.text);
    if (status != NN_OK)
        nn_fail(unread, status, "%s; going on without baselines", why.text);
    return NN_OK;
}

/* last, and when that is missing or damaged prev; or what was asked for and nothing
 * else. */
static nn_status read_weights(ex_reopened *in, const char *asked, nn_err *err)
{
    const char *last = asked && strcmp(asked, "prev") == 0 ? EX_PREV : EX_LAST;
    nn_err why = {0}, older = {0};

    if (asked && strcmp(asked, "last") != 0 && strcmp(asked, "prev") != 0)
        snprintf(in->checkpoint, sizeof in->checkpoint, "%s", asked);
    else
        snprintf(in->checkpoint, sizeof in->checkpoint, "%s/checkpoints/%s",
                 in->record.path, last);
    nn_status status = ex_checkpoint_look(&in->run, in->checkpoint, &in->seen, &why);
    if (status != NN_ECHECKPOINT || asked)
        return status == NN_OK ? NN_OK : nn_fail(err, status, "%s", why.text);
    snprintf(in->checkpoint, sizeof in->checkpoint, "%s/checkpoints/" EX_PREV,
             in->record.path);
    status = ex_checkpoint_look(&in->run, in->checkpoint, &in->seen, &older);
    if (status == NN_OK) {
        fprintf(stderr, "%s; looking at %s, the one before it\n", why.text, EX_PREV);
        return NN_OK;
    }
    ex_folder folder;
    snprintf(folder.checkpoints, sizeof folder.checkpoints, "%s/checkpoints",
             in->record.path);
    if (!ex_folder_has_checkpoint(&folder))
        return nn_fail(err, status, "%s/checkpoints: no checkpoint in it; a run has one"
                       " from its first evaluation on", in->record.path);
    return nn_fail(err, status, "%s; %s", why.text, older.text);
}

/* What makes figures incomparable with the run's: to be known, or an error. */
static nn_status check_weights(ex_reopened *in, const ex_reopen_options *o, nn_err *err)
{
    const ex_seen *s = &in->seen;
    int others = 0;

    for (int i = 0; i < o->pairs; i++)
        others |= strncmp(o->pair[i], "data.", 5) == 0;
    if (s->other_data && !others)
        return nn_fail(err, NN_EDATA, "%s: was written with other data than %s has here;"
                       " bring the old ones back, or say where they are with"
                       " data.dir=DIR", in->checkpoint, in->config.source->name);
    if (s->other_data)
        fprintf(stderr, "note: these are other images than the run's\n");
    if (s->bits != NN_BITS)
        fprintf(stderr, "note: the weights come from a version whose results have other"
                " bits (format %d, here %d)\n", s->bits, NN_BITS);
    if (s->differs[0])
        fprintf(stderr, "note: other settings than those it was trained with: %s\n",
                s->differs);
    return NN_OK;
}

nn_status ex_reopen(ex_reopened *in, const ex_reopen_options *o, nn_err *err)
{
    nn_err unread = {0};

    for (int i = 0; i < o->pairs; i++)
        NN_TRY(check_pair(o->pair[i], err));
    NN_TRY(read_folder(in, o->run, &unread, err));
    NN_TRY(read_config(in, o, err));
    if (unread.text[0])                 /* without a configuration there is no going on */
        fprintf(stderr, "%s\n", unread.text);
    NN_TRY(ex_run_build(&in->run, &in->config, err));
    NN_TRY(read_weights(in, o->checkpoint, err));
    return check_weights(in, o, err);
}

void ex_reopened_free(ex_reopened *in)
{
    ex_run_free(&in->run);
    ex_record_free(&in->record);
    nn_arena_free(&in->text);
}
