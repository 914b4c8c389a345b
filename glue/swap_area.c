// SPDX-License-Identifier: GPL-2.0
/*
 * swap_area.c - swap areas and slots as pools, objects and indices: see swap_area.h.
 *
 * An area that was in use before we came, or whose swapon we do not see, gets
 * its pool when its first page is offered; that is in reclaim, where nothing
 * may wait, so a worker makes it and the page goes to the disk. If it cannot be
 * made, for lack of memory mostly, that is said once, and it is tried again when a page
 * is offered a second later or more: many thousand may be offered in that time.
 *
 * Where the module can be unloaded, an area with a pool pins it: the pages are
 * nowhere else. Swapoff brings them home and lets the module go.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/swap.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "core/abi.h"
#include "left_out.h"
#include "operations.h"
#include "swap_area.h"

#define SLOTS_PER_OBJECT_SHIFT 8
#define SLOTS_PER_OBJECT (1U << SLOTS_PER_OBJECT_SHIFT)
#define NO_POOL (-1)

DEFINE_PER_CPU(struct tmem_swap_counts, tmem_swap_counts);

static struct tmem_client *client_of_areas;
static bool pools_pin;
static int pool_of_type[MAX_SWAPFILES];
static DEFINE_MUTEX(areas_lock);	/* over changes of pool_of_type */
static DECLARE_BITMAP(wanted_types, MAX_SWAPFILES);
static DECLARE_BITMAP(reported_types, MAX_SWAPFILES);	/* have had their line; under areas_lock */
static u64 retry_after;		/* jiffies; no area is wanted before */

static struct tmem_oid oid_of(pgoff_t offset)
{
	return (struct tmem_oid){ { offset >> SLOTS_PER_OBJECT_SHIFT } };
}

static unsigned long long index_of(pgoff_t offset)
{
	return offset & (SLOTS_PER_OBJECT - 1);
}

static void begin_locked(unsigned int type)
{
	int pool;

	/* Once the module is going, it must not get a page that only it would have. */
	if (pool_of_type[type] != NO_POOL || (pools_pin && !try_module_get(THIS_MODULE)))
		return;
	pool = tmem_left_out("swap_pool") ? TMEM_NO_MEMORY :
					    tmem_new_pool(client_of_areas, TMEM_POOL_PERSISTENT, NULL);
	if (pool < 0) {
		WRITE_ONCE(retry_after, get_jiffies_64() + HZ);
		if (!__test_and_set_bit(type, reported_types))
			pr_err("no pool for swap area %u (error %d): its pages are not kept before there is one\n",
			       type, -pool);
		if (pools_pin)
			module_put(THIS_MODULE);
		return;
	}
	__clear_bit(type, reported_types);
	WRITE_ONCE(pool_of_type[type], pool);
}

/**
 * tmem_swap_area_begin - give an area its pool, if it has none
 * @type: the area's number
 *
 * Context: Process context. May sleep.
 */
void tmem_swap_area_begin(unsigned int type)
{
	mutex_lock(&areas_lock);
	begin_locked(type);
	mutex_unlock(&areas_lock);
}

static void begin_wanted(struct work_struct *work)
{
	unsigned int type;

	mutex_lock(&areas_lock);
	for_each_set_bit(type, wanted_types, MAX_SWAPFILES)
		if (test_and_clear_bit(type, wanted_types))
			begin_locked(type);
	mutex_unlock(&areas_lock);
}

static DECLARE_WORK(begin_work, begin_wanted);

/**
 * tmem_swap_area_want - give an area its pool soon
 * @type: the area's number; it cannot go while its page is being stored
 *
 * Context: Any.
 */
void tmem_swap_area_want(unsigned int type)
{
	if (READ_ONCE(pool_of_type[type]) == NO_POOL &&
	    get_jiffies_64() >= READ_ONCE(retry_after) && !test_and_set_bit(type, wanted_types))
		schedule_work(&begin_work);
}

/**
 * tmem_swap_area_end - swapoff: no slot of the area is in use any more
 * @type: the area's number
 *
 * Context: Process context. May sleep.
 */
