// SPDX-License-Identifier: GPL-2.0
/*
 * page_cache.c - hook family: clean file pages, by redirected functions.
 *
 * For kernels without cleancache. Where the page cache loses a folio to
 * reclaim, its pages are put; where it is about to read a folio from the disk,
 * they are got back; wherever the file changes otherwise, they are flushed.
 *
 *	__remove_mapping                 reclaim drops a folio        put before, flush if it stays
 *	read_pages                       readahead reads folios       get each, the rest is read
 *	filemap_read_folio               one folio is read            get
 *	truncate_inode_pages_range       truncate, punch, collapse    taint, bar, flush before and after
 *	invalidate_inode_pages2_range    before a direct write        the same
 *	filemap_invalidate_inode         btrfs clones (from 6.10 on)  the same
 *	generic_remap_file_range_prep    before a clone               the same
 *	lock_two_nondirectories          ext4 exchanges extents       taint both, flush
 *	destroy_swap_extents             a swap area ends             taint, flush
 *	dquot_disable                    a quota file ends            taint, flush
 *	bmap                             "where are its blocks?"      nothing is put any more, flush
 *	generic_fadvise, drop_pagecache_sb  the user empties the page cache  flush; what stays is suspect
 *	clear_inode                      the inode ends               flush the object
 *	generic_shutdown_super           the file system ends         destroy the pool
 *	mm_filemap_delete_from_page_cache (tracepoint)  any removal   flush, unless it is our put's; no suspect any more
 *	writeback_dirty_folio (tracepoint)              clean -> dirty  flush
 *
 * The invariant is in page_cache.h. How it is kept:
 *
 * Put. Reclaim has the folio locked, isolated, unmapped; it is uptodate and
 * clean. We put first and let the kernel remove it then, which it does only if
 * nobody has another reference and nobody dirtied it: the kernel's own proof
 * that what we put is still what the file system has. If it does not, we flush.
 * While it is under way, the removal's tracepoint must know that this removal
 * is ours: the folio's address is in a small table (removals).
 *
 * Every other removal flushes; every first dirtying flushes. So a page that is
 * written while it is in the page cache, whoever writes it, is not in tmem by
 * the time it leaves.
 *
 * Get. Only into a folio that is in the page cache, locked and not uptodate:
 * whoever truncates must wait for that lock and then removes the folio. To look
 * into tmem first and add the folio afterwards would let a truncation slip in
 * between.
 *
 * What changes the file below the page cache:
 *
 * - Truncation and its relatives flush the range, before and after they remove
 *   the folios. In between, gets from that file are barred: the file system may
 *   already have changed what is below, or be about to. A put that races with
 *   the removal has the folio's lock, for which the removal waits, so flushing
 *   afterwards sees it.
 * - That is not the end of it. Direct writes invalidate the range and write
 *   then; btrfs removes the folios and punches the hole afterwards. A reader
 *   may fetch old data in that time, and a put would keep it. So the file is
 *   tainted: nothing of it is put until i_rwsem has been seen free while no
 *   direct I/O was counted. Whoever changes a file below the page cache has
 *   i_rwsem until he is done or, for direct I/O, is counted. A file without a
 *   record gets one for that, so a change that began while the file had none is
 *   not missed either.
 * - Nor is that. A change need not be rid of the old folios by its end: a
 *   direct write that fails half way, for want of a block or since its source
 *   is not there, does not invalidate again; nor does one after which the page
 *   cache refuses to be; btrfs lets a clone be killed between two extents; ext4
 *   exchanges the blocks of two files and does not look at the folios of one.
 *   So when the taint ends, every folio that is resident in the range that may
 *   have changed becomes a suspect, and is not put as long as it stays
 *   (suspects.c).
 *
 *   Why no folio that was resident during a failed or killed change is ever
 *   put: say F was resident at some moment of the change C. Until C ends, its
 *   file is tainted: C tainted it before it changed a block (the functions
 *   above), and the taint cannot end before i_rwsem or the count is free, so
 *   not before C has ended. If F leaves the page cache before that, it is not
 *   put, as the file is tainted. Otherwise F is resident when the taint ends,
 *   and at every moment of the walk that begins then, unless it leaves the page
 *   cache in between: not put either, as the taint is taken away only after the
 *   walk. Found by the walk, it is a suspect until it leaves. And a put of F
 *   that looked at all this before C began sees, when it has put, that the
 *   count of changes is another, and flushes.
 * - A file that is a swap area, or an old-style quota file, is written to by
 *   its blocks, with neither i_rwsem nor a count. Meanwhile nothing of it is
 *   put or filled in, and its taint does not end. But what we have of it from
 *   before stays, and so do folios that were resident or are read: when it
 *   ceases to be one, after the last such write and while the inode still says
 *   that it is one, it is tainted, so what is resident then becomes suspect,
 *   and flushed. A file that pNFS clients write to stays tainted while they
 *   have a layout.
 * - Who has asked for the blocks of a file (bmap) may write to them when he
 *   likes and never says that he is done. Nothing of such a file is put again.
 * - What was before us, nobody can tell: at load each folio that is there
 *   becomes a suspect, before the first put (file_walk.c). It stays in the page
 *   cache, and is lost once.
 * - Writeback may fail after it has let the folio be clean (btrfs ends it before
 *   the extent is in the file's tree; iomap of 6.1 unlocks first). Then the folio
 *   may have been put before the file has its error. So a file that has one
 *   (wb_err, for as long as its inode lives) is neither put nor filled, and what
 *   we have of it is flushed when it is asked for.
 * - The disk may be changed below the file system, by an administrator who then
 *   empties the page cache: drop_caches, or POSIX_FADV_DONTNEED. What we have
 *   goes with it, what could not be dropped becomes suspect, and while that is
 *   under way nothing is filled in.
 * - The end of the file. Readahead that races with a truncation can leave
 *   uptodate folios beyond the new end, with data of another file even (ext4
 *   with blocks smaller than pages reuses a stale mapping). The kernel loses
 *   them with the next reclaim; we would keep them, if the file had grown by
 *   then. So what is wholly beyond the end when readahead comes to read it is
 *   not read: it stays in the page cache, not uptodate, and whoever wants it
 *   reads it then. (Readahead has the invalidate lock, so the file does not
 *   shrink before the file system looks at its size.) And pages wholly beyond
 *   the end are neither put nor filled in.
 *
 * Memory cgroups. A page in tmem is charged to nobody. A folio is charged to
 * who reads it in, before we fill it, as if it came from the disk; and who may
 * not read the file never gets as far as a folio of it.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"
#include "glue.h"

#ifndef TMEM_REDIRECTS

/**
 * tmem_page_cache_attach - say why there is nothing to attach to
 * @client: unused
 *
 * Context: Any.
 * Return: Not attached.
 */
