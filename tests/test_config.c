/* Configurations, through the program: every mistake gets one clear line with its place
 * and exit code 2; what is right is resolved in the documented order. */
#include <check.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"
#include "nn/model.h"
#include "nn/rng.h"
#include "optim/opt.h"
#include "ssl/method.h"
#include "tests/program.h"
#include "tests/suites.h"

/* The least that trains, in a fraction of a second. */
#define TINY \
    "method: {name: simsiam, proj_dim: 8}\n" \
    "model: {name: mlp, hidden: 8, out: 8}\n" \
    "data: {name: shapes, size: 40}\n" \
    "metrics: {samples: 8, bank: 20, knn_k: 3}\n" \
    "batch: 8\n" \
    "epochs: 1\n"

/* A mistake, and the whole of what is printed about it. */
typedef struct mistake { const char *yaml, *says; } mistake;

static const mistake mistakes[] = {
    /* not YAML, or not a configuration */
    { "", "a.yaml: the file is empty; the least it needs is 'method: {name: simsiam}'" },
    { "# nothing but a comment\n",
      "a.yaml: the file is empty; the least it needs is 'method: {name: simsiam}'" },
    { "epochs: 5\nbatch: [1\n",
      "a.yaml:3:1: not YAML: did not find expected ',' or ']'" },
    { "a: b: c\n",
      "a.yaml:1:5: not YAML: mapping values are not allowed in this context" },
    { "\tepochs: 5\n",
      "a.yaml:1:1: not YAML: found character that cannot start any token" },
    { "epochs: \xff\n", "a.yaml: not YAML: invalid leading UTF-8 octet at byte 8" },
    { "method: *somewhere\n", "a.yaml:1:9: not YAML: found undefined alias" },
    { "- method\n", "a.yaml:1: wanted settings such as 'epochs: 5', found a list" },
    { "simsiam\n",
      "a.yaml:1: wanted settings such as 'epochs: 5', found a single value" },
    { "method: {name: simsiam}\n---\nepochs: 5\n",
      "a.yaml:3: a second document begins here; one file holds one configuration" },

    /* unknown words */
    { "metod: {name: simsiam}\n",
      "a.yaml:1: no section or setting 'metod'; did you mean 'method'?" },
    { "method: {name: simsiam}\nepoch: 5\n",
      "a.yaml:2: no section or setting 'epoch'; did you mean 'epochs'?" },
    { "method: {name: simsiam}\nxylophones: 5\n",
      "a.yaml:2: no section or setting 'xylophones'" },
    { "base_lr: 0.1\n", "a.yaml:1: 'base_lr' belongs into the section optim "
                        "(optim.base_lr on the command line)" },
    { "method: {name: simsam}\n",
      "a.yaml:1: no method 'simsam'; did you mean 'simsiam'?" },
    { "method: {name: simsiam}\nmodel: {name: conv4}\n",
      "a.yaml:2: no model 'conv4'; did you mean 'conv3'?" },
    { "method: {name: simsiam}\ndata:\n  name: shape\n",
      "a.yaml:3: no data set 'shape'; did you mean 'shapes'?" },
    { "method: {name: simsiam}\noptim: {name: sgdm}\n",
      "a.yaml:2: no optimiser 'sgdm'; did you mean 'sgd'?" },
    { "method: {name: simsiam, stopgradient: true}\n",
      "a.yaml:1: no setting 'stopgradient' in method (simsiam); did you mean "
      "'stop_gradient'?" },
    { "method:\n  name: simsiam\nmetrics:\n  evry: 1\n",
      "a.yaml:4: no setting 'evry' in metrics; did you mean 'every'?" },
    { "method: {name: simsiam}\nmodel: {name: mlp, jabberwocky: 1}\n",
      "a.yaml:2: no setting 'jabberwocky' in model (mlp); 'fullrank help config' lists "
      "them" },
    { "method: {name: simsiam}\noptim: {name: sgd, beta1: 0.5}\n",
      "a.yaml:2: optim.beta1 means nothing to sgd" },

    /* regularisers */
    { "method: {name: simsiam}\nadd:\n  - vicrg: {mu: 1}\n",
      "a.yaml:3: no regulariser 'vicrg'; did you mean 'vicreg'?" },
    { "method: {name: simsiam}\nadd: [jabberwocky]\n",
      "a.yaml:2: no regulariser 'jabberwocky'; 'fullrank list addons' names them" },
    { "method: {name: simsiam}\nadd: {jabberwocky: {mu: 1}}\n",
      "a.yaml:2: no regulariser 'jabberwocky'; 'fullrank list addons' names them" },
    { "method: {name: simsiam}\nadd:\n  - vicreg:\n      nuu: 1\n",
      "a.yaml:4: no setting 'nuu' in add.vicreg; did you mean 'nu'?" },
    { "method: {name: simsiam}\nadd: [{vicreg: {name: vicreg}}]\n",
      "a.yaml:2: no setting 'name' in add.vicreg; 'fullrank help config' lists them" },
    { "method: {name: simsiam}\nadd: [{vicreg: {mu: much}}]\n",
      "a.yaml:2: add.vicreg.mu wants a number, not 'much'" },
    { "method: {name: simsiam}\nadd: [{vicreg: {mu: -1}}]\n",
      "a.yaml:2: add.vicreg.mu = -1 is out of range (0 to 1000000)" },
    { "method: {name: simsiam}\nadd: [{vicreg: {mu: [1]}}]\n",
      "a.yaml:2: add.vicreg.mu wants a single value, found a list" },
    { "method: {name: simsiam}\nadd:\n  vicreg: {mu: 1}\n  vicreg: {mu: 2}\n",
      "a.yaml:4: add.vicreg is given twice (first in line 3)" },
    { "method: {name: simsiam}\nadd:\n  - vicreg\n  - vicreg: {mu: 2}\n",
      "a.yaml:4: add.vicreg is given twice (first in line 3)" },
    { "method: {name: simsiam}\nadd: [{vicreg: {mu: 1, mu: 2}}]\n",
      "a.yaml:2: mu is given twice (first in line 2)" },
    { "method: {name: simsiam}\nadd: []\nadd: []\n",
      "a.yaml:3: add is given twice (first in line 2)" },
    { "method: {name: simsiam}\nadd: vicreg\n",
      "a.yaml:2: add is a list of regularisers, found a single value; write"
      " 'add: [{NAME: {KEY: VALUE}}]'" },
    { "method: {name: simsiam}\nadd: [[vicreg]]\n",
      "a.yaml:2: each item of add is one regulariser: NAME or 'NAME: {KEY: VALUE}'" },
    { "method: {name: simsiam}\nadd:\n  - vicreg:\n    mu: 1\n",
      "a.yaml:3: each item of add is one regulariser: NAME or 'NAME: {KEY: VALUE}'" },
    { "method: {name: simsiam}\nadd: [{vicreg: 5}]\n",
      "a.yaml:2: add.vicreg is a section, found a single value; write"
      " 'vicreg: {KEY: VALUE}'" },
    { "method: {name: simsiam}\nadd: {vicreg: [mu]}\n",
      "a.yaml:2: add.vicreg is a section, found a list; write 'vicreg: {KEY: VALUE}'" },
    { "method: {name: simsiam}\nadd: [{[a]: 1}]\n",
      "a.yaml:2: the name of a regulariser must be one word" },
    { "method: {name: simsiam}\nvicreg: {mu: 1}\n",
      "a.yaml:2: 'vicreg' is a regulariser; write 'add: [{vicreg: {KEY: VALUE}}]'"
      " (add.vicreg.KEY=VALUE on the command line)" },
    { "method: {name: simsiam}\nad: [vicreg]\n",
      "a.yaml:2: no section or setting 'ad'; did you mean 'add'?" },

    /* the wrong kind of thing */
    { "method: {name: simsiam}\nepochs: five\n",
      "a.yaml:2: epochs wants a whole number, not 'five'" },
    { "method: {name: simsiam}\nepochs: 5.5\n",
      "a.yaml:2: epochs wants a whole number, not '5.5'" },
    { "method: {name: simsiam}\nepochs:\n",
      "a.yaml:2: epochs wants a whole number, not ''" },
    { "method: {name: simsiam}\noptim: {momentum: fast}\n",
      "a.yaml:2: optim.momentum wants a number, not 'fast'" },
    { "method: {name: simsiam}\noptim: {momentum: 0.9x}\n",
      "a.yaml:2: optim.momentum wants a number, not '0.9x'" },
    { "method:\n  name: simsiam\n  stop_gradient: maybe\n",
      "a.yaml:3: method.stop_gradient wants true or false, not 'maybe'" },
    { "method: {name: simsiam, predictor: nonee}\n",
      "a.yaml:1: method.predictor is one of mlp, none, fixed, not 'nonee'; did you mean "
      "'none'?" },
    { "method: {name: simsiam}\nepochs: [5]\n",
      "a.yaml:2: epochs wants a single value, found a list" },
    { "method: {name: simsiam}\noptim: {momentum: {a: 1}}\n",
      "a.yaml:2: optim.momentum wants a single value, found a section" },
    { "method: simsiam\n", "a.yaml:1: method is a section, found a single value; write "
                           "'method: {name: ...}'" },
    { "metrics: 5\n", "a.yaml:1: metrics is a section, found a single value; write "
                      "'metrics: {key: ...}'" },
    { "? [a, b]\n: 5\n", "a.yaml:1: the name of a setting must be one word" },
    { "method: {name: simsiam}\nname: \"a\\0b\"\n",
      "a.yaml:2: name wants a single value, found a single value" },

    /* out of range */
    { "method: {name: simsiam}\nepochs: 0\n",
      "a.yaml:2: epochs = 0 is out of range (1 to 100000)" },
    { "method: {name: simsiam}\nepochs: 99999999999999999999\n",
      "a.yaml:2: epochs = 99999999999999999999 is out of range (1 to 100000)" },
    { "method: {name: simsiam}\nbatch: 1\n",
      "a.yaml:2: batch = 1 is out of range (2 to 65536)" },
    { "method: {name: simsiam}\noptim: {momentum: nan}\n",
      "a.yaml:2: optim.momentum = nan is out of range (0 to 1)" },
    { "method: {name: simsiam}\noptim: {momentum: -inf}\n",
      "a.yaml:2: optim.momentum = -inf is out of range (0 to 1)" },
    { "method: {name: simsiam}\nshards: 2\n",
      "a.yaml:2: shards = 2: splitting a batch comes with a later version; only 1 works "
      "now" },
    { "method: {name: simsiam}\nseed: -1\n",
      "a.yaml:2: seed = -1 is out of range (0 to 2147483647)" },

    /* said twice */
    { "epochs: 5\nmethod: {name: simsiam}\nepochs: 6\n",
      "a.yaml:3: epochs is given twice (first in line 1)" },
    { "method: {name: simsiam}\nmethod: {name: simsiam}\n",
      "a.yaml:2: method is given twice (first in line 1)" },
    { "method:\n  name: simsiam\n  proj_dim: 4\n  proj_dim: 5\n",
      "a.yaml:4: proj_dim is given twice (first in line 3)" },
    { "method: {name: simsiam}\noptim: {lr: 0.1, base_lr: 0.1}\n",
      "a.yaml:2: optim.lr, but a.yaml:2: optim.base_lr; give one of them"
      " (lr = base_lr * batch / 256)" },
    { "method: {name: simsiam}\nepochs: 3\noptim: {warmup_epochs: 3}\n",
      "a.yaml:3: optim.warmup_epochs is 3, but the run has 3 epochs; a warm-up has to end"
      " before the run does" },
    { "method: {name: simsiam}\nepochs: 3\nadd:\n  - ldreg:\n      start_epoch: 3\n",
      "a.yaml:5: add.ldreg.start_epoch is 3, but the run has 3 epochs, so it would never"
      " start; add.ldreg.start_epoch=0 starts at once" },
    { "method: {name: simsiam}\nepochs: 10\nadd: [ldreg]\n",
      "default: add.ldreg.start_epoch is 10, but the run has 10 epochs, so it would never"
      " start; add.ldreg.start_epoch=0 starts at once" },
    { "method: {name: vqvae}\nmodel: {name: autoencoder}\nadd:\n  - vicreg\n",
      "a.yaml:4: add.vicreg reads two views of an image, but vqvae makes one; leave it"
      " out" },
    { "method: {name: vqvae}\nmodel: {name: autoencoder}\nadd: [{tregs: {gamma: 1}}]\n",
      "a.yaml:3: add.tregs reads two views of an image, but vqvae makes one; leave it out,"
      " or set add.tregs.views=first" },

    /* together with the data */
    { "method: {name: simsiam}\ndata: {name: shapes, size: 40}\nbatch: 41\n",
      "a.yaml:3: batch = 41, but shapes has 40 training images here; lower batch or raise"
      " data.size" },
    { "method: {name: simsiam}\ndata: {name: shapes, size: 40, limit: 10}\n",
      "default: batch = 256, but shapes has 10 training images here; lower batch or raise"
      " data.limit" },

    /* words that become folders */
    { "method: {name: simsiam}\nname: ../up\n",
      "a.yaml:2: name becomes a folder: letters, digits, '.', '_' and '-' (not '.' "
      "first),"
      " not '../up'" },
    { "method: {name: simsiam}\nout: ''\n", "a.yaml:2: out is empty; name a folder" },

    /* a message stays one line of bearable length whatever the file holds */
    { "method: {name: \"sim\\nsiam\\e[31m\"}\n",
      "a.yaml:1: no method 'sim?siam?[31m'; did you mean 'simsiam'?" },
    { "method: {name: simsiam}\nepochs:"
      " 0123456789012345678901234567890123456789012345678901234567890123456789x\n",
      "a.yaml:2: epochs wants a whole number, not"
      " '012345678901234567890123456789012345678901234567890123456789...'" },
};

