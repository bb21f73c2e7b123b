#include <string.h>

#include "nn/base.h"
#include "ssl/method.h"

#define X(name) extern const ssl_method ssl_##name;
#include "ssl/methods.def"
#undef X

static const ssl_method *const all[] = {
#define X(name) &ssl_##name,
#include "ssl/methods.def"
#undef X
};

#define X(name) extern const ssl_addon ssl_add_##name;
#include "ssl/addons.def"
#undef X

static const ssl_addon *const added[] = {
#define X(name) &ssl_add_##name,
#include "ssl/addons.def"
#undef X
};

int ssl_method_count(void)
{
    return (int)NN_COUNT(all);
}

const ssl_method *ssl_method_at(int i)
{
    return all[i];
}

const ssl_method *ssl_method_find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

int ssl_addon_count(void)
{
    return (int)NN_COUNT(added);
}

const ssl_addon *ssl_addon_at(int i)
{
    return added[i];
}

const ssl_addon *ssl_addon_find(const char *name)
{
    for (size_t i = 0; i < NN_COUNT(added); i++)
        if (strcmp(added[i]->name, name) == 0)
            return added[i];
    return NULL;
}

int ssl_addon_views(const ssl_addon *a, const void *config)
{
    return a->views ? a->views(config) : 2;
}
