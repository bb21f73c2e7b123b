#ifndef TESTS_KEYS_H
#define TESTS_KEYS_H

#include "nn/setting.h"

/* Fills `config` with the defaults of a table of settings and then with
 * pairs "key=value key=value"; values of a choice are its words, text has no spaces and
 * lives as long as the process.  Fails the test for a key or a word that does not
 * exist. */
void keys_set(const nn_setting *table, void *config, const char *pairs);

#endif
