#include <string.h>

#include "nn/base.h"
#include "nn/quant/quant.h"

static const nn_quant *const all[] = {
#define X(name) &nn_quant_##name,
#include "nn/quant/quant.def"
#undef X
};

int nn_quant_count(void)
{
    return (int)NN_COUNT(all);
}

const nn_quant *nn_quant_at(int i)
{
    return all[i];
}

const nn_quant *nn_quant_find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