static void expect(program_result r, const char *says)
{
    char line[2048];
    snprintf(line, sizeof line, "%s\n", says);
    ck_assert_str_eq(r.err, line);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_str_eq(r.out, "");
    ck_assert_msg(access("runs", F_OK) != 0, "a run folder was made all the same");
}

START_TEST(a_mistake_in_the_file_gets_one_line_with_its_place)
{
    program_write("a.yaml", mistakes[_i].yaml);
    expect(program("train", "a.yaml", NULL), mistakes[_i].says);
}
END_TEST

static const mistake pairs[] = {
    /* yaml: the argument */
    { "epochs", "command line: 'epochs' is not KEY=VALUE" },
    { "=5", "command line: '=5' is not KEY=VALUE" },
    { "epoch=5", "command line: no section or setting 'epoch'; did you mean 'epochs'?" },
    { "base_lr=5", "command line: 'base_lr' belongs into the section optim"
                   " (optim.base_lr on the command line)" },
    { "method=simsiam", "command line: method is a section; write method.name=simsiam" },
    { "metrics=2", "command line: metrics is a section; write metrics.KEY=2" },
    { "metods.name=simsiam",
      "command line: no section 'metods'; did you mean 'method'?" },
    { "optim.base_lr=fast", "command line: optim.base_lr wants a number, not 'fast'" },
    { "optim.lr=0.1",
      "command line: optim.lr, but a.yaml:2: optim.base_lr; give one of them"
      " (lr = base_lr * batch / 256)" },
    { "method.proj_bn=outputs",
      "command line: method.proj_bn is one of none, hidden, output,"
      " not 'outputs'; did you mean 'output'?" },
    { "add=vicreg", "command line: add is a section; write add.NAME.KEY=VALUE" },
    { "add.vicreg=1", "command line: add.vicreg is a section; write"
                      " add.vicreg.KEY=VALUE" },
    { "add.vicrg.mu=1",
      "command line: no regulariser 'vicrg'; did you mean 'vicreg'?" },
    { "add.vicreg.muu=1",
      "command line: no setting 'muu' in add.vicreg; did you mean 'mu'?" },
    { "add.vicreg.mu=x", "command line: add.vicreg.mu wants a number, not 'x'" },
    { "vicreg.mu=1",
      "command line: 'vicreg' is a regulariser; write add.vicreg.mu=1" },
    { "batch=1", "command line: batch = 1 is out of range (2 to 65536)" },
    { "shards=4",
      "command line: shards = 4: splitting a batch comes with a later version;"
      " only 1 works now" },
    { "batch=300",
      "command line: batch = 300, but shapes has 40 training images here; lower"
      " batch or raise data.size" },
};