struct tmem_attachment tmem_page_cache_attach(struct tmem_client *client)
{
	return (struct tmem_attachment){ .how = TMEM_NO_REDIRECTS };
}

/**
 * tmem_page_cache_detach - nothing was attached
 *
 * Context: Any.
 */
void tmem_page_cache_detach(void)
{
}

/**
 * tmem_page_cache_event_next - there are no events
 * @number: unused
 * @name: unused
 * @count: unused
 *
 * Context: Any.
 * Return: false.
 */
bool tmem_page_cache_event_next(unsigned int number, const char **name, unsigned long *count)
{
	return false;
}

#else

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fadvise.h>
#include <linux/hash.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/printk.h>
#include <linux/quotaops.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include "page_cache.h"
#include "redirect.h"

DEFINE_PER_CPU(struct tmem_page_cache_events, tmem_page_cache_events);
TMEM_HOOK_FAMILY();

static bool working;		/* puts and gets are wanted */

/* ---- removals of ours that are under way ---- */

#define REMOVAL_BITS 10
static struct folio *removals[1 << REMOVAL_BITS];

static struct folio **removal_slot(struct folio *folio)
{
	return &removals[hash_ptr(folio, REMOVAL_BITS)];
}

/* Does not wait for a slot that another folio has: there are far more slots than CPUs. */
static bool removal_begin(struct folio *folio)
{
	return !cmpxchg(removal_slot(folio), NULL, folio);
}

static void removal_end(struct folio *folio)
{
	smp_store_release(removal_slot(folio), NULL);
}

static bool removal_is_ours(struct folio *folio)
{
	return READ_ONCE(*removal_slot(folio)) == folio;
}

/* ---- files that are being truncated or invalidated ---- */

#define BAR_BITS 10
static atomic_t bars[1 << BAR_BITS];	/* by mapping; two files may share one, and wait for each other's */

static atomic_t *bar_of(struct address_space *mapping)
{
	return &bars[hash_ptr(mapping, BAR_BITS)];
}

static void bar(struct address_space *mapping)
{
	atomic_inc(bar_of(mapping));
	/*
	 * Either a get that sees no bar has its folio in the page cache before we look there, or it
	 * sees the bar.
	 */
	smp_mb__after_atomic();
}

static void unbar(struct address_space *mapping)
{
	smp_mb__before_atomic();
	atomic_dec(bar_of(mapping));
}

/* The same for all files. */
static atomic_t bars_of_all;

static bool is_barred(struct address_space *mapping)
{
	smp_mb();
	return (atomic_read(bar_of(mapping)) || atomic_read(&bars_of_all)) && !tmem_left_out("bar");
}

/* ---- who takes part ---- */

/**
 * tmem_is_file - whether a mapping is a regular file's own
 * @mapping: the mapping
 *
 * Context: Any.
 * Return: Whether it is.
 */
bool tmem_is_file(const struct address_space *mapping)
{
	const struct inode *inode = mapping->host;

	return inode && S_ISREG(inode->i_mode) && mapping == &inode->i_data &&
	       inode->i_mapping == mapping;
}

