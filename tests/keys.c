#include "tests/keys.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static double value_of(const nn_setting *s, const char *text)
{
    char word[64], *end;

    for (int i = 0; s->kind == NN_CHOICE && i < nn_setting_words(s->words); i++) {
        nn_setting_word(s->words, i, word, sizeof word);
        if (strcmp(word, text) == 0)
            return i;
    }
    const double value = strtod(text, &end);
    ck_assert_msg(s->kind != NN_CHOICE && end > text && *end == 0,
                  "%s=%s: not one of its values", s->name, text);
    return value;
}

/* The text, until 64 others were kept. */
static const char *kept(const char *text)
{
    enum { MOST = 64, LENGTH = 128 };
    static char words[MOST][LENGTH];
    static int next;
    char *word = words[next++ % MOST];

    ck_assert_uint_lt(strlen(text), LENGTH);
    return strcpy(word, text);
}

static void set(const nn_setting *table, void *config, const char *key, const char *text)
{
    const nn_setting *s = table;

    while (s->name && strcmp(s->name, key) != 0)
        s++;
    ck_assert_msg(s->name != NULL, "no setting '%s'", key);
    void *field = (char *)config + s->at;
    if (s->kind == NN_TEXT)
        *(const char **)field = kept(text);
    else if (s->kind == NN_FLOAT)
        *(double *)field = value_of(s, text);
    else
        *(int *)field = (int)value_of(s, text);
}

void keys_set(const nn_setting *table, void *config, const char *pairs)
{
    char text[256], *rest = text, *pair;

    nn_setting_defaults(table, config);
    ck_assert(strlen(pairs) < sizeof text);
    strcpy(text, pairs);
    while ((pair = strtok_r(rest, " ", &rest))) {
        char *value = strchr(pair, '=');
        ck_assert_msg(value != NULL, "'%s' is no key=value", pair);
        *value++ = 0;
        set(table, config, pair, value);
    }
}