START_TEST(a_mistake_on_the_command_line_gets_one_line)
{
    program_write("a.yaml", "method: {name: simsiam}\noptim: {base_lr: 0.1}\n"
                            "data: {name: shapes, size: 40}\n");
    expect(program("train", "a.yaml", pairs[_i].yaml, NULL), pairs[_i].says);
}
END_TEST

/* "simsiam, vicreg, ...": every method there is. */
static const char *methods(void)
{
    static char all[512];
    all[0] = 0;
    for (int i = 0; i < ssl_method_count(); i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "",
                 ssl_method_at(i)->name);
    return all;
}

START_TEST(a_method_that_is_not_known_or_not_there_gets_the_list)
{
    char says[800];
    program_write("a.yaml", "epochs: 5\n");
    snprintf(says, sizeof says, "a.yaml: no method; add 'method: {name: ...}' with one of"
             " %s", methods());
    expect(program("train", "a.yaml", NULL), says);
    snprintf(says, sizeof says, "command line: no method 'qqqqqq'; there is %s",
             methods());
    expect(program("train", "a.yaml", "method.name=qqqqqq", NULL), says);
}
END_TEST

START_TEST(a_missing_file_names_its_neighbour)
{
    program_write("demo.yaml", TINY);
    expect(program("train", "dmo.yaml", NULL),
           "dmo.yaml: no such file; did you mean 'demo.yaml'?");
    expect(program("train", "./demo.yml", NULL),
           "./demo.yml: no such file; did you mean './demo.yaml'?");
    expect(program("train", "nowhere/x.yaml", NULL), "nowhere/x.yaml: no such file");
    expect(program("train", "demo.yaml/x.yaml", NULL), "demo.yaml/x.yaml: no such file");
}
END_TEST

