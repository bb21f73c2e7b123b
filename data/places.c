#include "data/places.h"

#include <stdio.h>
#include "nn/base.h"

void data_places_add(data_places *p, const char *dir, const char *name)
{
    NN_NEED(p->n < DATA_MOST_PLACES, "more than %d places", DATA_MOST_PLACES);
    if (!dir || !*dir)
        return;
    if (snprintf(p->dir[p->n], DATA_PATH, "%s%s%s", dir, name ? "/" : "",
                 name ? name : "") < DATA_PATH)
        p->n++;
}

const char *data_places_told(const data_places *p, char *out, size_t size)
{
    size_t at = 0;

    out[0] = 0;
    for (int i = 0; i < p->n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? ", " : "; looked in ",
                               p->dir[i]);
    return out;
}
