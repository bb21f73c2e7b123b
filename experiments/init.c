#include "experiments/init.h"

#include <errno.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "experiments/safetensors.h"
#include "experiments/words.h"

/* The map from the names in a file to ours: prefixes that wrappers of a model put before
 * every name, and names that have no place here.  Prefixes are taken off one after the
 * other, as long as one fits. */
static const char *const prefixes[] = {
    "module.",                          /* DistributedDataParallel */
    "model.", "backbone.", "encoder.",  /* usual names for the model inside a method */
};

static const struct rule {
    const char *text;
    int at_end, heads;                  /* else at the start; only of init.part backbone */
    const char *why;
} left[] = {
    { ".num_batches_tracked", 1, 0, "BatchNorm's counter, which only PyTorch uses" },
    { "optim.", 0, 0, "the optimiser in a checkpoint of ours" },
    { "run.", 0, 0, "the log in a checkpoint of ours" },
    { "fc.", 0, 1, "torchvision's classifier" },
    { "projector.", 0, 1, "the method's, unless init.part is all" },
    { "probe.", 0, 0, "an online probe" },
    { "target.", 0, 1, "the method's, unless init.part is all" },
    { "predictor.", 0, 1, "the method's, unless init.part is all" },
    { "decoder.", 0, 1, "the method's, unless init.part is all" },
    { "quantiser.", 0, 1, "the method's, unless init.part is all" },
    { "log_var", 0, 1, "the method's, unless init.part is all" },
    { "codes.", 0, 0, "what a run knew of its codebook" },
};

void ex_init_help(FILE *f)
{
    fputs("  Names in the file are torchvision's (conv1.weight, layer1.0.bn1.running_mean).\n"
          "  Taken off their beginning:", f);
    for (size_t i = 0; i < NN_COUNT(prefixes); i++)
        fprintf(f, " %s", prefixes[i]);
    fputs("\n  Left out:\n", f);
    for (size_t i = 0; i < NN_COUNT(left); i++)
        fprintf(f, "    %-24s %s\n", left[i].text, left[i].why);
}

static int starts(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static int ends(const char *name, const char *with)
{
    size_t n = strlen(name), w = strlen(with);
    return n >= w && strcmp(name + n - w, with) == 0;
}

static const char *plain(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(prefixes); i++)
        if (starts(name, prefixes[i])) {
            name += strlen(prefixes[i]);
            i = (size_t)-1;                     /* from the first again */
        }
    return name;
}

/* The rule that leaves it out, -1: none. */
static int rule_for(const char *name, int part)
{
    for (int i = 0; i < (int)NN_COUNT(left); i++)
        if ((!left[i].heads || part == EX_INIT_BACKBONE)
            && (left[i].at_end ? ends(name, left[i].text) : starts(name, left[i].text)))
            return i;
    return -1;
}

/* Our name for a name in the file: the same, or what is left of it. */
static const char *meaning(const ex_run *run, const char *text)
{
    return nn_store_find(&run->store, text) ? text : plain(text);
}

/* The tensor of the file that means `name`; a second one is an error. */
static const ex_tensor *find(const ex_run *run, const ex_tensors *f, const char *name,
                             int part, ex_words *w)
{
    const ex_tensor *found = NULL;

    for (int i = 0; i < f->count; i++) {
        const char *text = f->list[i].name;
        if (strcmp(meaning(run, text), name) != 0 || rule_for(name, part) >= 0)
            continue;
        if (found)
            ex_say(w, "%s%s is there twice: as %s too", w->count ? ", " : "", text,
                   found->name);
        found = &f->list[i];
    }
    return found;
}

static int known(const ex_run *run, int tensors, const char *name)
{
    for (int i = 0; i < tensors; i++)
        if (strcmp(run->store.list[i]->name, name) == 0)
            return 1;
    return 0;
}

