/* SPDX-License-Identifier: GPL-2.0 */
/*
 * page_cache.h - what the five files of the redirected page-cache family share.
 *
 *   page_cache.c     the hooks: when a folio is put, filled, flushed
 *   cached_file.c    one record for each file that has pages stored, or has changed below the page cache
 *   suspects.c       which folios may be stale: those that were resident when such a change ended
 *   file_walk.c      every file in memory is looked at: at load, and by drop_caches
 *   cached_super.c   which file systems take part; a pool for each that is mounted
 *
 * The invariant that all of it serves:
 *
 *	If tmem has a page of a file, and the page cache has no folio at that
 *	index, then the page is what a read from the file system would give.
 */
#ifndef TMEM_GLUE_PAGE_CACHE_H
#define TMEM_GLUE_PAGE_CACHE_H

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable-types.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "core/abi.h"

/* X(name, "meaning"): what the hooks saw and did; debugfs prints them under these names. */
#define TMEM_PAGE_CACHE_EVENTS(X)							\
	X(folios_reclaimed, "folios of files that reclaim was about to drop")		\
	X(folios_put, "of these, folios whose pages were put")				\
	X(folios_ineligible, "not put: of a file or file system that does not take part") \
	X(folios_unsettled, "not put: dirty, under writeback, private, in use, or its file had an I/O error") \
	X(folios_tainted, "not put: the file may be changing below the page cache")	\
	X(folios_suspect, "not put: was resident when a change of its file ended, and may be stale") \
	X(folios_crowded, "not put: no memory for the file's record, or no free slot for the removal") \
	X(folios_undone, "put, then flushed again because the folio stayed in the page cache") \
	X(pages_beyond_end, "pages not put, not filled in or not read ahead because they are beyond the end of the file") \
	X(folios_filled, "folios filled from tmem instead of the disk")			\
	X(folios_barred, "not filled: the file is being truncated or invalidated")	\
	X(folios_partly_there, "not filled: tmem had some of the pages only")		\
	X(supers_adopted, "file systems that were given a pool")			\
	X(files_suspected, "times that a file's resident folios were made suspects")	\
	X(pages_suspected, "pages of these folios")					\
	X(files_walked, "files with pages in memory, or busy, that were met at load and by drop_caches")

enum tmem_page_cache_event {
#define TMEM_EVENT_NUMBER(name, meaning) TMEM_EVENT_##name,
	TMEM_PAGE_CACHE_EVENTS(TMEM_EVENT_NUMBER)
	TMEM_PAGE_CACHE_EVENTS_COUNT
};

struct tmem_page_cache_events {
	unsigned long count[TMEM_PAGE_CACHE_EVENTS_COUNT];
};
DECLARE_PER_CPU(struct tmem_page_cache_events, tmem_page_cache_events);

#define tmem_saw(name) this_cpu_inc(tmem_page_cache_events.count[TMEM_EVENT_##name])

/* ---- cached_file.c ---- */

/**
 * struct tmem_cached_file - a file whose pages tmem has, or whose folios may be stale
 * @node: in the table of all, by @mapping
 * @mapping: the file's; its address is unique as long as the record is
 * @oid: address of the mapping, inode number, generation
 * @pool: its file system's; negative until there is one
 * @highest: no page beyond this index was ever put
 * @tainted: somebody may be changing the file below the page cache; nothing may be put
 * @mapped_out: somebody asked where its blocks are, and may write to them at any time; nothing will ever be put
 * @lock: guards @first, @last, and the two above while they change
 * @changes: one more whenever less may be put than before: a put that sees another number afterwards flushes
 * @first: the range that may have changed since @tainted was set
 * @last: the same
 * @asked: in one of the lists of those whose taint may be over (suspects.c)
 * @due: jiffies: not looked at again before
 * @turn: of the list that it goes to next, one further each time in vain; these three under asked_lock
 * @suspects: a bit for each page that may be stale as long as it stays in the page cache (suspects.c)
 * @rcu: it is freed when the last reader is gone
 *
 * Made by the first put, by the first change, or when we are loaded; ends with the inode (clear_inode()).
 */
struct tmem_cached_file {
	struct rhash_head node;
	struct address_space *mapping;
	struct tmem_oid oid;
	int pool;
	bool tainted;
	bool mapped_out;
	atomic_long_t highest;
	spinlock_t lock;
	unsigned int changes;
	pgoff_t first;
	pgoff_t last;
	struct list_head asked;
	unsigned long due;
	unsigned int turn;
	struct xarray suspects;
	struct rcu_head rcu;
};

int tmem_cached_file_start(struct tmem_client *client);
void tmem_cached_file_stop(void);

struct tmem_cached_file *tmem_cached_file_find(struct address_space *mapping);
struct tmem_cached_file *tmem_cached_file_make(struct address_space *mapping, gfp_t how);
struct tmem_cached_file *tmem_cached_file_must(struct address_space *mapping);
void tmem_cached_file_forget(struct address_space *mapping);

void tmem_cached_file_taint(struct tmem_cached_file *file, pgoff_t first, pgoff_t last);
void tmem_cached_file_map_out(struct tmem_cached_file *file);

int tmem_cached_file_put(struct tmem_cached_file *file, pgoff_t index, const void *data);
int tmem_cached_file_get(struct tmem_cached_file *file, pgoff_t index, void *data);
void tmem_cached_file_flush(struct tmem_cached_file *file, pgoff_t first, pgoff_t last);
void tmem_cached_file_flush_slowly(struct tmem_cached_file *file, pgoff_t first, pgoff_t last);

/* ---- page_cache.c: who takes part ---- */

bool tmem_is_file(const struct address_space *mapping);
bool tmem_is_excluded(const struct inode *inode);

/* ---- suspects.c ---- */

void tmem_suspects_start(void);
void tmem_suspects_stop(void);

bool tmem_may_be_changing(struct inode *inode);
void tmem_suspect_residents(struct tmem_cached_file *file, pgoff_t first, pgoff_t last);
bool tmem_is_suspect(struct tmem_cached_file *file, pgoff_t index, unsigned long count);
void tmem_suspects_gone(struct tmem_cached_file *file, pgoff_t index, unsigned long count);

void tmem_taint_ask(struct tmem_cached_file *file, bool soon);
void tmem_taint_unask(struct tmem_cached_file *file);

/* ---- file_walk.c ---- */

int tmem_file_walk_start(char *why, size_t why_bytes);
void tmem_file_walk_all(void);
void tmem_file_walk(struct super_block *super);

/* ---- cached_super.c ---- */

void tmem_cached_super_start(struct tmem_client *client);
void tmem_cached_super_stop(void);

bool tmem_cached_super_is_known(const struct super_block *super);
int tmem_cached_super_pool(struct super_block *super);
void tmem_cached_super_want(struct super_block *super);
void tmem_cached_super_forget(struct super_block *super);

#endif /* TMEM_GLUE_PAGE_CACHE_H */