void tmem_swap_area_end(unsigned int type)
{
	int pool;

	mutex_lock(&areas_lock);
	/* A wish from before: the area's last store is long over. */
	clear_bit(type, wanted_types);
	__clear_bit(type, reported_types);
	pool = pool_of_type[type];
	if (pool != NO_POOL) {
		WRITE_ONCE(pool_of_type[type], NO_POOL);
		tmem_destroy_pool(client_of_areas, pool);
		if (pools_pin)
			module_put(THIS_MODULE);
	}
	mutex_unlock(&areas_lock);
}

/**
 * tmem_swap_store - take the pages of consecutive slots, all or none
 * @type: their area
 * @offset: the first slot
 * @pages: their data, one struct page after another
 * @count: how many
 *
 * Context: Process context; may be reclaim. The folio is locked.
 * Return: 0, or another value and tmem has none of the slots.
 */
int tmem_swap_store(unsigned int type, pgoff_t offset, struct page *pages, unsigned int count)
{
	const int pool = READ_ONCE(pool_of_type[type]);
	unsigned int i;
	int result = TMEM_OK;

	if (pool == NO_POOL)
		return TMEM_NOT_FOUND;
	for (i = 0; result == TMEM_OK && i < count; i++) {
		const struct tmem_oid oid = oid_of(offset + i);
		void *data = tmem_map_page(pages + i);

		result = tmem_hook_put(client_of_areas, pool, &oid, index_of(offset + i), data);
		tmem_unmap_page(data);
	}
	if (result != TMEM_OK)
		tmem_swap_invalidate(type, offset, count);
	return result;
}

/**
 * tmem_swap_load - read a slot; it stays
 * @type: its area
 * @offset: the slot
 * @page: filled on success
 *
 * Context: Process context. The folio is locked.
 * Return: TMEM_OK; TMEM_NOT_FOUND (or another value: not ours); TMEM_CORRUPT,
 * and the page must not be shown to anybody.
 */
int tmem_swap_load(unsigned int type, pgoff_t offset, struct page *page)
{
	const int pool = READ_ONCE(pool_of_type[type]);
	const struct tmem_oid oid = oid_of(offset);
	void *data;
	int result;

	if (pool == NO_POOL)
		return TMEM_NOT_FOUND;
	data = tmem_map_page(page);
	result = tmem_hook_get(client_of_areas, pool, &oid, index_of(offset), data);
	tmem_unmap_page(data);
	if (unlikely(result == TMEM_CORRUPT))
		pr_err_ratelimited("swap area %u, slot %lu: the stored page is corrupt; its readers get SIGBUS or an I/O error\n",
				   type, offset);
	return result;
}

/**
 * tmem_swap_invalidate - slots are free, or have their data elsewhere
 * @type: their area
 * @offset: the first slot
 * @count: how many
 *
 * Context: Any but NMI.
 */
void tmem_swap_invalidate(unsigned int type, pgoff_t offset, unsigned int count)
{
	const int pool = READ_ONCE(pool_of_type[type]);

	if (pool == NO_POOL)
		return;
	while (count) {
		const struct tmem_oid oid = oid_of(offset);
		const unsigned long long index = index_of(offset);
		const unsigned int here = min_t(unsigned int, count, SLOTS_PER_OBJECT - index);

		tmem_hook_flush_range(client_of_areas, pool, &oid, index, index + here - 1);
		offset += here;
		count -= here;
	}
}

/**
 * tmem_swap_counts_sum - what was counted on all CPUs, since the module was loaded
 * @counts: set
 *
 * Context: Any.
 */
void tmem_swap_counts_sum(struct tmem_swap_counts *counts)
{
	unsigned int cpu;

	*counts = (struct tmem_swap_counts){ };
	for_each_possible_cpu(cpu) {
#define ADD_COUNT(name, meaning) counts->name += per_cpu(tmem_swap_counts, cpu).name;
		TMEM_SWAP_COUNTS(ADD_COUNT)
	}
}

/**
 * tmem_swap_start - no area has a pool
 * @client: will own the pools
 * @pinning: an area with a pool keeps the module from being unloaded
 *
 * Context: Process context.
 */
void tmem_swap_start(struct tmem_client *client, bool pinning)
{
	unsigned int type;

	client_of_areas = client;
	pools_pin = pinning;
	for (type = 0; type < MAX_SWAPFILES; type++)
		pool_of_type[type] = NO_POOL;
}

/**
 * tmem_swap_stop - no hook is left, no area has a pool, and none will get one
 *
 * Context: Process context. May sleep.
 */
void tmem_swap_stop(void)
{
	flush_work(&begin_work);
}
