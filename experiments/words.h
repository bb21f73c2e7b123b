#ifndef EX_WORDS_H
#define EX_WORDS_H

#include <stddef.h>

/* A list of words in a text of limited size: what does not fit is cut off, and counted. */
typedef struct ex_words { char *at; size_t size, used; int count; } ex_words;

void ex_say(ex_words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
