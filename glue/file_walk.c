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
 * The inodes are those of the known types of file systems that are there; a
 * walk goes as drop_caches itself does, with the file system kept from being
 * unmounted, so no reference of ours is met by its end.
 */
#include "compat.h"

#ifdef TMEM_REDIRECTS

#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "left_out.h"
#include "page_cache.h"

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
	tmem_file_walk(super);
}

/* Whether the kernel has a function; placing a probe would tell its address, which nobody wants. */
static bool is_there(const char *function)
{
	struct kprobe probe = { .symbol_name = function, .flags = KPROBE_FLAG_DISABLED };
	const int error = register_kprobe(&probe);

	if (!error)
		unregister_kprobe(&probe);
	return error != -ENOENT;
}

/**
 * tmem_file_walk_all - the same for each file system of a known type
 *
 * Context: Process context. Sleeps, as long as one of them is being mounted or unmounted.
 */
void tmem_file_walk_all(void)
{
	const char *name, *function;
	unsigned int number;

	if (tmem_left_out("walk"))
		return;
	for (number = 0; (name = tmem_cached_super_known(number, &function)); number++) {
		struct file_system_type *type = is_there(function) ? get_fs_type(name) : NULL;

		if (!type)
			continue;
		iterate_supers_type(type, walk, NULL);
		module_put(type->owner);
	}
}

#endif /* TMEM_REDIRECTS */
