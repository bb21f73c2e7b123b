#include "nn/setting.h"

#include <stdio.h>
#include <string.h>

void nn_setting_defaults(const nn_setting *table, void *config)
{
    for (const nn_setting *s = table; s->name; s++) {
        char *field = (char *)config + s->at;
        switch (s->kind) {
        case NN_BOOL: case NN_INT: case NN_CHOICE:
            *(int *)(void *)field = (int)s->def;
            break;
        case NN_FLOAT:
            *(double *)(void *)field = s->def;
            break;
        case NN_TEXT:
            *(const char **)(void *)field = s->words;
            break;
        }
    }
}

int nn_setting_words(const char *words)
{
    int n = 1;
    for (; *words; words++)
        n += *words == '|';
    return n;
}

void nn_setting_word(const char *words, int i, char *out, size_t size)
{
    while (i-- > 0) {
        const char *bar = strchr(words, '|');
        words = bar ? bar + 1 : words + strlen(words);
    }
    snprintf(out, size, "%.*s", (int)strcspn(words, "|"), words);
}
