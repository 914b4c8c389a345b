/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A memory cgroup for a test: made, entered, limited, reclaimed from, removed. cgroup2, mounted where it always is.
 *
 * Reclaim on demand is memory.reclaim (since 5.19), or on older kernels memory.high lowered for a moment: writing it
 * reclaims down to the new value before the write returns.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

struct group {
	char path[128];	/* empty: none */
};

/* False if the file is not there or takes no such value. */
static inline bool group_write(const struct group *group, const char *name, const char *value)
{
	char path[256];
	int file;
	bool written;

	snprintf(path, sizeof(path), "%s/%s", group->path, name);
	file = open(path, O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	written = write(file, value, strlen(value)) == (ssize_t)strlen(value);
	close(file);
	return written;
}

static inline unsigned long long group_read(const struct group *group, const char *name)
{
	char path[256], text[64] = "";
	int file;

	snprintf(path, sizeof(path), "%s/%s", group->path, name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 0;
	if (read(file, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(file);
	return strncmp(text, "max", 3) ? strtoull(text, NULL, 10) : ULLONG_MAX;
}

/* limit_bytes 0: none. False without cgroup2's memory controller. */
static inline bool group_create(struct group *group, const char *name, unsigned long long limit_bytes)
{
	char value[32] = "max";

	snprintf(group->path, sizeof(group->path), CGROUP_ROOT "/%s-%d", name, (int)getpid());
	if (mkdir(group->path, 0700)) {
		group->path[0] = 0;
		return false;
	}
	if (limit_bytes)
		snprintf(value, sizeof(value), "%llu", limit_bytes);
	if (group_write(group, "memory.max", value))
		return true;
	rmdir(group->path);
	group->path[0] = 0;
	return false;
}

static inline bool group_enter(const struct group *group)
{
	return group_write(group, "cgroup.procs", "0");
}

/* Takes about so many bytes from the group; what could not be taken is no error. */
static inline void group_reclaim(const struct group *group, unsigned long long bytes)
{
	char value[32], path[256];
	unsigned long long current;

	if (!group->path[0])
		return;
	snprintf(value, sizeof(value), "%llu", bytes);
	snprintf(path, sizeof(path), "%s/memory.reclaim", group->path);
	if (!access(path, F_OK)) {
		group_write(group, "memory.reclaim", value);
		return;
	}
	current = group_read(group, "memory.current");
	snprintf(value, sizeof(value), "%llu", current > bytes ? current - bytes : 0);
	group_write(group, "memory.high", value);
	group_write(group, "memory.high", "max");
}

/* The caller leaves it for the root; what is still charged goes with time. */
static inline void group_remove(struct group *group)
{
	static const struct group root = { CGROUP_ROOT };

	if (!group->path[0])
		return;
	group_enter(&root);
	rmdir(group->path);
	group->path[0] = 0;
}

#endif
