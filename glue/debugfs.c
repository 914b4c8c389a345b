// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs.c - /sys/kernel/debug/tmem: everything else, for people.
 *
 *   counters       "name value" lines: all of struct tmem_host_stats, and what swap_area.h counts
 *   pools          a paragraph for each pool: who, which kind, every counter
 *   clients        a line for each client: its number, name, weight and limit, what it holds and has lost
 *   tunables       "name value" lines
 *   page_cache     "name value" lines: what the redirected page-cache functions
 *                  saw and did (glue/page_cache.h); empty with other hooks
 *   compact        write N: pages are moved together until N page frames are free; a signal ends it
 *   shrink         write N: the oldest ephemeral pages go until N page frames are free; a signal ends it
 *   locks          (TMEM_LOCK_STATS builds) how long locks are held: lock_stats.h
 *   corrupt_next   (TMEM_DEBUG builds) write N: the next N pages that are
 *                  stored get one bit flipped, to see what a bad RAM cell does
 *
 * No promise is made about the format; programs read sysfs. The names are
 * those of core/abi.h. There is no file for tmem_validate(): it is true only
 * while nothing else runs, and here something always may.
 */
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include "glue.h"
#include "operations.h"
#include "lock_stats.h"
#include "swap_area.h"

static struct dentry *directory;

static void show(struct seq_file *file, const char *name, unsigned long long value)
{
	seq_printf(file, "%s %llu\n", name, value);
}

static void show_stats(struct seq_file *file, const struct tmem_stats *stats)
{
#define SHOW_STATS(name, meaning) show(file, #name, stats->name);
	TMEM_COUNTERS(SHOW_STATS)
	TMEM_LEVELS(SHOW_STATS)
}

