#ifndef DATA_CACHE_H
#define DATA_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "data/map.h"

/* Pictures that are decoded once and mapped ever after.
 *
 * One file holds n rows of `each` bytes, a byte for every row (1: there was nothing to
 * decode) and notes of whoever made them.  Its name is a fingerprint of everything the
 * bytes depend on, so that what is found under the name is right; a file that is damaged
 * (its size, its header's checksum) is made anew and never used.
 *
 * Any number of runs may want the same file at once: one makes it, the others wait.  It
 * gets its name when all of it is on the disk; a run that is killed before leaves a file
 * that the next one overwrites.  Rows are written where they belong as they come: memory
 * does not grow with n. */
enum { DATA_CACHE_KEY = 32, DATA_CACHE_NOTES = 256 };

typedef struct data_making {
    const char *dir;                    /* folder of the caches: data_cache_dir */
    const char *kind;                   /* start of the file's name, for people */
    uint8_t key[DATA_CACHE_KEY];
    int n;
    size_t each;
    void *ctx;
    /* Row i.  Called by several threads.  NN_EDATA: there is nothing to decode, the row is
     * zeros; any other fault ends it all. */
    nn_status (*make)(void *ctx, int i, uint8_t *row, nn_err *err);
    /* All are made: writes the notes, or refuses to keep them. */
    nn_status (*conclude)(void *ctx, const uint8_t *missing, const uint8_t *rows,
                          void *notes, nn_err *err);
    /* 1: what the file lacks can be had now: it is made anew. */
    int (*outdated)(void *ctx, const uint8_t *missing);
} data_making;

typedef struct data_cache {
    data_map *map;
    const uint8_t *missing, *rows;
    const void *notes;
} data_cache;

/* The folder that data.cache, $FULLRANK_CACHE, $XDG_CACHE_HOME or the home folder name. */
nn_status data_cache_dir(const char *setting, char *out, size_t size, nn_err *err);

/* Maps the file, which is made first if it must be.  NN_ERUN: the disk; NN_EAGAIN: a
 * signal came (data_heed). */
nn_status data_cache_open(const data_making *m, data_cache *out, nn_err *err);

#endif
