// SPDX-License-Identifier: GPL-2.0
/*
 * cached_file.c - one record for each file that has pages stored, or has changed below the page cache.
 *
 * Most files that the kernel truncates, dirties or forgets have nothing in
 * tmem, and the hooks on those paths must find that out quickly: one lookup,
 * without a lock, of the mapping's address. A file with a record costs a call
 * of the core besides.
 *
 * A change makes a record too, and so does a folio that was there before us
 * (file_walk.c). So a file without one has not changed as long as we look, and
 * the record that its first put makes has nothing to remember.
 *
 * Why the record can be used without a reference. Who puts or fills holds the
 * lock of a folio that is in the page cache of the file; who truncates or
 * invalidates has the inode pinned. The record ends in clear_inode(), which
 * comes when nobody has the inode and its page cache is empty. The tracepoints
 * come under the lock of the page cache and are inside an RCU read side.
 */
#include "compat.h"

#ifdef TMEM_REDIRECTS

#include <linux/minmax.h>
#include <linux/rhashtable.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "left_out.h"
#include "operations.h"
#include "page_cache.h"

static const struct rhashtable_params by_mapping = {
	.key_len = sizeof(struct address_space *),
	.key_offset = offsetof(struct tmem_cached_file, mapping),
	.head_offset = offsetof(struct tmem_cached_file, node),
	.automatic_shrinking = true,
};

static struct rhashtable files;
static struct tmem_client *client_of_files;

/**
 * tmem_cached_file_start - make the table
 * @client: owns the pools that the records name
 *
 * Context: Process context. May sleep.
 * Return: 0 or a negative errno value.
 */
int tmem_cached_file_start(struct tmem_client *client)
{
	client_of_files = client;
	return rhashtable_init(&files, &by_mapping);
}

static void free_file(void *of_table, void *unused)
{
	struct tmem_cached_file *file = of_table;

	xa_destroy(&file->suspects);
	kfree(file);
}

/**
 * tmem_cached_file_stop - drop all records; their pages go with their pools
 *
 * Context: Process context. May sleep. No hook is left.
 */
void tmem_cached_file_stop(void)
{
	rhashtable_free_and_destroy(&files, free_file, NULL);
}

/**
 * tmem_cached_file_find - the record of a file
 * @mapping: the file's
 *
 * Context: Any. See the head of this file for how long the result is good.
 * Return: The record, or NULL: tmem has no page of this file.
 */
struct tmem_cached_file *tmem_cached_file_find(struct address_space *mapping)
{
	return rhashtable_lookup_fast(&files, &mapping, by_mapping);
}

/**
 * tmem_cached_file_make - the record of a file, made if there is none
 * @mapping: the file's
 * @how: the record's memory is allocated
 *
 * Context: Any but hard interrupts. Sleeps if @how says so.
 * Return: The record, or NULL: no memory.
 */
struct tmem_cached_file *tmem_cached_file_make(struct address_space *mapping, gfp_t how)
{
	struct tmem_cached_file *file, *other;

	file = kzalloc(sizeof(*file), how);
	if (!file)
		return NULL;
	file->mapping = mapping;
	file->oid.word[0] = (unsigned long)mapping;
	file->oid.word[1] = mapping->host->i_ino;
	file->oid.word[2] = mapping->host->i_generation;
	file->pool = -1;
	atomic_long_set(&file->highest, -1);
	spin_lock_init(&file->lock);
	INIT_LIST_HEAD(&file->asked);
	xa_init_flags(&file->suspects, XA_FLAGS_LOCK_IRQ);
	rcu_read_lock();
	other = rhashtable_lookup_get_insert_fast(&files, &file->node, by_mapping);
	rcu_read_unlock();
	if (other) {
		kfree(file);
		return IS_ERR(other) ? NULL : other;
	}
	return file;
}

/**
 * tmem_cached_file_must - the record of a file, made if there is none, whatever it takes
 * @mapping: the file's
 *
 * Context: Process context. May sleep. The caller keeps the inode from ending.
 * Return: The record.
 */
struct tmem_cached_file *tmem_cached_file_must(struct address_space *mapping)
{
	struct tmem_cached_file *file = tmem_cached_file_find(mapping);

	/* The table refuses while it cannot grow. */
	while (!file && !(file = tmem_cached_file_make(mapping, GFP_NOFS | __GFP_NOFAIL)))
		schedule_timeout_uninterruptible(1);
	return file;
}

/* Under the lock: whoever puts sees the mark, or, by the number, that it came while he put. */
static void forbid(struct tmem_cached_file *file, bool *mark)
{
	WRITE_ONCE(*mark, true);
	smp_wmb();	/* pairs with put_folio() */
	WRITE_ONCE(file->changes, file->changes + 1);
}

