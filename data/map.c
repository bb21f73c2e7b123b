#include "data/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Every open map, for data_map_of: a signal handler may take no lock. */
enum { MOST_MAPS = 64 };
static data_map *_Atomic maps[MOST_MAPS];

static void enlist(data_map *m)
{
    for (int i = 0; i < MOST_MAPS; i++) {
        data_map *none = NULL;
        if (atomic_compare_exchange_strong(&maps[i], &none, m))
            return;
    }
    nn_panic(__FILE__, __LINE__, "more than %d maps at once", MOST_MAPS);
}

static void strike_off(data_map *m)
{
    for (int i = 0; i < MOST_MAPS; i++) {
        data_map *this = m;
        if (atomic_compare_exchange_strong(&maps[i], &this, NULL))
            return;
    }
}

/* MADV_RANDOM: rows are drawn at random, and reading on behind them would read everything
 * many times over. */
nn_status data_map_open(int file, size_t n, const char *name, data_map **out, nn_err *err)
{
    size_t room = sizeof(data_map) + strlen(name) + 1;
    data_map *m = malloc(room);

    if (!m)
        nn_no_memory("a file's name needs %zu bytes more", room);
    void *at = mmap(NULL, n, PROT_READ, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) {
        free(m);
        return nn_fail(err, NN_ERUN, "%.1000s: cannot be mapped into memory: %s", name,
                       strerror(errno));
    }
    madvise(at, n, MADV_RANDOM);
    m->bytes = at;
    m->n = n;
    m->users = 1;
    strcpy(m->name, name);
    enlist(m);
    *out = m;
    return NN_OK;
}

void data_map_close(data_map *m)
{
    if (!m || --m->users > 0)
        return;
    strike_off(m);
    munmap((void *)(uintptr_t)m->bytes, m->n);
    free(m);
}

const char *data_map_of(const void *address)
{
    uintptr_t at = (uintptr_t)address;

    for (int i = 0; i < MOST_MAPS; i++) {
        const data_map *m = atomic_load(&maps[i]);
        if (m && at >= (uintptr_t)m->bytes && at - (uintptr_t)m->bytes < m->n)
            return m->name;
    }
    return NULL;
}

void data_map_want(const void *bytes, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)bytes;
    uintptr_t start = at / page * page;

    madvise((void *)start, n + (at - start), MADV_WILLNEED);
}