/**
 * tmem_is_excluded - whether a file is left alone, wherever it is
 * @inode: the file's
 *
 * What is in memory already, what must not lie about in clear after its key
 * is gone, what is verified whenever it is read; and what is written below the page
 * cache, with neither i_rwsem nor a count: swap files, and old-style quota
 * files, which the kernel writes through buffers of the block device.
 *
 * Context: Any.
 * Return: Whether it is.
 */
bool tmem_is_excluded(const struct inode *inode)
{
	return (IS_DAX(inode) && !tmem_left_out("dax")) ||
	       (IS_ENCRYPTED(inode) && !tmem_left_out("encrypted")) ||
	       (IS_VERITY(inode) && !tmem_left_out("verity")) ||
	       (IS_SWAPFILE(inode) && !tmem_left_out("swap_file")) ||
	       (IS_NOQUOTA(inode) && !tmem_left_out("noquota"));
}

/* Whether every way to change this file's pages is one that we see. */
static bool takes_part(const struct address_space *mapping)
{
	return tmem_is_file(mapping) && !tmem_is_excluded(mapping->host);
}

/* Nothing is known to be wrong with the folio, and nobody but reclaim has it. */
static bool is_settled(struct address_space *mapping, struct folio *folio)
{
	return folio_test_uptodate(folio) && !folio_test_dirty(folio) &&
	       !folio_test_writeback(folio) && !folio_test_private(folio) &&
	       !folio_mapped(folio) && !folio_test_hwpoison(folio) &&
	       !mapping_exiting(mapping) && !mapping->wb_err &&
	       folio_ref_count(folio) == 1 + folio_nr_pages(folio);
}

/* Pages that the file has, a partial last one included. */
static pgoff_t file_pages(const struct address_space *mapping)
{
	if (tmem_left_out("end_of_file"))
		return ULONG_MAX;
	return DIV_ROUND_UP_ULL(i_size_read(mapping->host), PAGE_SIZE);
}

/* The record of a file that reclaim takes a folio of, with a pool; made now if it has none. */
static struct tmem_cached_file *file_to_put_to(struct address_space *mapping)
{
	struct tmem_cached_file *file = tmem_cached_file_find(mapping);
	int pool;

	if (file && READ_ONCE(file->pool) >= 0)
		return file;
	pool = tmem_cached_super_pool(mapping->host->i_sb);
	if (pool < 0) {
		tmem_cached_super_want(mapping->host->i_sb);
		tmem_saw(folios_ineligible);
		return NULL;
	}
	if (!file)
		file = tmem_cached_file_make(mapping, GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC);
	/* Once: what another put has stored since lies in the pool that it found, and is flushed there. */
	if (file)
		cmpxchg(&file->pool, -1, pool);
	else
		tmem_saw(folios_crowded);
	return file;
}

/* ---- put ---- */

#define LATE_PAGE 3	/* of leave_out=prompt_put */

/* True if any page of the folio is now in tmem; then the removal is registered as ours. */
static bool put_folio(struct address_space *mapping, struct folio *folio)
{
	const unsigned long count = folio_nr_pages(folio);
	const pgoff_t end = file_pages(mapping);
	struct tmem_cached_file *file;
	unsigned long i, stored = 0;
	unsigned int changes;

	tmem_saw(folios_reclaimed);
	if (!takes_part(mapping)) {
		tmem_saw(folios_ineligible);
		return false;
	}
	if (!is_settled(mapping, folio)) {
		tmem_saw(folios_unsettled);
		return false;
	}
	file = file_to_put_to(mapping);
	if (!file)
		return false;
	/* Pairs with whoever forbids it: he marks, then counts, then flushes. */
	changes = READ_ONCE(file->changes);
	smp_rmb();
	if (READ_ONCE(file->mapped_out)) {
		tmem_saw(folios_ineligible);
		return false;
	}
	if (smp_load_acquire(&file->tainted)) {
		tmem_taint_ask(file, false);
		tmem_saw(folios_tainted);
		return false;
	}
	if (tmem_is_suspect(file, folio->index, count)) {
		tmem_saw(folios_suspect);
		return false;
	}
	if (!removal_begin(folio)) {
		tmem_saw(folios_crowded);
		return false;
	}
	/* As if this processor were busy with something else; for one page of a file. */
	if (folio->index <= LATE_PAGE && LATE_PAGE < folio->index + count && tmem_left_out("prompt_put"))
		msleep(500);
	for (i = 0; i < count; i++) {
		void *data;

		if (folio->index + i >= end) {
			tmem_saw(pages_beyond_end);
			break;
		}
		/* The folio's own mark need not be set for a page of it (6.1), and reading it is fatal. */
		if (PageHWPoison(folio_page(folio, i)))
			break;
		data = tmem_map_page(folio_page(folio, i));
		stored += tmem_cached_file_put(file, folio->index + i, data) == TMEM_OK;
		tmem_unmap_page(data);
	}
	/* What an earlier put may have left is not what the file has there now. */
	if (i < count)
		tmem_cached_file_flush(file, folio->index + i, folio->index + count - 1);
	/* Forbidden since we looked: whoever did so flushes afterwards, and we do if that was before our put. */
	smp_mb();
	if (READ_ONCE(file->changes) != changes && !tmem_left_out("changes")) {
		tmem_cached_file_flush(file, folio->index, folio->index + count - 1);
		stored = 0;
	}
	if (!stored) {
		removal_end(folio);
		return false;
	}
	tmem_saw(folios_put);
	return true;
}