/**
 * tmem_cached_file_taint - somebody may be changing a range from here on, below the page cache
 * @file: the file
 * @first: first index
 * @last: last index; may be far beyond the end of the file
 *
 * The caller flushes the range afterwards.
 *
 * Context: Process context. Does not sleep. The caller keeps the inode from ending.
 */
void tmem_cached_file_taint(struct tmem_cached_file *file, pgoff_t first, pgoff_t last)
{
	if (tmem_left_out("taint"))
		return;
	spin_lock(&file->lock);
	file->first = file->tainted ? min(file->first, first) : first;
	file->last = file->tainted ? max(file->last, last) : last;
	forbid(file, &file->tainted);
	spin_unlock(&file->lock);
	smp_mb();	/* pairs with put_folio(): the flush comes after */
}

/**
 * tmem_cached_file_map_out - nothing of this file will be put any more
 * @file: the file
 *
 * The caller flushes it afterwards.
 *
 * Context: Process context. Does not sleep. The caller keeps the inode from ending.
 */
void tmem_cached_file_map_out(struct tmem_cached_file *file)
{
	spin_lock(&file->lock);
	forbid(file, &file->mapped_out);
	spin_unlock(&file->lock);
	smp_mb();	/* as above */
}

/**
 * tmem_cached_file_forget - the inode ends: its pages and its record go
 * @mapping: the file's; its page cache is empty
 *
 * Context: Process context. May sleep.
 */
void tmem_cached_file_forget(struct address_space *mapping)
{
	struct tmem_cached_file *file = tmem_cached_file_find(mapping);

	if (!file || rhashtable_remove_fast(&files, &file->node, by_mapping))
		return;
	tmem_taint_unask(file);
	/*
	 * A record that was made for its marks alone may name no pool. An inode ends in evict(), on
	 * every kernel after its writeback was waited for, so whoever comes here may sleep.
	 */
	if (atomic_long_read(&file->highest) >= 0)
		tmem_hook_flush_object_slowly(client_of_files, file->pool, &file->oid);
	/* The page cache is empty, so is this, but for what was marked just after it had gone. */
	xa_destroy(&file->suspects);
	kfree_rcu(file, rcu);
}

static void raise_highest(struct tmem_cached_file *file, pgoff_t index)
{
	long highest = atomic_long_read(&file->highest);

	while (highest < (long)index &&
	       !atomic_long_try_cmpxchg(&file->highest, &highest, index))
		;
}

/**
 * tmem_cached_file_put - put one page
 * @file: its file
 * @index: its index
 * @data: its 4096 bytes
 *
 * Context: Any but NMI. The folio is locked.
 * Return: As tmem_put().
 */
int tmem_cached_file_put(struct tmem_cached_file *file, pgoff_t index, const void *data)
{
	raise_highest(file, index);
	return tmem_hook_put(client_of_files, file->pool, &file->oid, index, data);
}

/**
 * tmem_cached_file_get - get one page; tmem then has it no more
 * @file: its file
 * @index: its index
 * @data: 4096 bytes
 *
 * Context: Any but NMI. The folio is locked.
 * Return: As tmem_get().
 */
int tmem_cached_file_get(struct tmem_cached_file *file, pgoff_t index, void *data)
{
	return tmem_hook_get(client_of_files, file->pool, &file->oid, index, data);
}

/**
 * tmem_cached_file_flush - remove the pages of a range
 * @file: their file
 * @first: first index
 * @last: last index; may be far beyond the end of the file
 *
 * Context: Any but NMI.
 */
void tmem_cached_file_flush(struct tmem_cached_file *file, pgoff_t first, pgoff_t last)
{
	long highest = atomic_long_read(&file->highest);

	if (highest < 0 || first > (pgoff_t)highest)
		return;
	last = min_t(pgoff_t, last, highest);
	if (!first && last == (pgoff_t)highest)
		tmem_hook_flush_object(client_of_files, file->pool, &file->oid);
	else
		tmem_hook_flush_range(client_of_files, file->pool, &file->oid, first, last);
}

/**
 * tmem_cached_file_flush_slowly - remove the pages of a range, and let others run in between
 * @file: their file; cannot be forgotten meanwhile
 * @first: first index
 * @last: last index; may be far beyond the end of the file
 *
 * One call of the core, however wide the range: a sparse file has room for 2^51
 * pages, and only the core knows whether to walk them or to drop what there is.
 *
 * Context: Process context. May sleep.
 */
void tmem_cached_file_flush_slowly(struct tmem_cached_file *file, pgoff_t first, pgoff_t last)
{
	const long highest = atomic_long_read(&file->highest);

	if (highest < 0 || first > (pgoff_t)highest)
		return;
	if (last >= (pgoff_t)highest)
		last = first ? (pgoff_t)highest : ULONG_MAX;
	tmem_hook_flush_range_slowly(client_of_files, file->pool, &file->oid, first, last);
}

#endif /* TMEM_REDIRECTS */
