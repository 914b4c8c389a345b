/* SPDX-License-Identifier: GPL-2.0 */
/*
 * page_cache.h - what the three files of the redirected page-cache family share.
 *
 *   page_cache.c     the hooks: when a folio is put, filled, flushed
 *   cached_file.c    one record for each file that has, or may have, pages stored
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
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable-types.h>
#include <linux/types.h>

#include "core/abi.h"

/* X(name, "meaning"): what the hooks saw and did; debugfs prints them under these names. */
#define TMEM_PAGE_CACHE_EVENTS(X)							\
	X(folios_reclaimed, "folios of files that reclaim was about to drop")		\
	X(folios_put, "of these, folios whose pages were put")				\
	X(folios_ineligible, "not put: of a file or file system that does not take part") \
	X(folios_unsettled, "not put: dirty, under writeback, private, in use, or its file had an I/O error") \
	X(folios_tainted, "not put: the file may be changing below the page cache")	\
	X(folios_crowded, "not put: no memory for the file's record, or no free slot for the removal") \
	X(folios_undone, "put, then flushed again because the folio stayed in the page cache") \
	X(pages_beyond_end, "pages not put, not filled in or not read ahead because they are beyond the end of the file") \
	X(folios_filled, "folios filled from tmem instead of the disk")			\
	X(folios_barred, "not filled: the file is being truncated or invalidated")	\
	X(folios_partly_there, "not filled: tmem had some of the pages only")		\
	X(supers_adopted, "file systems that were given a pool")

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
 * struct tmem_cached_file - a file whose pages tmem may have
 * @node: in the table of all, by @mapping
 * @mapping: the file's; its address is unique as long as the record is
 * @oid: address of the mapping, inode number, generation
 * @pool: its file system's
 * @highest: no page beyond this index was ever put
 * @tainted: somebody may be changing the file below the page cache; nothing may be put
 * @spoiled: the page cache may have kept a folio that is stale; nothing will be put any more
 * @rcu: it is freed when the last reader is gone
 *
 * Made by the first put, tainted, or to be spoiled; ends with the inode (clear_inode()).
 */
struct tmem_cached_file {
	struct rhash_head node;
	struct address_space *mapping;
	struct tmem_oid oid;
	int pool;
	atomic_long_t highest;
	bool tainted;
	bool spoiled;
	struct rcu_head rcu;
};

int tmem_cached_file_start(struct tmem_client *client);
void tmem_cached_file_stop(void);

struct tmem_cached_file *tmem_cached_file_find(struct address_space *mapping);
struct tmem_cached_file *tmem_cached_file_make(struct address_space *mapping, int pool, gfp_t how);
void tmem_cached_file_spoil(struct address_space *mapping, int pool);
void tmem_cached_file_forget(struct address_space *mapping);

int tmem_cached_file_put(struct tmem_cached_file *file, pgoff_t index, const void *data);
int tmem_cached_file_get(struct tmem_cached_file *file, pgoff_t index, void *data);
void tmem_cached_file_flush(struct tmem_cached_file *file, pgoff_t first, pgoff_t last);
void tmem_cached_file_flush_slowly(struct tmem_cached_file *file, pgoff_t first, pgoff_t last);

/* ---- cached_super.c ---- */

void tmem_cached_super_start(struct tmem_client *client);
void tmem_cached_super_stop(void);

int tmem_cached_super_pool(struct super_block *super);
void tmem_cached_super_want(struct super_block *super);
void tmem_cached_super_forget(struct super_block *super);

#endif /* TMEM_GLUE_PAGE_CACHE_H */