static int counters_show(struct seq_file *file, void *unused)
{
	struct tmem_host_stats stats;
	struct tmem_swap_counts swap;

	tmem_host_stats(file->private, &stats);
	show_stats(file, &stats.pages);
#define SHOW_USAGE(name, meaning) show(file, #name, stats.usage.name);
	TMEM_USAGE(SHOW_USAGE)
#define SHOW_HOST(name, meaning) show(file, #name, stats.name);
	TMEM_HOST_VALUES(SHOW_HOST)
	tmem_swap_counts_sum(&swap);
#define SHOW_SWAP(name, meaning) show(file, #name, swap.name);
	TMEM_SWAP_COUNTS(SHOW_SWAP)
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

/* A pool at a time, as the reader takes them: there may be thousands, and each is a sum over all CPUs. */
struct pools_walk {
	struct tmem_host *host;
	unsigned int cursor;
	bool done;
	struct tmem_pool_info info;	/* to be shown next */
};

static void *pools_step(struct pools_walk *walk)
{
	walk->done = tmem_next_pool(walk->host, &walk->cursor, &walk->info) != TMEM_OK;
	return walk->done ? NULL : walk;
}

static void *pools_start(struct seq_file *file, loff_t *position)
{
	struct pools_walk *walk = file->private;

	/* Whatever the position, this is the pool that has not been shown. */
	if (*position)
		return walk->done ? NULL : walk;
	walk->cursor = 0;
	return pools_step(walk);
}

static void *pools_next(struct seq_file *file, void *walk, loff_t *position)
{
	++*position;
	cond_resched();
	return pools_step(walk);
}

static void pools_stop(struct seq_file *file, void *walk)
{
}

static int pools_show(struct seq_file *file, void *unused)
{
	const struct pools_walk *walk = file->private;
	const struct tmem_pool_info *info = &walk->info;

	seq_printf(file, "pool %d of %.16s: %s, ", info->pool, info->client_name,
		   info->flags & TMEM_POOL_PERSISTENT ? "persistent" : "ephemeral");
	if (info->flags & TMEM_POOL_SHARED)
		seq_printf(file, "shared by %u, uuid %016llx%016llx\n", info->sharers,
			   info->uuid[0], info->uuid[1]);
	else
		seq_puts(file, "private\n");
	show_stats(file, &info->stats);
	seq_putc(file, '\n');
	return 0;
}

static const struct seq_operations pools_operations = {
	.start = pools_start,
	.next = pools_next,
	.stop = pools_stop,
	.show = pools_show,
};

static int pools_open(struct inode *inode, struct file *file)
{
	struct pools_walk *walk = __seq_open_private(file, &pools_operations, sizeof(*walk));

	if (!walk)
		return -ENOMEM;
	walk->host = inode->i_private;
	return 0;
}

static const struct file_operations pools_fops = {
	.owner = THIS_MODULE,
	.open = pools_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = seq_release_private,
};

static int clients_show(struct seq_file *file, void *unused)
{
	struct tmem_client_info info;
	unsigned int cursor = 0;

	while (!tmem_next_client(file->private, &cursor, &info)) {
		seq_printf(file, "client %u, %.16s:", info.number, info.name);
#define SHOW_CLIENT(name, meaning)					\
		if (info.usage.name == TMEM_NO_LIMIT)			\
			seq_puts(file, " " #name " none");		\
		else							\
			seq_printf(file, " " #name " %llu", info.usage.name);
		TMEM_CLIENT_USAGE(SHOW_CLIENT)
		seq_putc(file, '\n');
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(clients);

static int tunables_show(struct seq_file *file, void *unused)
{
	unsigned int tunable;

	for (tunable = 0; tunable < TMEM_ALL_TUNABLES; tunable++)
		show(file, tmem_tunable_name(tunable), tmem_kernel_tunable_get(tunable));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(tunables);

static int page_cache_show(struct seq_file *file, void *unused)
{
	unsigned int number = 0;
	unsigned long count;
	const char *name;

	while (tmem_page_cache_event_next(number++, &name, &count))
		show(file, name, count);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(page_cache);

static int compact_set(void *host, u64 frames)
{
	const u64 given = tmem_hook_compact_slowly(host, TMEM_ANY_NODE, frames, TMEM_UNTIL_SIGNAL);

	return given < frames && signal_pending(current) ? -EINTR : 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(compact_fops, NULL, compact_set, "%llu\n");

static int shrink_set(void *host, u64 frames)
{
	const u64 given = tmem_hook_shrink_slowly(host, TMEM_ANY_NODE, frames, TMEM_UNTIL_SIGNAL);

	return given < frames && signal_pending(current) ? -EINTR : 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(shrink_fops, NULL, shrink_set, "%llu\n");

#ifdef TMEM_DEBUG
static int corrupt_next_set(void *host, u64 count)
{
	return tmem_debug_corrupt(host, count);
}
DEFINE_DEBUGFS_ATTRIBUTE(corrupt_next_fops, NULL, corrupt_next_set, "%llu\n");
#endif

/**
 * tmem_debugfs_start - make the directory; a kernel without debugfs goes without
 * @host: must outlive it
 *
 * Context: Process context. May sleep.
 */
void tmem_debugfs_start(struct tmem_host *host)
{
	directory = debugfs_create_dir("tmem", NULL);
	debugfs_create_file("counters", 0400, directory, host, &counters_fops);
	debugfs_create_file("pools", 0400, directory, host, &pools_fops);
	debugfs_create_file("clients", 0400, directory, host, &clients_fops);
	debugfs_create_file("page_cache", 0400, directory, host, &page_cache_fops);
	debugfs_create_file("tunables", 0400, directory, host, &tunables_fops);
	debugfs_create_file("compact", 0200, directory, host, &compact_fops);
	debugfs_create_file("shrink", 0200, directory, host, &shrink_fops);
	tmem_lock_stats_show_in(directory);
#ifdef TMEM_DEBUG
	debugfs_create_file("corrupt_next", 0200, directory, host, &corrupt_next_fops);
#endif
}

/**
 * tmem_debugfs_stop - remove the directory with its files
 *
 * Context: Process context. Sleeps until no file of it is being read or written.
 */
void tmem_debugfs_stop(void)
{
	debugfs_remove_recursive(directory);
}
