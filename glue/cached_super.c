// SPDX-License-Identifier: GPL-2.0
/*
 * cached_super.c - which file systems take part; a pool for each that is mounted.
 *
 * Taking part is by type (filesystems=): only those whose every path to the
 * page cache goes through functions that we see. A file system of such a type
 * gets its pool when the first folio of it is about to be dropped: that happens
 * in reclaim, where nothing may wait, so a worker makes it a moment later.
 *
 * Nothing here holds a reference, and nothing follows a pointer to a file system
 * later than the put that gave it: it is known by its address and its type,
 * and its end (generic_shutdown_super()) takes back both the pool and the wish
 * for one. All inodes are gone by then, so no put is under way. An end that was
 * under way when we came is not seen, nor is one after we have begun to go: a
 * pool that is made then is an empty one under an address, for whoever is next there.
 *
 * A pool ends too when its type is taken off the list. Its pages are then gone,
 * and the records of files that are still open name a pool that is no more:
 * those files stay out until their inodes are forgotten.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"

#ifdef TMEM_REDIRECTS

#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include "glue.h"
#include "left_out.h"
#include "page_cache.h"

struct cached_super {
	struct list_head all;
	const struct super_block *super;	/* these two are compared only */
	const struct file_system_type *type;
	int number;				/* of its type */
	int pool;
	struct rcu_head rcu;
};

/* Leaves pools of the client's for all swap areas that there can be. */
#define SUPERS_MAX (TMEM_POOLS_MAX - MAX_SWAPFILES)

static LIST_HEAD(supers);		/* changed under supers_lock, read under RCU */
static unsigned int supers_count;	/* under supers_lock */
static DEFINE_MUTEX(supers_lock);
static struct tmem_client *client_of_supers;

/* ---- the list of types ---- */

/* Those that have been looked at and tested (Documentation/redirection.md); a bit for each. */
static const char *const known_types[] = { "ext4", "xfs", "btrfs", "ext2" };
static unsigned int types = (1U << ARRAY_SIZE(known_types)) - 1;

/* The number of the known type that has these @bytes as its name, or -1. */
static int number_of(const char *name, size_t bytes)
{
	int number;

	for (number = 0; number < (int)ARRAY_SIZE(known_types); number++)
		if (strlen(known_types[number]) == bytes &&
		    !memcmp(known_types[number], name, bytes))
			return number;
	return -1;
}

static bool is_listed(int number)
{
	return number >= 0 && READ_ONCE(types) & 1U << number;
}

static void end_locked(struct cached_super *cached)
{
	list_del_rcu(&cached->all);
	supers_count--;
	tmem_destroy_pool(client_of_supers, cached->pool);
	kfree_rcu(cached, rcu);
}

/* Every name counts, however long the list is. */
static int types_set(const char *text, const struct kernel_param *param)
{
	struct cached_super *cached, *next;
	unsigned int wanted_types = 0;
	size_t bytes;

	for (; *text; text += bytes + (text[bytes] != 0)) {
		int number;

		bytes = strcspn(text, ",\n");
		if (!bytes)
			continue;
		number = number_of(text, bytes);
		if (number < 0) {
			pr_err("filesystems=: '%.*s' is not known to keep its page cache where tmem sees it; give some of ext4,xfs,btrfs,ext2\n",
			       (int)min_t(size_t, bytes, 32), text);
			return tmem_parameter_is_bad();
		}
		wanted_types |= 1U << number;
	}
	mutex_lock(&supers_lock);
	WRITE_ONCE(types, wanted_types);
	list_for_each_entry_safe(cached, next, &supers, all)
		if (!is_listed(cached->number))
			end_locked(cached);
	mutex_unlock(&supers_lock);
	return 0;
}

static int types_get(char *text, const struct kernel_param *param)
{
	unsigned int number;
	int bytes = 0;

	for (number = 0; number < ARRAY_SIZE(known_types); number++)
		if (READ_ONCE(types) & 1U << number)
			bytes += sprintf(text + bytes, "%s%s", bytes ? "," : "",
					 known_types[number]);
	return bytes + sprintf(text + bytes, "\n");
}

static const struct kernel_param_ops types_ops = { .set = types_set, .get = types_get };

module_param_cb(filesystems, &types_ops, NULL, 0644);
MODULE_PARM_DESC(filesystems,
		 "types of file systems whose pages are kept, where functions are redirected (default ext4,xfs,btrfs,ext2)");

/* ---- pools ---- */

/* What a put wishes for: one at a time, none if @super is NULL. */
struct wish {
	const struct super_block *super;
	const struct file_system_type *type;
	int number;
};

static struct wish wanted;
static DEFINE_SPINLOCK(wanted_lock);
static u64 retry_after;		/* jiffies; nothing is wished for before */

