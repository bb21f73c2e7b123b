#ifndef EX_WORDS_H
#define EX_WORDS_H

#include <stddef.h>

/* A list of words in a text of limited size.  An entry is there as a whole or counted as
 * left out, which ex_say_rest tells. */
typedef struct ex_words {
    char *at;
    size_t size, used;
    int count, left_out;
} ex_words;

void ex_say(ex_words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ex_say_rest(ex_words *w);          /* ", and 23 more"; nothing when all are there */

#endif
