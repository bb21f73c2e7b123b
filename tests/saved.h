#ifndef TESTS_SAVED_H
#define TESTS_SAVED_H

#include <jansson.h>
#include <stddef.h>

/* What a run leaves on disk, looked at from outside: the files are read here with nothing
 * of the program's own code.  `folder` is a run folder. */

/* NULL when the file is a whole safetensors file whose "sha256" is that of the file with
 * these 64 digits as zeros; otherwise what is wrong with it. */
const char *saved_flaw(const char *file);

/* The header of a safetensors file; *data is where its tensors begin. */
json_t *saved_header(const char *file, size_t *data);

/* A tensor of a safetensors file as floats, in the file's order, kept by program_keep;
 * fails the test when there is none of that name. */
const float *saved_tensor(const char *file, const char *name);

/* Writes a safetensors file with this header and a checksum that is right. */
void saved_forge(const char *file, json_t *header, const char *data, size_t bytes);

/* A text of the metadata of a checkpoint; fails the test when there is none. */
const char *saved_word(const char *file, const char *word);

/* Fails the test unless everything that is there can be read: the JSON files and lines
 * parse, the configuration is YAML, checkpoints are whole, nothing unknown lies about
 * and at most `most_new` files bear a temporary name. */
void saved_check(const char *folder, int most_new);

/* 1 when the folder holds a whole checkpoint, last or prev. */
int saved_has_checkpoint(const char *folder);

/* Fails the test unless two finished runs agree: weights_sha256, state, every line of
 * metrics.jsonl but for the times, snapshots.jsonl to the byte. */
void saved_same(const char *folder, const char *undisturbed);

/* The same for two arrays of lines, of which `got` may be shorter when `part`. */
void saved_same_lines(const json_t *got, const json_t *want, int part);

/* state and weights_sha256 of status.json */
const char *saved_state(const char *folder);
const char *saved_sha256(const char *folder);

#endif
