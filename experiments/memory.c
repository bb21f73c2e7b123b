#include "experiments/memory.h"

#include <stdint.h>
#include <stdio.h>

static const double gib = 1024.0 * 1024 * 1024;

const char *ex_memory_text(double bytes, char *out, size_t size)
{
    if (bytes < gib)
        snprintf(out, size, "%.1f MiB", bytes / (1 << 20));
    else
        snprintf(out, size, "%.2f GiB", bytes / gib);
    return out;
}

nn_room ex_memory_room(const ex_config *c)
{
    char at[512];
    nn_room room;

    if (c->memory.limit > 0) {
        double bytes = c->memory.limit * gib;
        room.bytes = (size_t)bytes;
        snprintf(room.name, sizeof room.name, "memory.limit = %g GiB (%.100s)",
                 c->memory.limit,
                 ex_config_where(c, EX_MEMORY, "limit", at, sizeof at));
        return room;
    }
    room = nn_room_free("");
    if (room.bytes != SIZE_MAX)
        room.bytes = room.bytes > EX_MEMORY_RESERVE ? room.bytes - EX_MEMORY_RESERVE : 0;
    return room;
}

nn_status ex_memory_cap(const nn_room *room, nn_err *err)
{
    char text[32];

    if (room->bytes == 0)
        return nn_fail(err, NN_ERUN,
                       "out of memory: %s is less than the %s that the program itself"
                       " takes; end other programs, or raise the limit of the job",
                       room->name, ex_memory_text(EX_MEMORY_RESERVE, text, sizeof text));
    nn_memory_limit(room->bytes == SIZE_MAX ? 0 : room->bytes, room->name,
                    "lower batch, data.limit, metrics.bank or metrics.samples, take a"
                    " narrower model, or raise memory.limit; 'fullrank plan' tells what"
                    " takes how much");
    return NN_OK;
}

nn_status ex_memory_settle(const ex_config *c, nn_err *err)
{
    nn_room room = ex_memory_room(c);
    return ex_memory_cap(&room, err);
}
