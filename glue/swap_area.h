/* SPDX-License-Identifier: GPL-2.0 */
/*
 * swap_area.h - swap areas and slots as pools, objects and indices.
 *
 * What the families for swapped-out pages share, whatever calls them:
 *
 *   swap type (area)  -> persistent pool, destroyed at swapoff
 *   slot offset       -> object (offset >> 8), index (offset & 255)
 *
 * Why 256 slots to an object. The swap allocator gives each CPU a cluster of
 * 256 slots (SWAPFILE_CLUSTER; 512 with huge pages) to fill, and a leaf of the
 * core's index is 256 pages of an object, hashed to a bucket of its own. So CPUs
 * that swap out at once work in different leaves, under different locks. For
 * that, one object for the whole area would do; but all its leaves would hang on
 * one list, under one lock, which is taken when a leaf comes, goes or changes
 * its class. So each leaf has an object: 64 bytes for 256 pages.
 *
 * A pool for each area makes swapoff quick: the pool is destroyed whole, in
 * batches, and nothing has to be looked up.
 *
 *   swap_area.c            this
 *   frontswap.c            5.10: native frontswap
 *   swap_redirect.c        6.1, 6.12, 7.3: redirected functions of frontswap or zswap
 *   failed_read.c          a page that cannot be read back, where frontswap has no word for it
 */
#ifndef TMEM_GLUE_SWAP_AREA_H
#define TMEM_GLUE_SWAP_AREA_H

#include <linux/percpu.h>
#include <linux/types.h>

#include "core/abi.h"

struct page;
struct tmem_client;

/* X(name, "meaning"): what the families decided that the core knows nothing of. sysfs has a file for each. */
#define TMEM_SWAP_COUNTS(X)								\
	X(swap_copies_given_up, "swapped-out pages that were read back and whose copy was flushed then, since the budget was refusing others")

struct tmem_swap_counts {
	TMEM_SWAP_COUNTS(TMEM_DECLARE_FIELD)
};
DECLARE_PER_CPU(struct tmem_swap_counts, tmem_swap_counts);

#define tmem_swap_count(name) this_cpu_inc(tmem_swap_counts.name)

void tmem_swap_counts_sum(struct tmem_swap_counts *counts);

void tmem_swap_start(struct tmem_client *client, bool pinning);
void tmem_swap_stop(void);

void tmem_swap_area_begin(unsigned int type);
void tmem_swap_area_want(unsigned int type);
void tmem_swap_area_end(unsigned int type);

int tmem_swap_store(unsigned int type, pgoff_t offset, struct page *pages, unsigned int count);
int tmem_swap_load(unsigned int type, pgoff_t offset, struct page *page);
void tmem_swap_invalidate(unsigned int type, pgoff_t offset, unsigned int count);

void tmem_fail_read(struct page *page);

#endif /* TMEM_GLUE_SWAP_AREA_H */