TMEM_ORIGINAL(int, __remove_mapping, (struct address_space *mapping, struct folio *folio,
				      bool reclaimed, struct mem_cgroup *target));
static int our___remove_mapping(struct address_space *mapping, struct folio *folio, bool reclaimed,
				struct mem_cgroup *target)
{
	bool put = false;
	int removed;

	tmem_hook_enter();
	if (reclaimed && READ_ONCE(working) && !folio_test_swapcache(folio) &&
	    !folio_test_swapbacked(folio))
		put = put_folio(mapping, folio);
	removed = static_call(original___remove_mapping)(mapping, folio, reclaimed, target);
	if (put) {
		/* Once it is removed, neither folio nor mapping may be looked at: only the address. */
		if (!removed && !tmem_left_out("undo")) {
			struct tmem_cached_file *file = tmem_cached_file_find(mapping);

			if (file)
				tmem_cached_file_flush(file, folio->index,
						       folio->index + folio_nr_pages(folio) - 1);
			tmem_saw(folios_undone);
		}
		removal_end(folio);
	}
	tmem_hook_leave();
	return removed;
}

/* ---- get ---- */

/* Fills a locked folio of the page cache, all of it or not at all. Marks it uptodate, does not unlock it. May sleep. */
static bool fill_folio(struct tmem_cached_file *file, struct address_space *mapping,
		       struct folio *folio)
{
	const unsigned long count = folio_nr_pages(folio);
	unsigned long i;

	if (folio_test_uptodate(folio) || folio_test_dirty(folio) || folio_test_private(folio) ||
	    folio_test_writeback(folio) || !takes_part(mapping) || READ_ONCE(file->pool) < 0)
		return false;
	/* Writeback has failed, perhaps after a put: what the disk has may be older than what we have. */
	if (READ_ONCE(mapping->wb_err)) {
		tmem_cached_file_flush_slowly(file, 0, ULONG_MAX);
		return false;
	}
	if (folio->index + count > file_pages(mapping)) {
		tmem_saw(pages_beyond_end);
		return false;
	}
	if (is_barred(mapping)) {
		tmem_saw(folios_barred);
		return false;
	}
	for (i = 0; i < count; i++) {
		void *data = tmem_map_page(folio_page(folio, i));
		int result = tmem_cached_file_get(file, folio->index + i, data);

		tmem_unmap_page(data);
		if (result != TMEM_OK) {
			/* What was got so far is gone from tmem, and will be read from the disk. */
			if (i)
				tmem_saw(folios_partly_there);
			return false;
		}
	}
	flush_dcache_folio(folio);
	folio_mark_uptodate(folio);
	tmem_saw(folios_filled);
	return true;
}

TMEM_ORIGINAL(void, read_pages, (struct readahead_control *control));

/* Lets the kernel read @count pages from @index on, which are some of @control's. */
static void read_some(const struct readahead_control *control, pgoff_t index, unsigned int count)
{
	struct readahead_control some = *control;

	some._index = index;
	some._nr_pages = count;
	some._batch_count = 0;
	static_call(original_read_pages)(&some);
}

/* A folio that readahead has put there, locked and with a reference; NULL: it has not, which cannot be. */
static struct folio *folio_to_read(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio = xa_load(&mapping->i_pages, index);

	return WARN_ON_ONCE(!folio || xa_is_value(folio)) ? NULL : folio;
}

static void let_go(struct folio *folio)
{
	folio_unlock(folio);
	folio_put(folio);
}

/* Lets go of the folios at the end of @control that are wholly beyond the end of the file, unread. */
static void leave_beyond_end(struct readahead_control *control)
{
	struct address_space *mapping = control->mapping;
	const pgoff_t end = file_pages(mapping), last = control->_index + control->_nr_pages;
	pgoff_t index = control->_index;

	if (likely(last <= end) || !takes_part(mapping))
		return;
	while (index < last) {
		struct folio *folio = folio_to_read(mapping, index);
		unsigned long count;

		if (!folio)
			return;
		count = folio_nr_pages(folio);
		if (index >= end) {
			if (control->_index + control->_nr_pages > index)
				control->_nr_pages = index - control->_index;
			let_go(folio);
			this_cpu_add(tmem_page_cache_events.count[TMEM_EVENT_pages_beyond_end], count);
		}
		index += count;
	}
}

/*
 * The folios of @control are in the page cache, locked, each with a reference
 * for us. Those that tmem has are filled and let go; each run of others goes to
 * the kernel, in order.
 */
