#include "experiments/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "experiments/safetensors.h"

/* The value behind "key=" at the start of a line of `lines`; NULL: no such line. */
static const char *value_of(const char *lines, const char *key, size_t key_bytes)
{
    for (const char *l = lines; l && *l; l = strchr(l, '\n') ? strchr(l, '\n') + 1 : NULL)
        if (strncmp(l, key, key_bytes) == 0 && l[key_bytes] == '=')
            return l + key_bytes + 1;
    return NULL;
}

/* "optim.base_lr = 0.1 there, 0.2 here, ..." for every line of `here` and of `there` that
 * the other has not. */
static void differences(const char *there, const char *here, ex_words *w)
{
    for (int pass = 0; pass < 2; pass++) {
        const char *from = pass ? there : here, *to = pass ? here : there, *next;
        for (const char *l = from; *l; l = next) {
            size_t line = strcspn(l, "\n"), key = strcspn(l, "=");
            const char *other = value_of(to, l, key), *mine = l + key + 1;
            size_t mine_bytes = line - key - 1, other_bytes = other ? strcspn(other, "\n")
                                                                    : 0;
            next = l + line + (l[line] == '\n');
            if (key >= line || (pass && other))
                continue;                       /* told in the first pass */
            if (other && other_bytes == mine_bytes && memcmp(mine, other, mine_bytes) == 0)
                continue;
            const char *a = pass ? mine : other, *b = pass ? other : mine;
            ex_say(w, "%s%.*s = %.*s there, %.*s here", w->count ? "; " : "", (int)key, l,
                a ? (int)strcspn(a, "\n") : 4, a ? a : "none",
                b ? (int)strcspn(b, "\n") : 4, b ? b : "none");
        }
    }
}

int ex_settings_same(const ex_config *c, const char *there, ex_words *w)
{
    nn_arena own = {0};
    differences(there ? there : "", ex_config_lines(c, &own), w);
    ex_say_rest(w);
    nn_arena_free(&own);
    return w->count == 0;
}

static int is_running(const char *folder)
{
    char file[1500];

    snprintf(file, sizeof file, "%s/" EX_LOCK, folder);
    int f = open(file, O_RDONLY | O_CLOEXEC);
    int locked = f >= 0 && flock(f, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (f >= 0)
        close(f);
    return locked;
}

static int whole_number(const json_t *metadata, const char *word)
{
    const char *text = json_string_value(json_object_get(metadata, word));
    return text ? atoi(text) : -1;
}

/* Only a run that was stopped in the middle waits for somebody to go on with it. */
static int has_ended(const char *folder)
{
    char state[32];
    ex_folder_state(folder, state, sizeof state);
    return strcmp(state, "finished") == 0 || strcmp(state, "diverged") == 0;
}

/* The differences from the run in `path`, when it is unfinished and nobody is at it. */
static void compare(const ex_config *c, const char *path, ex_words *w)
{
    char file[1500];

    if (has_ended(path))
        return;
    snprintf(file, sizeof file, "%s/checkpoints/%s", path, EX_LAST);
    json_t *metadata = ex_safetensors_metadata(file);
    if (!metadata) {
        snprintf(file, sizeof file, "%s/checkpoints/%s", path, EX_PREV);
        metadata = ex_safetensors_metadata(file);
    }
    const char *there = json_string_value(json_object_get(metadata, "settings"));
    if (there && whole_number(metadata, "epoch") < whole_number(metadata, "epochs")
        && !is_running(path))
        ex_settings_same(c, there, w);
    json_decref(metadata);
}

nn_status ex_settings_neighbours(const ex_config *c, const ex_folder *folder, nn_err *err)
{
    char around[1100], nearest[1400] = "", told[3000] = "";
    int least = 0;

    snprintf(around, sizeof around, "%s/%s", c->top.out, c->top.name);
    if (ex_folder_has_checkpoint(folder))
        return NN_OK;
    DIR *d = opendir(around);
    for (struct dirent *e; d && (e = readdir(d)); ) {
        char path[1400], list[3000] = "";
        ex_words w = { .at = list, .size = sizeof list };
        snprintf(path, sizeof path, "%s/%s/s%d", around, e->d_name, c->top.seed);
        if (e->d_name[0] == '.' || strcmp(path, folder->path) == 0)
            continue;
        compare(c, path, &w);
        if (w.count && (!least || w.count < least)) {
            least = w.count;
            strcpy(nearest, path);
            strcpy(told, list);
        }
    }
    if (d)
        closedir(d);
    if (!least)
        return NN_OK;
    return nn_fail(err, NN_ECONFIG, "%s: nothing to go on with for these settings; the"
                   " unfinished run %s has other ones: %s; make them equal to go on with it,"
                   " or start this one with --resume=auto or without --resume",
                   folder->path, nearest, told);
}
