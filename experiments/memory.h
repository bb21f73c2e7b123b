#ifndef EX_MEMORY_H
#define EX_MEMORY_H

#include "experiments/config.h"
#include "nn/room.h"

/* The room of a run: memory.limit, or when that is 0 what is free less EX_MEMORY_RESERVE.
 * It is held against what the arenas hand out (nn_memory_used), which is where data,
 * network, activations and buffers live. */
nn_room ex_memory_room(const ex_config *c);

/* Bytes of what is free that are left to what is not in arenas: the program and its
 * libraries (some MiB), stacks and work of threads, the text of the log (some 30 KiB an
 * evaluated epoch), the last huge page behind each arena's end, pages of data files. */
enum { EX_MEMORY_RESERVE = 96 << 20 };

/* Sets the cap of this process (nn_memory_limit) to the room of the run: call it after
 * the configuration is read and before anything is loaded.  NN_ERUN when no more than the
 * reserve is free. */
nn_status ex_memory_settle(const ex_config *c, nn_err *err);
nn_status ex_memory_cap(const nn_room *room, nn_err *err);

/* "12.3 MiB", "1.50 GiB"; returns out. */
const char *ex_memory_text(double bytes, char *out, size_t size);

#endif