static void read_or_fill(struct readahead_control *control, struct tmem_cached_file *file)
{
	struct address_space *mapping = control->mapping;
	const pgoff_t end = control->_index + control->_nr_pages;
	pgoff_t index = control->_index, unread = index;

	while (index < end) {
		struct folio *folio = folio_to_read(mapping, index);
		unsigned long count;

		if (!folio)
			break;
		count = folio_nr_pages(folio);
		if (fill_folio(file, mapping, folio)) {
			if (unread < index)
				read_some(control, unread, index - unread);
			let_go(folio);
			unread = index + count;
		}
		index += count;
	}
	control->_batch_count = 0;
	control->_index = unread;
	control->_nr_pages = end - unread;
	if (unread < end)
		static_call(original_read_pages)(control);
	else
		control->_workingset = false;
}

static void our_read_pages(struct readahead_control *control)
{
	const pgoff_t last = control->_index + control->_nr_pages;
	struct tmem_cached_file *file = NULL;

	tmem_hook_enter();
	if (READ_ONCE(working) && control->_nr_pages) {
		leave_beyond_end(control);
		file = tmem_cached_file_find(control->mapping);
	}
	if (file && control->_nr_pages)
		read_or_fill(control, file);
	else
		static_call(original_read_pages)(control);
	/* Past those that were left out, too. */
	if (control->_index < last) {
		control->_index = last;
		control->_workingset = false;
	}
	tmem_hook_leave();
}

TMEM_ORIGINAL(int, filemap_read_folio, (struct file *opened, filler_t filler, struct folio *folio));
static int our_filemap_read_folio(struct file *opened, filler_t filler, struct folio *folio)
{
	struct address_space *mapping = folio->mapping;
	struct tmem_cached_file *file = NULL;
	int error = 0;

	tmem_hook_enter();
	/* Another filler may want another content. */
	if (READ_ONCE(working) && mapping && filler == mapping->a_ops->read_folio)
		file = tmem_cached_file_find(mapping);
	if (file && fill_folio(file, mapping, folio))
		folio_unlock(folio);
	else
		error = static_call(original_filemap_read_folio)(opened, filler, folio);
	tmem_hook_leave();
	return error;
}

/* ---- flush ---- */

/* Under RCU, and perhaps the lock of the page cache: for the pages of one folio. */
static void flush_folio(struct address_space *mapping, struct folio *folio)
{
	struct tmem_cached_file *file;

	rcu_read_lock();
	file = tmem_cached_file_find(mapping);
	if (file)
		tmem_cached_file_flush(file, folio->index, folio->index + folio_nr_pages(folio) - 1);
	rcu_read_unlock();
}

/* ---- what changes a file below the page cache ---- */

/*
 * The record of a file that is about to change: made, if it has none and its history matters. An
 * inode that ends is put no more, so there is nothing to remember of it.
 */
static struct tmem_cached_file *file_to_change(struct address_space *mapping)
{
	struct tmem_cached_file *file = tmem_cached_file_find(mapping);

	if (!file && tmem_is_file(mapping) && !mapping_exiting(mapping) &&
	    tmem_cached_super_is_known(mapping->host->i_sb))
		file = tmem_cached_file_must(mapping);
	return file;
}

/* Between these two, the page cache and what is below it may change, and do not agree. NULL: of no interest. */
static struct tmem_cached_file *begin_change(struct address_space *mapping, pgoff_t first, pgoff_t last)
{
	struct tmem_cached_file *file = file_to_change(mapping);

	if (!file)
		return NULL;
	if (!mapping_exiting(mapping))
		tmem_cached_file_taint(file, first, last);
	bar(mapping);
	tmem_cached_file_flush_slowly(file, first, last);
	return file;
}

/* What should have gone and is still there is found when the taint ends, whatever the original says. */
static void end_change(struct tmem_cached_file *file, pgoff_t first, pgoff_t last)
{
	if (!file)
		return;
	tmem_cached_file_flush_slowly(file, first, last);
	unbar(file->mapping);
	if (!mapping_exiting(file->mapping))
		tmem_taint_ask(file, true);
}

/*
 * A file changes, all of it perhaps, from here until i_rwsem is free, or whatever else keeps its
 * taint has ended.
 */
static void change_all(struct address_space *mapping)
{
	end_change(begin_change(mapping, 0, ULONG_MAX), 0, ULONG_MAX);
}

TMEM_ORIGINAL(void, truncate_inode_pages_range, (struct address_space *mapping, loff_t first,
						 tmem_truncate_last_t last));
static void our_truncate_inode_pages_range(struct address_space *mapping, loff_t first,
					   tmem_truncate_last_t last)
{
	const pgoff_t first_index = first >> PAGE_SHIFT;
	const pgoff_t last_index = last == (tmem_truncate_last_t)-1 ? ULONG_MAX : last >> PAGE_SHIFT;
	struct tmem_cached_file *file;

	tmem_hook_enter();
	file = begin_change(mapping, first_index, last_index);
	static_call(original_truncate_inode_pages_range)(mapping, first, last);
	end_change(file, first_index, last_index);
	tmem_hook_leave();
}

