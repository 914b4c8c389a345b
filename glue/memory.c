// SPDX-License-Identifier: GPL-2.0
/*
 * memory.c - host ops: memory for the core.
 *
 * Three sorts: small objects from slab caches, one cache for each kind that
 * the core names; page frames for the data; tables, once, at start or for a
 * pool.
 *
 * Objects and frames are asked for from reclaim, under locks and with
 * interrupts off, so an allocation never sleeps. Who may eat what:
 *
 *   no flag               free memory down to the min watermark, and nothing
 *                         below it, even when the caller is reclaim
 *                         (__GFP_NOMEMALLOC, without which the allocator of
 *                         6.1 and later also takes high-atomic blocks). All
 *                         that ephemeral pages get, and what each persistent
 *                         page is tried with first.
 *   TMEM_ALLOC_RESERVES   the core's last try for a persistent page: what
 *                         swap-out may. Half of the min watermark
 *                         (__GFP_HIGH), and PF_MEMALLOC callers the reserves
 *                         below, as the bio and the request that they would
 *                         need instead do.
 *
 * The reserves only while free memory is above a floor, somewhat more than half
 * of the default min watermark. Swap-out itself allocates with __GFP_HIGH (7.3:
 * tables of swap slots, with a warning each time it fails), and a page that we
 * refuse goes to the disk, while reclaim that finds no memory for that goes nowhere.
 */
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmstat.h>

#include "glue.h"

static struct kmem_cache *kind_caches[TMEM_KINDS];

static unsigned long free_floor;	/* page frames */

/* Who gives frames back for want of memory on some nodes: see tmem_frames_watch(). */
static struct task_struct *giver;
static nodemask_t wanted_nodes;
static unsigned long given_there;

/* Five eighths of what the kernel sets min_free_kbytes to: the root of 16 times its memory, in KiB. */
static unsigned long floor_of(unsigned long frames)
{
	const unsigned long kib = frames << (PAGE_SHIFT - 10);

	return (int_sqrt(kib * 16) >> (PAGE_SHIFT - 10)) * 5 / 8;
}

static gfp_t gfp_of(unsigned int flags)
{
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;

	if (!(flags & TMEM_ALLOC_RESERVES) ||
	    global_zone_page_state(NR_FREE_PAGES) <= free_floor)
		return gfp | __GFP_NOMEMALLOC;
	return gfp | __GFP_HIGH;
}

/* Where the core would rather have it; the allocator takes another node's when that one has none. */
static int node_in(unsigned int flags)
{
	const unsigned int node = TMEM_ALLOC_NODE(flags);

	return node == TMEM_ANY_NODE ? NUMA_NO_NODE : (int)node;
}

/**
 * tmem_object_alloc - one uninitialised object
 * @kind: TMEM_KIND_*
 * @flags: TMEM_ALLOC_*
 *
 * Context: Any but NMI. Does not sleep.
 * Return: The object, or NULL.
 */
void *tmem_object_alloc(unsigned int kind, unsigned int flags)
{
	return kmem_cache_alloc_node(kind_caches[kind], gfp_of(flags), node_in(flags));
}

/**
 * tmem_object_free - give an object back
 * @kind: as in tmem_object_alloc()
 * @object: from tmem_object_alloc()
 *
 * Context: Any but NMI.
 */
void tmem_object_free(unsigned int kind, void *object)
{
	kmem_cache_free(kind_caches[kind], object);
}

/**
 * tmem_frame_alloc - one page frame
 * @flags: TMEM_ALLOC_*
 *
 * Context: Any but NMI. Does not sleep.
 * Return: Its address, or NULL.
 */
void *tmem_frame_alloc(unsigned int flags)
{
	struct page *page = alloc_pages_node(node_in(flags), gfp_of(flags), 0);

	return page ? page_address(page) : NULL;
}

/**
 * tmem_frame_free - give a page frame back
 * @frame: from tmem_frame_alloc()
 *
 * Context: Any but NMI.
 */
void tmem_frame_free(void *frame)
{
	if (unlikely(READ_ONCE(giver) == current) && node_isset(page_to_nid(virt_to_page(frame)), wanted_nodes))
		given_there++;
	free_page((unsigned long)frame);
}

/**
 * tmem_frames_watch - count which of the frames that this task gives back are of some nodes
 * @nodes: these
 *
 * One task at a time: who is out of memory has the kernel's oom_lock.
 *
 * Context: Process context.
 */
void tmem_frames_watch(const nodemask_t *nodes)
{
	wanted_nodes = *nodes;
	given_there = 0;
	WRITE_ONCE(giver, current);
}

/**
 * tmem_frames_watched - how many that were
 *
 * Context: The task that watches.
 * Return: Page frames since tmem_frames_watch().
 */
unsigned long tmem_frames_watched(void)
{
	return given_there;
}

/**
 * tmem_frames_unwatch - count no more
 *
 * Context: The task that watches.
 */
void tmem_frames_unwatch(void)
{
	WRITE_ONCE(giver, NULL);
}

/**
 * tmem_node_of - the memory node of a CPU
 * @cpu: below nr_cpu_ids
 *
 * Context: Any.
 * Return: Its number; of a CPU that may yet come and whose node is not known, any.
 */
unsigned int tmem_node_of(unsigned int cpu)
{
	const int node = cpu_possible(cpu) ? cpu_to_node(cpu) : NUMA_NO_NODE;

	return node >= 0 && node_online(node) ? node : first_online_node;
}

/**
 * tmem_table_alloc - a zeroed table
 * @bytes: its size
 *
 * Context: Process context. May sleep.
 * Return: The table, or NULL; the caller says so in the log, not the allocator.
 */
void *tmem_table_alloc(unsigned long bytes)
{
	return kvzalloc(bytes, GFP_KERNEL | __GFP_NOWARN);
}

/**
 * tmem_table_free - give a table back
 * @table: from tmem_table_alloc()
 * @bytes: its size
 *
 * Context: Process context. May sleep.
 */
void tmem_table_free(void *table, unsigned long bytes)
{
	kvfree(table);
}

/**
 * tmem_memory_start - make the caches
 *
 * Context: Process context. May sleep.
 * Return: 0 or -ENOMEM, and then nothing is left.
 */
int tmem_memory_start(void)
{
	unsigned int kind;

	free_floor = floor_of(totalram_pages());
	for (kind = 0; kind < TMEM_KINDS; kind++) {
		char name[32];

		snprintf(name, sizeof(name), "tmem_%s", tmem_kind_name(kind));
		kind_caches[kind] = kmem_cache_create(name, tmem_kind_bytes(kind),
						      tmem_kind_alignment(kind), 0, NULL);
		if (!kind_caches[kind]) {
			tmem_memory_stop();
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * tmem_memory_stop - remove the caches; every object has been given back
 *
 * Context: Process context. May sleep.
 */
void tmem_memory_stop(void)
{
	unsigned int kind;

	for (kind = 0; kind < TMEM_KINDS; kind++) {
		kmem_cache_destroy(kind_caches[kind]);
		kind_caches[kind] = NULL;
	}
}
