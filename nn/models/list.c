#include <string.h>

#include "nn/base.h"
#include "nn/model.h"

#define X(name) extern const nn_model nn_model_##name;
#include "nn/models.def"
#undef X

static const nn_model *const all[] = {
#define X(name) &nn_model_##name,
#include "nn/models.def"
#undef X
};

int nn_model_count(void)
{
    return (int)NN_COUNT(all);
}

const nn_model *nn_model_at(int i)
{
    return all[i];
}

const nn_model *nn_model_find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

int nn_model_width(int channels, double width)
{
    int scaled = (int)(channels * width + 0.5);
    return scaled > 0 ? scaled : 1;
}

const char *nn_model_fits_quarter(const void *config, nn_image_shape in)
{
    (void)config;
    return in.h % 4 || in.w % 4 ? "wants sides that are multiples of 4" : NULL;
}
