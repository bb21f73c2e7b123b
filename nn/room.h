#ifndef NN_ROOM_H
#define NN_ROOM_H

#include <stddef.h>

/* How much memory there is room for, and what says so. */
typedef struct nn_room {
    size_t bytes;                       /* SIZE_MAX: nothing is known */
    char name[160];                     /* "memory.limit = 2 GiB (a.yaml:3)" */
} nn_room;

/* What is free now, as the kernel tells it: the least of the machine's memory that is
 * available (with free swap), and what the control groups of this process and their
 * parents allow beyond what they use (versions 1 and 2; containers and Slurm jobs are
 * such groups), where pages of files that nobody uses count as free.  `root` stands
 * before /proc/... and /sys/...; "" except in tests. */
nn_room nn_room_free(const char *root);

#endif
