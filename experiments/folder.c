#include "experiments/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/base.h"

/* What to do about the usual refusals of a file system. */
static const char *remedy(int error)
{
    switch (error) {
    case ENOSPC: case EDQUOT:
        return "; free some space or choose another place with --out DIR";
    case EFBIG:
        return "; the limit on file sizes is too low (ulimit -f)";
    case EACCES: case EPERM: case EROFS:
        return "; choose a place you may write to with --out DIR";
    case ENOTDIR:
        return "; a file stands where a folder is wanted";
    default:
        return "";
    }
}

/* mkdir -p.  On failure `path` is cut at the folder that could not be made. */
static int make_folders(char *path)
{
    for (char *p = path + 1; ; p++) {
        if (*p && *p != '/')
            continue;
        char end = *p;
        *p = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return -1;
        *p = end;
        if (!end)
            return 0;
    }
}

static void read_state(ex_folder *f)
{
    char file[sizeof f->path + 16];
    snprintf(file, sizeof file, "%s/status.json", f->path);
    json_t *status = json_load_file(file, 0, NULL);
    const char *state = json_string_value(json_object_get(status, "state"));
    snprintf(f->was, sizeof f->was, "%s", state ? state : "");
    json_decref(status);
}

nn_status ex_folder_open(ex_folder *f, const ex_config *c, nn_err *err)
{
    char try[sizeof f->path];

    *f = (ex_folder){ .lock = -1 };
    int n =
        snprintf(f->path, sizeof f->path, "%s/%s/%s-%s-%s/s%d", c->top.out, c->top.name,
                 c->method->name, c->source->name, c->digest, c->top.seed);
    if (n >= (int)sizeof f->path - 64)
        return nn_fail(err, NN_ECONFIG,
                       "out: the path of the run folder is too long (%d bytes)", n);
    strcpy(try, f->path);
    if (make_folders(try) != 0)
        return nn_fail(err, NN_ERUN, "%s: cannot make this folder: %s%s", try,
                       strerror(errno), remedy(errno));
    f->lock = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->lock < 0)
        return nn_fail(err, NN_ERUN, "%s: cannot open this folder: %s%s", f->path,
                       strerror(errno), remedy(errno));
    /* Some network file systems know no locks: then there is none. */
    if (flock(f->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        ex_folder_close(f);
        return nn_fail(err, NN_ERUN,
                       "%s: another fullrank is writing this run; wait for it or"
                       " choose another --out, --seed or name=",
                       f->path);
    }
    read_state(f);
    nn_status status = ex_file_put(f->path, ".try", "", 0, err);
    if (status == NN_OK)
        unlinkat(f->lock, ".try", 0);
    else
        ex_folder_close(f);
    return status;
}

void ex_folder_close(ex_folder *f)
{
    if (f->lock >= 0)
        close(f->lock);
    f->lock = -1;
}

static int write_all(int file, const char *text, size_t bytes)
{
    while (bytes) {
        ssize_t n = write(file, text, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0) {                           /* a device that takes nothing more */
            errno = ENOSPC;
            return -1;
        }
        text += n;
        bytes -= (size_t)n;
    }
    return 0;
}

nn_status ex_file_put(const char *folder, const char *name, const char *text,
                      size_t bytes, nn_err *err)
{
    char final[1200], temporary[1208];

    snprintf(final, sizeof final, "%s/%s", folder, name);
    snprintf(temporary, sizeof temporary, "%s.new", final);
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0)
        return nn_fail(err, NN_ERUN, "%s: cannot be written: %s%s", final,
                       strerror(errno), remedy(errno));
    int bad = write_all(file, text, bytes) != 0 || fsync(file) != 0;
    int why = errno;
    if (close(file) != 0 && !bad) {
        bad = 1;
        why = errno;
    }
    if (!bad && rename(temporary, final) != 0) {
        bad = 1;
        why = errno;
    }
    if (bad) {
        unlink(temporary);
        return nn_fail(err, NN_ERUN, "%s: cannot be written: %s%s", final, strerror(why),
                       remedy(why));
    }
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0) {                             /* the rename itself reaches the disk */
        fsync(dir);
        close(dir);
    }
    return NN_OK;
}