static void end_wish(void)
{
	spin_lock(&wanted_lock);
	WRITE_ONCE(wanted.super, NULL);
	spin_unlock(&wanted_lock);
}

static struct cached_super *find(const struct super_block *super, const struct file_system_type *type)
{
	struct cached_super *cached;

	list_for_each_entry_rcu(cached, &supers, all, lockdep_is_held(&supers_lock))
		if (cached->super == super && cached->type == type)
			return cached;
	return NULL;
}

static void adopt(struct work_struct *work)
{
	struct cached_super *cached = kzalloc(sizeof(*cached), GFP_KERNEL);
	struct wish wish;

	/* As if memory had been short, or the worker busy. */
	if (tmem_left_out("prompt_adoption"))
		msleep(6000);
	mutex_lock(&supers_lock);
	spin_lock(&wanted_lock);
	wish = wanted;
	spin_unlock(&wanted_lock);
	if (wish.super && !find(wish.super, wish.type) && is_listed(wish.number)) {
		const int pool = cached && supers_count < SUPERS_MAX ?
					 tmem_new_pool(client_of_supers, 0, NULL) : TMEM_TOO_MANY;

		if (pool >= 0) {
			cached->super = wish.super;
			cached->type = wish.type;
			cached->number = wish.number;
			cached->pool = pool;
			list_add_rcu(&cached->all, &supers);
			supers_count++;
			cached = NULL;
			tmem_saw(supers_adopted);
		} else {
			/* Not worth a try for each folio that is reclaimed. */
			WRITE_ONCE(retry_after, get_jiffies_64() + HZ);
		}
	}
	end_wish();
	mutex_unlock(&supers_lock);
	kfree(cached);
}

static DECLARE_WORK(adopt_work, adopt);

/**
 * tmem_cached_super_want - a folio of a file system without a pool goes by
 * @super: the file system; a folio of it is locked, so its end cannot come
 *
 * Context: Reclaim. Does not sleep.
 */
void tmem_cached_super_want(struct super_block *super)
{
	const struct file_system_type *type = super->s_type;
	const int number = number_of(type->name, strlen(type->name));

	if (READ_ONCE(wanted.super) || !is_listed(number) || !(super->s_flags & SB_ACTIVE) ||
	    get_jiffies_64() < READ_ONCE(retry_after) || !spin_trylock(&wanted_lock))
		return;
	if (!wanted.super) {
		wanted = (struct wish){ super, type, number };
		queue_work(tmem_unbound_wq, &adopt_work);
	}
	spin_unlock(&wanted_lock);
}

/**
 * tmem_cached_super_is_known - whether all changes of a file system's files are seen
 * @super: the file system
 *
 * Whether it is listed or not: so it can be listed at any time.
 *
 * Context: Any.
 * Return: Whether its type is a known one.
 */
bool tmem_cached_super_is_known(const struct super_block *super)
{
	return number_of(super->s_type->name, strlen(super->s_type->name)) >= 0;
}

/**
 * tmem_cached_super_pool - the pool of a file system
 * @super: the file system
 *
 * Context: Any.
 * Return: Its pool, or -ENOENT if it takes no part, or not yet.
 */
int tmem_cached_super_pool(struct super_block *super)
{
	const struct cached_super *cached;
	int pool = -ENOENT;

	rcu_read_lock();
	cached = find(super, super->s_type);
	if (cached)
		pool = cached->pool;
	rcu_read_unlock();
	return pool;
}

/**
 * tmem_cached_super_forget - a file system is gone, with all its inodes
 * @super: is not freed yet
 *
 * Context: Process context. May sleep.
 */
void tmem_cached_super_forget(struct super_block *super)
{
	struct cached_super *cached;

	mutex_lock(&supers_lock);
	if (READ_ONCE(wanted.super) == super)
		end_wish();
	cached = find(super, super->s_type);
	if (cached)
		end_locked(cached);
	mutex_unlock(&supers_lock);
}

/**
 * tmem_cached_super_start - from now on file systems can be adopted
 * @client: owns the pools
 *
 * Context: Any.
 */
void tmem_cached_super_start(struct tmem_client *client)
{
	client_of_supers = client;
}

/**
 * tmem_cached_super_stop - destroy the pools
 *
 * Context: Process context. Sleeps until an adoption under way is over. No
 * hook is left.
 */
void tmem_cached_super_stop(void)
{
	struct cached_super *cached, *next;

	flush_work(&adopt_work);
	mutex_lock(&supers_lock);
	list_for_each_entry_safe(cached, next, &supers, all)
		end_locked(cached);
	mutex_unlock(&supers_lock);
}

#endif /* TMEM_REDIRECTS */
