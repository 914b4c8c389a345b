// SPDX-License-Identifier: GPL-2.0
/*
 * file_walk.c - every file in memory is looked at: at load, and by drop_caches.
 *
 * What has happened to a file before our hooks were there, nobody can tell: its
 * folios may be stale since then. So at load, once the hooks are there and
 * before anything is put, each file that has folios gets a record, and these
 * become suspects (suspects.c); one that may be changing at that moment is
 * tainted. A file that is passed over had no folio and nobody at it: what it
 * gets later is read later, and what changes it later is seen. After that, a
 * file without a record has nothing to hide.
 *
 * The administrator who empties the page cache (drop_caches) wants what is read
 * next to come from the disk. So tmem must not have it either, and what the
 * kernel could not drop, as it was in use, is not put later on.
 *
 * The file systems are those that iterate_supers() goes through, as sync(2) and
 * drop_caches do, with each kept from being unmounted meanwhile, so no reference
 * of ours is met by its end; those of a known type are looked at. They are not
 * asked for by type: before 6.8 btrfs mounts by a type of the same name that is
 * not registered, and the registered one has no file systems.
 */
#include "compat.h"

#ifdef TMEM_REDIRECTS

#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/static_call.h>

#include "left_out.h"
#include "page_cache.h"
#include "redirect.h"

/* Without a reference to the inode; only whether it is worth one. */
static bool is_of_interest(struct inode *inode)
{
	if (!tmem_is_file(&inode->i_data))
		return false;
	/* In this order: a change that ends in between has left its folios. */
	return tmem_may_be_changing(inode) || inode->i_data.nrpages ||
	       tmem_cached_file_find(&inode->i_data);
}

static void look_at(struct inode *inode)
{
	struct tmem_cached_file *file;

	if (!is_of_interest(inode))
		return;
	file = tmem_cached_file_must(&inode->i_data);
	tmem_suspect_residents(file, 0, ULONG_MAX);
	tmem_cached_file_flush_slowly(file, 0, ULONG_MAX);
	tmem_saw(files_walked);
}

/**
 * tmem_file_walk - nothing of a file system's files that is resident will be put, and nothing of
 * them is kept
 * @super: the file system, of a known type; s_umount is held
 *
 * Context: Process context. May sleep.
 */
void tmem_file_walk(struct super_block *super)
{
	struct inode *inode, *before = NULL;

	spin_lock(&super->s_inode_list_lock);
	list_for_each_entry(inode, &super->s_inodes, i_sb_list) {
		/*
		 * One that is being made has no folios yet. One is taken now and then for a pause.
		 */
		if (tmem_inode_is_new(inode) || (!is_of_interest(inode) && !need_resched()))
			continue;
		if (!igrab(inode))
			continue;
		spin_unlock(&super->s_inode_list_lock);
		look_at(inode);
		iput(before);
		before = inode;
		cond_resched();
		spin_lock(&super->s_inode_list_lock);
	}
	spin_unlock(&super->s_inode_list_lock);
	iput(before);
}

static void walk(struct super_block *super, void *unused)
{
	if (tmem_cached_super_is_known(super))
		tmem_file_walk(super);
}

extern void tmem_prototype_iterate_supers(void (*function)(struct super_block *, void *),
					  void *argument);
DEFINE_STATIC_CALL_NULL(iterate_supers, tmem_prototype_iterate_supers);

/**
 * tmem_file_walk_start - find what tmem_file_walk_all() needs
 * @why: on failure, one line without a newline
 * @why_bytes: size of @why
 *
 * Context: Process context. May sleep.
 * Return: 0 or a negative errno value.
 */
int tmem_file_walk_start(char *why, size_t why_bytes)
{
	void *address = tmem_find_function("iterate_supers", why, why_bytes);

	if (!address)
		return -ENOENT;
	static_call_update(iterate_supers, (typeof(&tmem_prototype_iterate_supers))address);
	return 0;
}

/**
 * tmem_file_walk_all - the same for each file system of a known type
 *
 * Context: Process context. Sleeps, as long as a file system is being mounted or unmounted.
 */
void tmem_file_walk_all(void)
{
	if (!tmem_left_out("walk"))
		static_call(iterate_supers)(walk, NULL);
}

#endif /* TMEM_REDIRECTS */
