// SPDX-License-Identifier: GPL-2.0
/*
 * cached_super.c - which file systems take part; a pool for each that is mounted.
 *
 * Taking part is by type (filesystems=): only those whose every path to the
 * page cache goes through functions that we see. A file system of such a type
 * is adopted when the first folio of it is about to be dropped: that happens in
 * reclaim, where nothing may wait, so a worker does it a moment later.
 *
 * Adoption freezes the file system, for an instant. An operation that began
 * before our hooks were armed could end after: a truncation that is past the
 * hook's place, direct I/O that is in flight. Freezing waits until every
 * writer, asynchronous ones included, has ended; all that begin afterwards
 * meet the hooks. So we may be loaded on a busy machine. The pool is made
 * known while the file system is still frozen.
 *
 * A pool ends with its file system (generic_shutdown_super()), when no inode
 * of it is left; or when its type is taken off the list. Its pages are then
 * gone, and the records of files that are still open name a pool that is no
 * more: those files stay out until their inodes are forgotten.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"

#ifdef TMEM_REDIRECTS

#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "page_cache.h"

#define TYPES_MAX_BYTES 128
#define RETRY_AFTER (10 * HZ)

struct cached_super {
	struct list_head all;
	struct super_block *super;
	int pool;
	struct rcu_head rcu;
};

static LIST_HEAD(supers);		/* changed under supers_lock, read under RCU */
static DEFINE_MUTEX(supers_lock);
static struct tmem_client *client_of_supers;

/* ---- the list of types ---- */

/* Comma separated, with a comma at either end, so that a name is found whole. */
static char types[TYPES_MAX_BYTES + 3] = ",ext4,xfs,btrfs,ext2,";
static DEFINE_SPINLOCK(types_lock);

static bool is_listed(const char *type)
{
	char wanted[40];
	bool listed;

	if (snprintf(wanted, sizeof(wanted), ",%s,", type) >= sizeof(wanted))
		return false;
	spin_lock(&types_lock);
	listed = strstr(types, wanted);
	spin_unlock(&types_lock);
	return listed;
}

static void forget_unlisted(void)
{
	struct cached_super *cached, *next;

	mutex_lock(&supers_lock);
	list_for_each_entry_safe(cached, next, &supers, all) {
		if (is_listed(cached->super->s_type->name))
			continue;
		list_del_rcu(&cached->all);
		tmem_destroy_pool(client_of_supers, cached->pool);
		kfree_rcu(cached, rcu);
	}
	mutex_unlock(&supers_lock);
}

static int types_set(const char *text, const struct kernel_param *param)
{
	size_t bytes = strcspn(text, "\n");

	if (bytes > TYPES_MAX_BYTES || strcspn(text, " \t") < bytes) {
		pr_err("filesystems=%.40s is not a list of file system types, give for example ext4,xfs (%u characters at most)\n",
		       text, TYPES_MAX_BYTES);
		return -EINVAL;
	}
	spin_lock(&types_lock);
	snprintf(types, sizeof(types), ",%.*s,", (int)bytes, text);
	spin_unlock(&types_lock);
	forget_unlisted();
	return 0;
}

static int types_get(char *text, const struct kernel_param *param)
{
	int bytes;

	spin_lock(&types_lock);
	bytes = sprintf(text, "%.*s\n", (int)strlen(types) - 2, types + 1);
	spin_unlock(&types_lock);
	return bytes;
}

static const struct kernel_param_ops types_ops = { .set = types_set, .get = types_get };

module_param_cb(filesystems, &types_ops, NULL, 0644);
MODULE_PARM_DESC(filesystems,
		 "types of file systems whose pages are kept, where functions are redirected (default ext4,xfs,btrfs,ext2)");

/* ---- adoption ---- */

#define NOBODY ((struct super_block *)NULL)
#define SOMEBODY ((struct super_block *)-1L)	/* the place is taken, the name not yet written */

static struct super_block *wanted;	/* one at a time; we hold an active reference */
static unsigned long not_before;	/* jiffies: the last attempt failed */

static struct cached_super *find(struct super_block *super)
{
	struct cached_super *cached;

	list_for_each_entry_rcu(cached, &supers, all, lockdep_is_held(&supers_lock))
		if (cached->super == super)
			return cached;
	return NULL;
}

/* Everything that allocates comes before the freeze: reclaim could wait for the thaw. */
static int adopt_one(struct super_block *super)
{
	struct cached_super *cached = kzalloc(sizeof(*cached), GFP_KERNEL);
	int error;

	if (!cached)
		return -ENOMEM;
	cached->super = super;
	cached->pool = tmem_new_pool(client_of_supers, 0, NULL);
	error = cached->pool < 0 ? cached->pool : tmem_freeze_super(super);
	if (error) {
		if (cached->pool >= 0)
			tmem_destroy_pool(client_of_supers, cached->pool);
		kfree(cached);
		return error;
	}
	mutex_lock(&supers_lock);
	list_add_rcu(&cached->all, &supers);
	mutex_unlock(&supers_lock);
	tmem_thaw_super(super);
	tmem_saw(supers_adopted);
	return 0;
}

static void adopt(struct work_struct *work)
{
	struct super_block *super = READ_ONCE(wanted);

	if (tmem_cached_super_pool(super) < 0 && adopt_one(super)) {
		/* Frozen by somebody else, for a snapshot perhaps: later. */
		tmem_saw(supers_not_frozen);
		WRITE_ONCE(not_before, jiffies + RETRY_AFTER);
	}
	deactivate_super(super);
	smp_store_release(&wanted, NOBODY);
}

static DECLARE_WORK(adopt_work, adopt);

/**
 * tmem_cached_super_want - a folio of a file system without a pool goes by
 * @super: the file system; the caller keeps it from going
 *
 * Context: Any but hard interrupts. Does not sleep.
 */
void tmem_cached_super_want(struct super_block *super)
{
	if (READ_ONCE(wanted) || time_before(jiffies, READ_ONCE(not_before)) ||
	    !is_listed(super->s_type->name))
		return;
	if (cmpxchg(&wanted, NOBODY, SOMEBODY) != NOBODY)
		return;
	if (!atomic_inc_not_zero(&super->s_active)) {
		/* It is being unmounted. */
		smp_store_release(&wanted, NOBODY);
		return;
	}
	smp_store_release(&wanted, super);
	queue_work(system_unbound_wq, &adopt_work);
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
	cached = find(super);
	if (cached)
		pool = cached->pool;
	rcu_read_unlock();
	return pool;
}

/**
 * tmem_cached_super_forget - a file system is gone, with all its inodes
 * @super: its address; not followed
 *
 * Context: Process context. May sleep.
 */
void tmem_cached_super_forget(struct super_block *super)
{
	struct cached_super *cached;

	mutex_lock(&supers_lock);
	cached = find(super);
	if (cached) {
		list_del_rcu(&cached->all);
		tmem_destroy_pool(client_of_supers, cached->pool);
		kfree_rcu(cached, rcu);
	}
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
	list_for_each_entry_safe(cached, next, &supers, all) {
		list_del_rcu(&cached->all);
		tmem_destroy_pool(client_of_supers, cached->pool);
		kfree_rcu(cached, rcu);
	}
	mutex_unlock(&supers_lock);
}

#endif /* TMEM_REDIRECTS */