TMEM_ORIGINAL(int, invalidate_inode_pages2_range, (struct address_space *mapping, pgoff_t first,
						   pgoff_t last));
static int our_invalidate_inode_pages2_range(struct address_space *mapping, pgoff_t first,
					     pgoff_t last)
{
	struct tmem_cached_file *file;
	int error;

	tmem_hook_enter();
	file = begin_change(mapping, first, last);
	error = static_call(original_invalidate_inode_pages2_range)(mapping, first, last);
	end_change(file, first, last);
	tmem_hook_leave();
	return error;
}

#ifdef TMEM_FILEMAP_INVALIDATE_INODE

/* It does not look further than an empty page cache. */
TMEM_ORIGINAL(int, filemap_invalidate_inode, (struct inode *inode, bool write_back, loff_t first,
					      loff_t last));
static int our_filemap_invalidate_inode(struct inode *inode, bool write_back, loff_t first,
					loff_t last)
{
	const pgoff_t first_index = first >> PAGE_SHIFT;
	const pgoff_t last_index = last == LLONG_MAX ? ULONG_MAX : last >> PAGE_SHIFT;
	struct tmem_cached_file *file;
	int error;

	tmem_hook_enter();
	file = begin_change(inode->i_mapping, first_index, last_index);
	error = static_call(original_filemap_invalidate_inode)(inode, write_back, first, last);
	end_change(file, first_index, last_index);
	tmem_hook_leave();
	return error;
}

#endif

/*
 * The last page of @to that a clone or a deduplication of @bytes may change. The original makes
 * them fewer at most, and the file system goes on to the end of the block; what lies behind an old
 * end of the file is truncated besides. No bytes are as many as there are.
 */
static pgoff_t last_shared(const struct file *to, loff_t to_offset, loff_t bytes)
{
	const loff_t unit = max_t(loff_t, i_blocksize(file_inode(to)), PAGE_SIZE);

	if (bytes <= 0 || to_offset < 0 || bytes > LLONG_MAX - unit - to_offset)
		return ULONG_MAX;
	return (round_up(to_offset + bytes, unit) - 1) >> PAGE_SHIFT;
}

/*
 * Both files' i_rwsem are held from before until the extents are shared, or the task was killed.
 */
TMEM_ORIGINAL(int, generic_remap_file_range_prep, (struct file *from, loff_t from_offset,
						   struct file *to, loff_t to_offset, loff_t *bytes,
						   unsigned int flags));
static int our_generic_remap_file_range_prep(struct file *from, loff_t from_offset,
					     struct file *to, loff_t to_offset, loff_t *bytes,
					     unsigned int flags)
{
	const pgoff_t first = to_offset >> PAGE_SHIFT, last = last_shared(to, to_offset, *bytes);
	const bool shares = *bytes || !(flags & REMAP_FILE_DEDUP);
	struct tmem_cached_file *file;
	int error;

	tmem_hook_enter();
	file = shares ? begin_change(file_inode(to)->i_mapping, first, last) : NULL;
	error = static_call(original_generic_remap_file_range_prep)(from, from_offset, to, to_offset,
								    bytes, flags);
	end_change(file, first, last);
	tmem_hook_leave();
	return error;
}

/*
 * Whether who has locked both files may exchange their blocks, below folios that it neither reads nor dirties. Only
 * ext4 does, of files that are both open for writing. Renames come here much more often.
 */
static bool may_exchange(const struct inode *one, const struct inode *other)
{
	return one && other && one != other && !strcmp(one->i_sb->s_type->name, "ext4") &&
	       inode_is_open_for_write(one) && inode_is_open_for_write(other);
}

TMEM_ORIGINAL(void, lock_two_nondirectories, (struct inode *one, struct inode *other));
static void our_lock_two_nondirectories(struct inode *one, struct inode *other)
{
	tmem_hook_enter();
	static_call(original_lock_two_nondirectories)(one, other);
	if (may_exchange(one, other)) {
		change_all(one->i_mapping);
		change_all(other->i_mapping);
	}
	tmem_hook_leave();
}

#ifdef CONFIG_SWAP

/*
 * Called with the area's file open, or, if swapon has failed early, without one. After the last
 * write to its blocks, and while the inode says that it is a swap file, so that the taint outlasts
 * that.
 */
TMEM_ORIGINAL(void, destroy_swap_extents, (TMEM_SWAP_EXTENTS_OF));
static void our_destroy_swap_extents(TMEM_SWAP_EXTENTS_OF)
{
	const struct file *file = tmem_swap_extents_file;

	tmem_hook_enter();
	if (!IS_ERR_OR_NULL(file))
		change_all(file->f_mapping);
	static_call(original_destroy_swap_extents)(TMEM_SWAP_EXTENTS);
	tmem_hook_leave();
}

#endif

#ifdef CONFIG_QUOTA

