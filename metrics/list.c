#include "metrics/met.h"

#include <string.h>
#include "nn/base.h"

#define X(m) extern const met_metric met_##m;
#include "metrics/metrics.def"
#undef X

static const met_metric *const all[] = {
#define X(m) &met_##m,
#include "metrics/metrics.def"
#undef X
};

int met_metric_count(void)
{
    return NN_COUNT(all);
}

const met_metric *met_metric_at(int i)
{
    return i >= 0 && i < met_metric_count() ? all[i] : NULL;
}

const met_metric *met_metric_find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