/* Everything that does not fit goes to *w, what is left out on purpose to *skipped. */
static void check(const ex_run *run, const ex_tensors *f, int part, int tensors,
                  ex_words *w, ex_words *skipped)
{
    int times[NN_COUNT(left)] = {0};
    char a[128], b[128];

    for (int i = 0; i < tensors; i++) {
        const nn_param *p = run->store.list[i];
        ex_tensor want = ex_tensor_of(p->name, &p->shape, p->val);
        const ex_tensor *t = find(run, f, p->name, part, w);
        const char *comma = w->count ? ", " : "";
        if (!t)
            ex_say(w, "%s%s is missing", comma, p->name);
        else if (!ex_tensor_same(t, &want))
            ex_say(w, "%s%s is %s and should be %s", comma, t->name,
                   ex_tensor_text(t, a, sizeof a), ex_tensor_text(&want, b, sizeof b));
    }
    for (int i = 0; i < f->count; i++) {
        const char *name = f->list[i].name;
        int rule = rule_for(meaning(run, name), part);
        if (rule >= 0)
            times[rule]++;
        else if (!known(run, tensors, meaning(run, name)))
            ex_say(w, "%s%s is not known", w->count ? ", " : "", name);
    }
    for (size_t i = 0; i < NN_COUNT(left); i++)
        if (times[i])
            ex_say(skipped, "%s%d of %s%s%s", skipped->count ? ", " : "", times[i],
                   left[i].at_end ? "*" : "", left[i].text,
                   left[i].at_end ? "" : "*");
}

static nn_status take(ex_run *run, const ex_tensors *f, int part, int tensors,
                      nn_err *err)
{
    size_t most = 0;
    for (int i = 0; i < tensors; i++)
        if (nn_shape_count(&run->store.list[i]->shape) > most)
            most = nn_shape_count(&run->store.list[i]->shape);
    float *room = malloc(sizeof *room * (most + 1));
    ex_words none = {0};
    if (!room)
        return nn_fail(err, NN_ERUN, "init.from: out of memory");
    for (int i = 0; i < tensors; i++) {
        const nn_param *p = run->store.list[i];
        ex_tensor to = ex_tensor_of(p->name, &p->shape, p->val);
        ex_tensor_take(find(run, f, p->name, part, &none), &to, room);
        nn_bad bad = nn_bad_among(p->val, nn_shape_count(&p->shape));
        if (bad.nans + bad.infs) {
            free(room);
            return nn_fail(err, NN_ECHECKPOINT, "%s: %s holds numbers that are not finite"
                           " (%zu NaN, %zu infinite)", run->config->init.from, p->name,
                           bad.nans, bad.infs);
        }
    }
    free(room);
    return NN_OK;
}

nn_status ex_init_load(ex_run *run, nn_err *note, nn_err *err)
{
    const char *path = run->config->init.from;
    int part = run->config->init.part,
        tensors = part == EX_INIT_ALL ? run->network : run->backbone;
    char wrong[3500] = "", skipped[400] = "", sha[SHA256_DIGEST_STRING_LENGTH];
    ex_words w = { .at = wrong, .size = sizeof wrong };
    ex_words s = { .at = skipped, .size = sizeof skipped };
    ex_tensors f;

    nn_status status = ex_tensors_read(&f, path, err);
    if (status == NN_OK) {
        SHA256Data((const uint8_t *)f.bytes, f.size, sha);
        if (strcmp(sha, run->config->init_sha256) != 0)
            status = nn_fail(err, NN_ECHECKPOINT, "%s: was changed while it was read; give"
                             " init.from a copy that stays", path);
    }
    if (status == NN_OK) {
        check(run, &f, part, tensors, &w, &s);
        ex_say_rest(&w);
        if (w.count)
            status = nn_fail(err, NN_ECHECKPOINT, "%s: does not fit %s: %s", path,
                             run->config->model->name, wrong);
    }
    if (status == NN_OK)
        status = take(run, &f, part, tensors, err);
    if (status == NN_OK && part == EX_INIT_BACKBONE)    /* a target starts as a copy */
        nn_store_follow(&run->store, 0);
    if (status == NN_OK)
        nn_fail(note, NN_OK, "%d tensors from %s%s%s", tensors, path,
                s.count ? "; left out: " : "", skipped);
    ex_tensors_free(&f);
    return status;
}

nn_status ex_init_sha256(const char *path, const char *where, char out[65], nn_err *err)
{
    struct stat st;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))   /* a pipe might never end */
        return nn_fail(err, NN_ECONFIG, "%s: init.from: %s: is not a file", where, path);
    errno = 0;
    if (!SHA256File(path, out))
        return nn_fail(err, NN_ECONFIG, "%s: init.from: %s: cannot be read: %s", where,
                       path, errno ? strerror(errno) : "unknown reason");
    return NN_OK;
}