/*
 * Old-style quota files cease to be written, all of them or those of one type. They are truncated then, but not if
 * quotas had only been suspended. While an inode says that quotas do not count for it, its taint does not end.
 */
TMEM_ORIGINAL(int, dquot_disable, (struct super_block *super, int type, unsigned int flags));
static int our_dquot_disable(struct super_block *super, int type, unsigned int flags)
{
	unsigned int i;
	int error;

	tmem_hook_enter();
	for (i = 0; i < MAXQUOTAS; i++) {
		struct inode *inode = sb_dqopt(super)->files[i];

		if (inode)
			change_all(inode->i_mapping);
	}
	error = static_call(original_dquot_disable)(super, type, flags);
	tmem_hook_leave();
	return error;
}

#endif

/*
 * Whoever asks where a file's blocks are may write to them at any time, and never says that he is
 * done: md does, for the bitmap of an array that is kept in a file.
 */
TMEM_ORIGINAL(int, bmap, (struct inode *inode, sector_t *block));
static int our_bmap(struct inode *inode, sector_t *block)
{
	struct tmem_cached_file *file;
	int error;

	tmem_hook_enter();
	file = file_to_change(inode->i_mapping);
	if (file && !READ_ONCE(file->mapped_out)) {
		tmem_cached_file_map_out(file);
		tmem_cached_file_flush_slowly(file, 0, ULONG_MAX);
	}
	error = static_call(original_bmap)(inode, block);
	tmem_hook_leave();
	return error;
}

/* ---- what is to be read from the disk again ---- */

/* What the kernel could not drop, as it is in use, may be what the user wants to be rid of. */
TMEM_ORIGINAL(int, generic_fadvise, (struct file *opened, loff_t offset, loff_t bytes, int advice));
static int our_generic_fadvise(struct file *opened, loff_t offset, loff_t bytes, int advice)
{
	struct address_space *mapping = opened->f_mapping;
	const bool drops = advice == POSIX_FADV_DONTNEED && mapping && tmem_is_file(mapping) &&
			   offset >= 0 && bytes >= 0;
	const loff_t end = !bytes || offset > LLONG_MAX - bytes ? LLONG_MAX : offset + bytes - 1;
	const pgoff_t first = offset >> PAGE_SHIFT, last = end == LLONG_MAX ? ULONG_MAX : end >> PAGE_SHIFT;
	struct tmem_cached_file *file;
	int error;

	tmem_hook_enter();
	/* What came from tmem after the kernel had dropped it would be there again. */
	if (drops)
		bar(mapping);
	error = static_call(original_generic_fadvise)(opened, offset, bytes, advice);
	if (drops) {
		file = filemap_range_has_page(mapping, offset, end) ? file_to_change(mapping) :
								     tmem_cached_file_find(mapping);
		if (file) {
			tmem_suspect_residents(file, first, last);
			tmem_cached_file_flush_slowly(file, first, last);
		}
		unbar(mapping);
	}
	tmem_hook_leave();
	return error;
}

/* One file system's part of drop_caches; s_umount is held. */
TMEM_ORIGINAL(void, drop_pagecache_sb, (struct super_block *super, void *unused));
static void our_drop_pagecache_sb(struct super_block *super, void *unused)
{
	const bool known = tmem_cached_super_is_known(super);

	tmem_hook_enter();
	if (known) {
		atomic_inc(&bars_of_all);
		smp_mb__after_atomic();
	}
	static_call(original_drop_pagecache_sb)(super, unused);
	if (known) {
		tmem_file_walk(super);
		smp_mb__before_atomic();
		atomic_dec(&bars_of_all);
	}
	tmem_hook_leave();
}

/* ---- the end of inodes and file systems ---- */

TMEM_ORIGINAL(void, clear_inode, (struct inode *inode));
static void our_clear_inode(struct inode *inode)
{
	tmem_hook_enter();
	tmem_cached_file_forget(&inode->i_data);
	static_call(original_clear_inode)(inode);
	tmem_hook_leave();
}

TMEM_ORIGINAL(void, generic_shutdown_super, (struct super_block *super));
static void our_generic_shutdown_super(struct super_block *super)
{
	tmem_hook_enter();
	static_call(original_generic_shutdown_super)(super);
	tmem_cached_super_forget(super);
	tmem_hook_leave();
}

/* Both under the lock of the page cache, with interrupts off. */

static void on_delete(void *unused, struct folio *folio)
{
	struct tmem_cached_file *file;

	/* One that was put was no suspect. If it has become one meanwhile, the put saw that, and has flushed. */
	rcu_read_lock();
	file = tmem_cached_file_find(folio->mapping);
	if (file) {
		tmem_suspects_gone(file, folio->index, folio_nr_pages(folio));
		if (!removal_is_ours(folio))
			tmem_cached_file_flush(file, folio->index,
					       folio->index + folio_nr_pages(folio) - 1);
	}
	rcu_read_unlock();
}