START_TEST(a_folder_or_an_endless_file_is_not_read)
{
    ck_assert_int_eq(mkdir("place", 0700), 0);
    expect(program("train", "place", NULL),
           "place: is a folder; name one .yaml file in it");
    expect(program("train", "/dev/zero", NULL),
           "/dev/zero: longer than 1024 KiB, so not a configuration");
}
END_TEST

START_TEST(a_thousand_settings_are_enough)
{
    FILE *f = fopen("a.yaml", "w");
    ck_assert_ptr_nonnull(f);
    fputs("metrics:\n", f);
    for (int i = 0; i < 1500; i++)
        fprintf(f, "  key%d: 1\n", i);
    fclose(f);
    expect(program("train", "a.yaml", NULL), "a.yaml:1026: more than 1024 settings");
}
END_TEST

/* The line of config.yaml that begins with a key, without the spaces around it. */
static const char *line_of(const char *yaml, const char *key)
{
    static char line[256];
    char begin[64];
    snprintf(begin, sizeof begin, "%s: ", key);
    const char *at = yaml;
    while ((at = strstr(at + 1, begin)) && at[-1] != ' ' && at[-1] != '\n')
        ;
    ck_assert_msg(at, "no key %s", key);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    char *to = line;
    for (const char *from = line; *from; from++)        /* runs of blanks become one */
        if (*from != ' ' || to == line || to[-1] != ' ')
            *to++ = *from;
    *to = 0;
    return line;
}

