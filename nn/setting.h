#ifndef NN_SETTING_H
#define NN_SETTING_H

#include <stddef.h>

/* One table of settings per component drives everything a user meets: defaults, ranges,
 * `fullrank help config`, error texts, config.yaml of the run and the run's digest.  A
 * default stands in exactly one place. */
typedef enum nn_kind { NN_BOOL, NN_INT, NN_FLOAT, NN_CHOICE, NN_TEXT } nn_kind;

typedef struct nn_setting {
    const char *name;
    nn_kind kind;
    size_t at;                      /* offset in the component's config struct */
    double def, lo, hi;             /* BOOL, INT, FLOAT; for CHOICE def is an index */
    const char *words;              /* CHOICE: "a|b|c"; TEXT: the default */
    const char *help;
} nn_setting;

/* Fields of the struct: BOOL, INT, CHOICE are int, FLOAT is double, TEXT is char *. */
#define NN_SET_B(T, f, d, h)         { #f, NN_BOOL,   offsetof(T, f), d, 0, 1, NULL, h }
#define NN_SET_I(T, f, d, lo, hi, h) { #f, NN_INT,    offsetof(T, f), d, lo, hi, NULL, h }
#define NN_SET_F(T, f, d, lo, hi, h) { #f, NN_FLOAT,  offsetof(T, f), d, lo, hi, NULL, h }
#define NN_SET_C(T, f, d, words, h)  { #f, NN_CHOICE, offsetof(T, f), d, 0, 0, words, h }
#define NN_SET_T(T, f, d, h)         { #f, NN_TEXT,   offsetof(T, f), 0, 0, 0, d, h }
#define NN_SET_END                   { NULL, NN_BOOL, 0, 0, 0, 0, NULL, NULL }

/* Writes every default of the table into `config`. */
void nn_setting_defaults(const nn_setting *table, void *config);

/* How many words a CHOICE has, and word i copied into `out`. */
int  nn_setting_words(const char *words);
void nn_setting_word(const char *words, int i, char *out, size_t size);

#endif