static void on_dirty(void *unused, struct folio *folio, struct address_space *mapping)
{
	flush_folio(mapping, folio);
}

/* ---- coming and going ---- */

/* What flushes comes before what puts, and that before what gets; leaving is in reverse. */
static struct tmem_probe probes[] = {
	{ .name = "mm_filemap_delete_from_page_cache", .ours = on_delete },
	{ .name = "writeback_dirty_folio", .ours = on_dirty },
};

static struct tmem_redirect redirects[] = {
	/* Before all that make records: the worker looks at an inode as long as its record is there. */
	TMEM_REDIRECT(clear_inode),
	TMEM_REDIRECT(truncate_inode_pages_range),
	TMEM_REDIRECT(invalidate_inode_pages2_range),
#ifdef TMEM_FILEMAP_INVALIDATE_INODE
	TMEM_REDIRECT(filemap_invalidate_inode),
#endif
	TMEM_REDIRECT(generic_remap_file_range_prep),
	TMEM_REDIRECT(lock_two_nondirectories),
#ifdef CONFIG_SWAP
	TMEM_REDIRECT(destroy_swap_extents),
#endif
#ifdef CONFIG_QUOTA
	TMEM_REDIRECT(dquot_disable),
#endif
	TMEM_REDIRECT(bmap),
	TMEM_REDIRECT(generic_fadvise),
	TMEM_REDIRECT(drop_pagecache_sb),
	TMEM_REDIRECT(generic_shutdown_super),
	TMEM_REDIRECT(__remove_mapping),
	TMEM_REDIRECT(read_pages),
	TMEM_REDIRECT(filemap_read_folio),
};

static bool attached;

/*
 * What the files have behind them is looked at before anything is put. A file system that is just being mounted or
 * unmounted, of whatever type, can be waited for, for a long time: by a worker, then.
 */
#define WALK_SECONDS 5
static DECLARE_COMPLETION(walked);

static void walk_and_begin(struct work_struct *work)
{
	tmem_file_walk_all();
	WRITE_ONCE(working, true);
	complete_all(&walked);
}

static DECLARE_WORK(walk_work, walk_and_begin);

static void disarm(void)
{
	cancel_work_sync(&walk_work);
	WRITE_ONCE(working, false);
	tmem_suspects_stop();
	tmem_redirect_disarm(redirects, ARRAY_SIZE(redirects));
	tmem_probe_disarm(probes, ARRAY_SIZE(probes));
	tmem_hooks_quiesce();
	tmem_cached_super_stop();
	tmem_cached_file_stop();
}

/**
 * tmem_page_cache_attach - take the clean file pages of every file system that takes part
 * @client: owns the pools; lives until tmem_page_cache_detach() has returned
 *
 * Context: Process context. May sleep.
 * Return: Attached, or the reason why not; then everything is as before.
 */
struct tmem_attachment tmem_page_cache_attach(struct tmem_client *client)
{
	static char why[128];
	int error = tmem_cached_file_start(client);

	if (error)
		return (struct tmem_attachment){ .how = "no memory for the table of files" };
	tmem_cached_super_start(client);
	tmem_suspects_start();
	error = tmem_file_walk_start(why, sizeof(why));
	if (!error)
		error = tmem_probe_arm(probes, ARRAY_SIZE(probes), why, sizeof(why));
	if (!error)
		error = tmem_redirect_arm(redirects, ARRAY_SIZE(redirects), why, sizeof(why));
	if (error) {
		disarm();
		return (struct tmem_attachment){ .how = why };
	}
	attached = true;
	reinit_completion(&walked);
	queue_work(tmem_unbound_wq, &walk_work);
	if (!wait_for_completion_timeout(&walked, WALK_SECONDS * HZ))
		pr_info("a file system is being mounted or unmounted: file pages will be taken when that is over\n");
	return (struct tmem_attachment){
		.attached = true,
		.how = "redirected page-cache functions",
	};
}

/**
 * tmem_page_cache_detach - let go of every page and every function
 *
 * Context: Process context. Sleeps until no task is in a function of ours.
 */
void tmem_page_cache_detach(void)
{
	if (!attached)
		return;
	disarm();
	attached = false;
}

#define EVENT_NAME(name, meaning) #name,
static const char *const event_names[] = { TMEM_PAGE_CACHE_EVENTS(EVENT_NAME) };

/**
 * tmem_page_cache_event_next - what the hooks saw and did
 * @number: from 0 on
 * @name: set to the event's name
 * @count: set to how often it happened
 *
 * Context: Any.
 * Return: false if there is no event of that number.
 */
bool tmem_page_cache_event_next(unsigned int number, const char **name, unsigned long *count)
{
	unsigned int cpu;

	if (!attached || number >= TMEM_PAGE_CACHE_EVENTS_COUNT)
		return false;
	*name = event_names[number];
	*count = 0;
	for_each_possible_cpu(cpu)
		*count += per_cpu(tmem_page_cache_events, cpu).count[number];
	return true;
}

#endif /* TMEM_REDIRECTS */
