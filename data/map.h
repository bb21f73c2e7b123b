#ifndef DATA_MAP_H
#define DATA_MAP_H

#include <stddef.h>

#include "nn/base.h"

/* A file as read-only memory.  What lies in it is read when it is looked at, and may be
 * dropped again: a set that is larger than the memory works.
 *
 * A file that became shorter meanwhile, or whose disk fails, cannot be told by a status:
 * looking there is SIGBUS.  The program's handler asks data_map_of for the name. */
typedef struct data_map {
    const char *bytes;
    size_t n;
    int users;                          /* parts of a set share one map */
    char name[];
} data_map;

/* Maps the n bytes of the open file; 0 is no size.  NN_ERUN when the system refuses. */
nn_status data_map_open(int file, size_t n, const char *name, data_map **out,
                        nn_err *err);
/* One user less; the last one unmaps.  NULL is fine. */
void data_map_close(data_map *m);

/* The name of the file that is mapped at an address, or NULL.  For signal handlers. */
const char *data_map_of(const void *address);

/* Asks the system to have these bytes ready soon. */
void data_map_want(const void *bytes, size_t n);

#endif
