#include "nn/room.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"

enum { MOST_PATH = 8192, MOST_LINE = 4096 };

/* Puts a path together; 0 when it does not fit. */
static int join(char out[MOST_PATH], const char *a, const char *b, const char *c)
{
    return snprintf(out, MOST_PATH, "%s%s%s", a, b, c) < MOST_PATH;
}

/* The number after `word` at the start of a line of a small file, or the first number of
 * the file when `word` is "".  0 when there is none; "max" is none either. */
static int read_number(const char *path, const char *word, unsigned long long *value)
{
    char line[512];
    int found = 0;
    FILE *f = fopen(path, "r");

    while (f && !found && fgets(line, sizeof line, f)) {
        size_t n = strlen(word);
        if (strncmp(line, word, n) == 0)
            found = sscanf(line + n, " %llu", value) == 1;
    }
    if (f)
        fclose(f);
    return found;
}

static void lower(nn_room *room, unsigned long long bytes, const char *name)
{
    if (bytes >= room->bytes)
        return;
    room->bytes = (size_t)bytes;
    snprintf(room->name, sizeof room->name, "%s", name);
}

static void look_at_machine(nn_room *room, const char *root)
{
    char path[MOST_PATH];
    unsigned long long available, swap = 0;

    if (!join(path, root, "/proc/meminfo", "")
        || !read_number(path, "MemAvailable:", &available))
        return;
    read_number(path, "SwapFree:", &swap);
    lower(room, (available + swap) * 1024, "what this machine had free at the start");
}

/* The two versions of control groups keep the same figures under different names. */
typedef struct group_files {
    const char *system, *limit, *usage, *idle;
} group_files;

static const group_files version[] = {
    { "cgroup2", "memory.max", "memory.current", "inactive_file" },
    { "cgroup", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file" },
};

/* One group: what its limit leaves, idle pages of files counted as left. */
static void look_at_group(nn_room *room, const char *folder, const group_files *v)
{
    char path[MOST_PATH];
    unsigned long long limit, usage, idle = 0;

    if (!join(path, folder, "/", v->limit) || !read_number(path, "", &limit)
        || !join(path, folder, "/", v->usage) || !read_number(path, "", &usage))
        return;
    if (join(path, folder, "/memory.stat", ""))
        read_number(path, v->idle, &idle);
    usage = usage > idle ? usage - idle : 0;
    lower(room, limit > usage ? limit - usage : 0,
          "what the control group of this process (container, batch job) had free at the"
          " start");
}

static int has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)) != NULL; p += n)
        if ((p == list || p[-1] == ',') && (!p[n] || p[n] == ',' || p[n] == '\n'))
            return 1;
    return 0;
}

/* The group of this process below a mount: "0::/a/b" (2) or "4:memory:/a/b" (1). */
static int own_group(const char *root, const group_files *v, char out[MOST_LINE])
{
    char path[MOST_PATH], line[MOST_LINE];
    int found = 0;

    FILE *f = join(path, root, "/proc/self/cgroup", "") ? fopen(path, "r") : NULL;
    while (f && !found && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        found = v == &version[0] ? !list[1] : has_word(list + 1, "memory");
        if (found)
            snprintf(out, MOST_LINE, "%s", group);
    }
    if (f)
        fclose(f);
    return found;
}

/* The group and every parent that can be seen: each may be the tightest. */
static void climb(nn_room *room, const char *root, const char *mount, const char *top,
                  const group_files *v)
{
    char group[MOST_LINE], folder[MOST_PATH];
    size_t own = strlen(top);

    if (!own_group(root, v, group))
        return;
    /* A container may see its own group as the root of the mount. */
    const char *below = strcmp(top, "/") == 0 ? group
                        : strncmp(group, top, own) == 0 ? group + own : "";
    if (strcmp(below, "/") == 0 || strstr(below, ".."))
        below = "";
    if (!join(folder, root, mount, below))
        return;
    size_t end = strlen(root) + strlen(mount);
    while (strlen(folder) >= end) {
        look_at_group(room, folder, v);
        char *slash = strrchr(folder + end, '/');
        if (!slash)
            break;
        *slash = 0;
    }
}

static void look_at_groups(nn_room *room, const char *root)
{
    char path[MOST_PATH], line[MOST_LINE], top[MOST_LINE], mount[MOST_LINE];
    char system[64], options[MOST_LINE];

    FILE *f = join(path, root, "/proc/self/mountinfo", "") ? fopen(path, "r") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %4095s %4095s", top, mount) != 2
            || sscanf(rest, " - %63s %*s %4095s", system, options) != 2)
            continue;
        for (size_t i = 0; i < NN_COUNT(version); i++)
            if (strcmp(system, version[i].system) == 0
                && (i == 0 || has_word(options, "memory")))
                climb(room, root, mount, top, &version[i]);
    }
    if (f)
        fclose(f);
}

nn_room nn_room_free(const char *root)
{
    nn_room room = { SIZE_MAX, "" };

    look_at_machine(&room, root);
    look_at_groups(&room, root);
    return room;
}