static char *resolved(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/config.yaml", program_run_folder("runs"));
    char *yaml = program_read(path);
    ck_assert_ptr_nonnull(yaml);
    return yaml;
}

START_TEST(the_later_of_default_recipe_file_and_command_line_wins)
{
    program_write("a.yaml", TINY "augment: {recipe: grey28, flip: 0.25}\n"
                            "optim: {momentum: 0.5, weight_decay: 1.0e-3}\n");
    program_result r = program("train", "a.yaml", "optim.momentum=0.75", "batch=9",
                               "batch=10", "--seed", "3", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    const char *yaml = resolved();
    ck_assert_str_eq(line_of(yaml, "momentum"), "momentum: 0.75 # command line");
    ck_assert_str_eq(line_of(yaml, "weight_decay"), "weight_decay: 0.001 # file");
    ck_assert_str_eq(line_of(yaml, "schedule"), "schedule: cosine # default");
    ck_assert_str_eq(line_of(yaml, "scale_min"), "scale_min: 0.3 # recipe");
    ck_assert_str_eq(line_of(yaml, "flip"), "flip: 0.25 # file");
    ck_assert_str_eq(line_of(yaml, "recipe"), "recipe: grey28 # file");
    ck_assert_str_eq(line_of(yaml, "batch"), "batch: 10 # command line");
    ck_assert_str_eq(line_of(yaml, "seed"), "seed: 3 # command line");
    ck_assert_str_eq(line_of(yaml, "epochs"), "epochs: 1 # file");
    ck_assert_str_eq(line_of(yaml, "name"), "name: simsiam # file");
}
END_TEST

START_TEST(words_for_truth_are_those_of_yaml)
{
    static const char *const yes[] = { "true", "True", "yes", "on" };
    static const char *const no[] = { "false", "FALSE", "no", "off" };
    char pair[64];

    program_write("a.yaml", TINY);
    for (int i = 0; i < 8; i++) {
        snprintf(pair, sizeof pair, "method.symmetric=%s", i < 4 ? yes[i] : no[i - 4]);
        ck_assert_int_eq(
            program("train", "a.yaml", pair, "--out", i < 4 ? "y" : "n", NULL).exit, 0);
    }
    program_run_folder("y"); /* fails unless all four are the same run */
    program_run_folder("n");
}
END_TEST

/* The digest in the name of the only run folder below `under`. */
static const char *digest(const char *under)
{
    static char text[9];
    const char *path = program_run_folder(under), *slash = strrchr(path, '/');
    memcpy(text, slash - 8, 8);
    return text;
}

START_TEST(config_yaml_reads_back_as_the_same_run)
{
    char path[4200];
    program_write("a.yaml", TINY "augment: {flip: 0.1}\noptim: {lr: 0.0123456789}\n");
    ck_assert_int_eq(program("train", "a.yaml", NULL).exit, 0);
    snprintf(path, sizeof path, "%s/config.yaml", program_run_folder("runs"));
    program_result r = program("train", path, "--out", "again", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);

    char first[9];
    strcpy(first, digest("runs"));
    ck_assert_str_eq(digest("again"), first);
    json_t *a = program_json(program_run_folder("runs"), "status.json");
    json_t *b = program_json(program_run_folder("again"), "status.json");
    ck_assert_str_eq(json_string_value(json_object_get(a, "weights_sha256")),
                     json_string_value(json_object_get(b, "weights_sha256")));
}
END_TEST

/* ---- regularisers ---------------------------------------------------------------- */

START_TEST(a_regulariser_reads_the_same_however_it_is_added)
{
    static const char *const ways[] = {
        "add: [{vicreg: {mu: 1.0, nu: 0.01}}]\n", "add: [vicreg]\n",
        "add:\n  - vicreg:\n", "add: {vicreg: {nu: 1.0e-2}}\n", "add: {vicreg: }\n",
        "add: []\n",
    };
    char out[16], first[9];

    for (int i = 0; i < 6; i++) {
        snprintf(out, sizeof out, "way%d", i);
        program_write("a.yaml", program_keep(strcat(strcpy(malloc(1024), TINY),
                                                    ways[i])));
        program_result r = program("train", "a.yaml", "--out", out,
                                   i == 5 ? "add.vicreg.mu=1" : NULL, NULL);
        ck_assert_msg(r.exit == 0, "%s", r.err);
        if (i == 0)
            strcpy(first, digest(out));
        ck_assert_msg(strcmp(digest(out), first) == 0, "%s is another run", ways[i]);
    }
}
END_TEST

START_TEST(every_setting_of_a_regulariser_is_in_config_yaml_with_its_origin)
{
    char path[4200], first[9];
    program_write("a.yaml", TINY "add: [{vicreg: {mu: 0.5}}]\n");
    program_result r = program("train", "a.yaml", "add.vicreg.nu=0.25", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(resolved(),
        "\nadd:\n"
        "  vicreg:                         # file\n"
        "    mu: 0.5                       # file\n"
        "    nu: 0.25                      # command line\n"
        "    convention: official          # default\n"
        "model:\n"));

    strcpy(first, digest("runs"));
    snprintf(path, sizeof path, "%s/config.yaml", program_run_folder("runs"));
    r = program("train", path, "--out", "again", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_str_eq(digest("again"), first);
    json_t *s = program_json(program_run_folder("runs"), "status.json");
    json_t *t = program_json(program_run_folder("again"), "status.json");
    ck_assert_str_eq(json_string_value(json_object_get(s, "weights_sha256")),
                     json_string_value(json_object_get(t, "weights_sha256")));
    ck_assert_str_eq(json_string_value(json_object_get(s, "label")), "vicreg.nu=0.25");
    ck_assert_str_eq(json_string_value(json_object_get(t, "label")),
                     "proj_dim=8, +vicreg, vicreg.mu=0.5, vicreg.nu=0.25");
}
END_TEST

/* nu and not mu: SimSiam's z has passed BatchNorm, which leaves the hinge nothing. */
START_TEST(a_regulariser_changes_digest_and_weights)
{
    static const char *const value[] = { NULL, "add.vicreg.nu=1", "add.vicreg.nu=2" };
    char name[3][9], sum[3][65], out[16];

    program_write("a.yaml", TINY);
    for (int i = 0; i < 3; i++) {
        snprintf(out, sizeof out, "o%d", i);
        program_result r = program("train", "a.yaml", "--out", out, value[i], NULL);
        ck_assert_msg(r.exit == 0, "%s", r.err);
        strcpy(name[i], digest(out));
        json_t *s = program_json(program_run_folder(out), "status.json");
        strcpy(sum[i], json_string_value(json_object_get(s, "weights_sha256")));
        for (int k = 0; k < i; k++) {
            ck_assert_str_ne(name[i], name[k]);
            ck_assert_str_ne(sum[i], sum[k]);
        }
    }
}
END_TEST

START_TEST(the_order_in_which_regularisers_are_named_means_nothing)
{
    char first[9];
    program_write("a.yaml", TINY "add: [tregs, vicreg]\n");
    program_write("b.yaml", TINY "name: a\nadd: {vicreg: {}, tregs: {}}\n");
    program_result r = program("train", "a.yaml", "--out", "a", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    strcpy(first, digest("a"));
    r = program("train", "b.yaml", "--out", "b", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_str_eq(digest("b"), first);
    json_t *a = program_json(program_run_folder("a"), "status.json");
    json_t *b = program_json(program_run_folder("b"), "status.json");
    ck_assert_str_eq(json_string_value(json_object_get(a, "weights_sha256")),
                     json_string_value(json_object_get(b, "weights_sha256")));
    ck_assert_str_eq(json_string_value(json_object_get(a, "label")),
                     "proj_dim=8, +vicreg, +tregs");
}
END_TEST

/* A run that SIGUSR1 stopped: going on with it, and what is said when its
 * regulariser has changed.  The report and the plan read it, too. */
START_TEST(a_run_with_a_regulariser_is_gone_on_with_reported_and_planned)
{
    static const char *const start[] = { "train", "a.yaml", "epochs=2000",
                                         "checkpoint.seconds=0", NULL };
    program_write("a.yaml", TINY "add: [{vicreg: {mu: 0.5}}]\n");
    pid_t pid = program_start(start);
    glob_t saved;
    for (int i = 0; i < 2000; i++) {
        int missing = glob("runs/*/*/s*/checkpoints/last.safetensors", 0, NULL, &saved);
        globfree(&saved);
        if (!missing)
            break;
        usleep(10000);
    }
    kill(pid, SIGUSR1);
    ck_assert_int_eq(program_wait(pid), 75);

    program_result r = program("train", "a.yaml", "epochs=2000", "checkpoint.seconds=0",
                               "add.vicreg.mu=0.75", "--resume", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_msg(strstr(r.err, "other ones: add.vicreg.mu = 0.5 there, 0.75 here; make"),
                  "%s", r.err);
    program_write("a.yaml", TINY);
    r = program("train", "a.yaml", "epochs=2000", "--resume", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_msg(strstr(r.err, "other ones: add.vicreg = yes there, none here;"
                         " add.vicreg.mu = 0.5 there, none here;"), "%s", r.err);

    r = program("report", program_run_folder("runs"), NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_nonnull(strstr(program_read("report.html"), "add.vicreg.mu"));
    program_write("a.yaml", TINY "add: [vicreg]\n");
    r = program("plan", "a.yaml", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_msg(strstr(r.out, "simsiam + vicreg with mlp"), "%s", r.out);
}
END_TEST

START_TEST(the_digest_changes_with_what_the_result_depends_on)
{
    static const char *const same[] = { "seed=1", "name=other", "data.dir=/nowhere",
                                        "batch=8", "optim.momentum=0.90" };
    static const char *const other[] = { "epochs=2", "batch=9", "optim.momentum=0.91",
                                         "method.symmetric=false", "augment.flip=0.3",
                                         "metrics.samples=7", "model.hidden=9",
                                         "optim.name=lars", "data.size=41" };
    char first[9], out[16];

    program_write("a.yaml", TINY);
    ck_assert_int_eq(program("train", "a.yaml", NULL).exit, 0);
    strcpy(first, digest("runs"));
    for (int i = 0; i < 5; i++) {
        snprintf(out, sizeof out, "same%d", i);
        ck_assert_int_eq(program("train", "a.yaml", same[i], "--out", out, NULL).exit, 0);
        ck_assert_msg(strcmp(digest(out), first) == 0, "%s changes the digest", same[i]);
    }
    for (int i = 0; i < 9; i++) {
        snprintf(out, sizeof out, "other%d", i);
        ck_assert_int_eq(program("train", "a.yaml", other[i], "--out", out, NULL).exit,
                         0);
        ck_assert_msg(strcmp(digest(out), first) != 0, "%s does not change the digest",
                      other[i]);
    }
}
END_TEST

START_TEST(the_label_says_what_sets_a_run_apart)
{
    static const char *const cases[][3] = {
        { "method.stop_gradient=false", "--seed=4", "stop_gradient=false" },
        { "name=b", "--seed=4", "proj_dim=8" },
        { "optim.momentum=0.5", "batch=10", "momentum=0.5, batch=10" },
    };
    char out[16];

    program_write("a.yaml", TINY);
    for (int i = 0; i < 3; i++) {
        snprintf(out, sizeof out, "o%d", i);
        ck_assert_int_eq(
            program("train", "a.yaml", cases[i][0], cases[i][1], "--out", out, NULL).exit,
            0);
        json_t *s = program_json(program_run_folder(out), "status.json");
        ck_assert_str_eq(json_string_value(json_object_get(s, "label")), cases[i][2]);
    }
}
END_TEST

/* 95 characters at most, whole words, and dots where something is left out. */
START_TEST(a_label_that_is_too_long_ends_in_dots)
{
    program_write("a.yaml", TINY);
    ck_assert_int_eq(program("train", "a.yaml", "optim.momentum=0.123456789012",
                             "optim.weight_decay=0.00001234567890123",
                             "optim.base_lr=0.0123456789012", "model.width=0.5000000000",
                             "batch=10", NULL).exit, 0);
    json_t *s = program_json(program_run_folder("runs"), "status.json");
    ck_assert_str_eq(json_string_value(json_object_get(s, "label")),
                     "momentum=0.123456789012, weight_decay=0.00001234567890123,"
                     " base_lr=0.0123456789012, ...");
}
END_TEST

static void listed(const char *help, const char *section, const nn_setting *table)
{
    char key[96];
    for (const nn_setting *s = table; s && s->name; s++) {
        snprintf(key, sizeof key, "\n  %s.%s ", section, s->name);
        ck_assert_msg(strstr(help, key) || strcmp(s->name, "name") == 0,
                      "%s is not listed", key);
        ck_assert_msg(strstr(help, s->help) || strcmp(s->name, "name") == 0,
                      "the help of %s is missing", key);
    }
}

START_TEST(help_config_lists_every_setting_of_every_component)
{
    program_result r = program("help", "config", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.err, "");
    for (int i = 0; i < ssl_method_count(); i++)
        listed(r.out, "method", ssl_method_at(i)->settings);
    for (int i = 0; i < ssl_addon_count(); i++) {
        char section[64];
        snprintf(section, sizeof section, "add.%s", ssl_addon_at(i)->name);
        listed(r.out, section, ssl_addon_at(i)->settings);
        ck_assert_ptr_nonnull(strstr(program("list", "addons", NULL).out,
                                     ssl_addon_at(i)->paper));
    }
    for (int i = 0; i < nn_model_count(); i++)
        listed(r.out, "model", nn_model_at(i)->settings);
    listed(r.out, "data", data_setting_table);
    listed(r.out, "augment", data_augment_table);
    listed(r.out, "optim", opt_setting_table);
    for (int i = 0; i < data_source_count(); i++)
        ck_assert_ptr_nonnull(strstr(r.out, data_source_at(i)->name));
    for (int i = 0; i < opt_method_count(); i++)
        ck_assert_ptr_nonnull(strstr(r.out, opt_method_at(i)->name));
}
END_TEST

/* The files beside the papers, with the parts that cannot be had here replaced.  A batch
 * larger than the data stops them once everything in them has been understood. */
START_TEST(the_files_of_the_papers_are_understood)
{
    static const char *const files[] = { "demo", "demo-shapes", "fmnist-resnet8",
                                         "paper-cifar10", "paper-imagenet" };
    char path[4300], says[64];

    snprintf(path, sizeof path, "%s/experiments/simsiam/%s.yaml", program_root(),
             files[_i]);
    program_result r = program("train", path, "data.name=shapes", "data.size=10",
                               "data.limit=0", "model.name=conv3", NULL);
    snprintf(says, sizeof says, "but shapes has 10 training images here");
    ck_assert_msg(r.exit == 2 && strstr(r.err, says), "%s: %s", files[_i], r.err);
}
END_TEST

/* Damaged files: whatever a byte turns into, the program answers and does not fall over.
 */
START_TEST(no_damage_to_a_file_brings_the_program_down)
{
    enum { TRIES = 60 };
    char path[4300];
    snprintf(path, sizeof path, "%s/experiments/simsiam/demo.yaml", program_root());
    char *text = program_read(path), copy[8192];
    ck_assert_ptr_nonnull(text);
    size_t n = strlen(text);
    ck_assert_uint_lt(n, sizeof copy);

    for (int i = 0; i < TRIES; i++) {
        nn_rng r = nn_rng_at(1, NN_RNG_TEST, 0, (uint64_t)i);
        strcpy(copy, text);
        for (int k = 0; k < 3; k++)
            copy[nn_rng_below(&r, (uint32_t)n)] = (char)(1 + nn_rng_below(&r, 255));
        if (i % 3 == 0)
            copy[nn_rng_below(&r, (uint32_t)n)] = 0;
        program_write("a.yaml", copy);
        program_result p = program("train", "a.yaml", "data.name=shapes", "data.size=10",
                                   "data.limit=0", NULL);
        ck_assert_msg(p.exit == 2, "exit %d after: %s\n%s", p.exit, p.err, copy);
        ck_assert_msg(strchr(p.err, '\n') == p.err + strlen(p.err) - 1,
                      "not one line: %s", p.err);
    }
}
END_TEST

Suite *suite_config(void)
{
    Suite *s = suite_create("config");
    TCase *tc = tcase_create("config");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_loop_test(tc, a_mistake_in_the_file_gets_one_line_with_its_place, 0,
                        (int)(sizeof mistakes / sizeof *mistakes));
    tcase_add_loop_test(tc, a_mistake_on_the_command_line_gets_one_line, 0,
                        (int)(sizeof pairs / sizeof *pairs));
    tcase_add_test(tc, a_method_that_is_not_known_or_not_there_gets_the_list);
    tcase_add_test(tc, a_missing_file_names_its_neighbour);
    tcase_add_test(tc, a_folder_or_an_endless_file_is_not_read);
    tcase_add_test(tc, a_thousand_settings_are_enough);
    tcase_add_test(tc, the_later_of_default_recipe_file_and_command_line_wins);
    tcase_add_test(tc, words_for_truth_are_those_of_yaml);
    tcase_add_test(tc, config_yaml_reads_back_as_the_same_run);
    tcase_add_test(tc, a_regulariser_reads_the_same_however_it_is_added);
    tcase_add_test(tc, every_setting_of_a_regulariser_is_in_config_yaml_with_its_origin);
    tcase_add_test(tc, a_regulariser_changes_digest_and_weights);
    tcase_add_test(tc, the_order_in_which_regularisers_are_named_means_nothing);
    tcase_add_test(tc, a_run_with_a_regulariser_is_gone_on_with_reported_and_planned);
    tcase_add_test(tc, the_digest_changes_with_what_the_result_depends_on);
    tcase_add_test(tc, the_label_says_what_sets_a_run_apart);
    tcase_add_test(tc, a_label_that_is_too_long_ends_in_dots);
    tcase_add_test(tc, help_config_lists_every_setting_of_every_component);
    tcase_add_loop_test(tc, the_files_of_the_papers_are_understood, 0, 5);
    tcase_add_test(tc, no_damage_to_a_file_brings_the_program_down);
    suite_add_tcase(s, tc);
    return s;
}
