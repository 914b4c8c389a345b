// SPDX-License-Identifier: GPL-2.0
/*
 * frontswap.c - hook family: swapped-out pages, by the native interface.
 *
 * The kernel calls store in place of writing a page to the swap device, load
 * in place of reading it, invalidate_page when the slot is freed, and init and
 * invalidate_area at swapon and swapoff. Translation:
 *
 *   swap type (area)  -> persistent pool, made at swapon, destroyed at swapoff
 *   slot offset       -> object (offset >> 8), index (offset & 255)
 *
 * Why 256 slots to an object. The swap allocator gives each CPU a cluster of
 * 256 slots (SWAPFILE_CLUSTER) to fill, so CPUs that swap out at once work in
 * different objects; and the core hashes each 16 slots of an object to another
 * bucket, so a device's traffic spreads over all locks. An object record for
 * 256 pages is a fraction of a byte a page.
 *
 * A pool for each area makes swapoff quick: the pool is destroyed whole, in
 * batches, and nothing has to be looked up.
 *
 * Contexts: store, load: process context, page locked. invalidate_page: under
 * the area's spinlock. init, invalidate_area: process context, may sleep,
 * serialised by swapon_mutex (frontswap_register_ops() calls init without it,
 * and may call it twice). There is no way to unregister.
 *
 * Loading what cannot be read back
 * --------------------------------
 * The frontswap of 5.10 has no word for "I had it, and it is broken". Nonzero
 * makes swap_readpage() read the slot from the disk, where there is the data
 * of an earlier owner of the slot, or none; zero makes it mark the page
 * uptodate. Both would map wrong data, silently. What a failed disk read
 * leaves is right for us too: a page in the swap cache, unlocked, not
 * uptodate. Then the fault ends in SIGBUS (-EFAULT inside a system call, -EIO
 * from tmpfs), for this and every later reader.
 *
 * After a zero, swap_readpage() does two things: SetPageUptodate() and
 * unlock_page(). Unlocking calls the page's waiters, so we queue one that takes
 * the uptodate flag away again. One gap is left: between the unlock and that
 * call another CPU that faults on the same page can get the lock; and if
 * someone was queued before us, it gets the lock first, and our call comes
 * with its unlock. For that time, the page must look unusable in another way:
 * we take it, by its flag only, out of the swap cache. Whoever gets the lock
 * then finds what it must always expect, that the page has left the swap cache
 * while it waited; it lets go and faults again (do_swap_page(),
 * shmem_swapin_page()). Reclaim and migration see a page without mapping and
 * with references that they cannot account for, and leave it alone; the
 * reference that our waiter holds makes sure of that. The waiter then clears
 * uptodate, puts the swap cache flag back, in this order, and frees itself.
 *
 *	load             swap_readpage      waiter            others
 *	clear swapcache
 *	                 set uptodate
 *	                 unlock -------------------------->   lock; not in the swap
 *	                                    clear uptodate    cache: unlock, retry
 *	                                    set swapcache
 *	                                                      lock; not uptodate:
 *	                                                      SIGBUS
 *
 * A swap-in that bypasses the swap cache (synchronous devices) has its page to
 * itself; there the waiter alone does it.
 *
 * Swapoff is the exception: in 5.10 it maps what it reads without a look at
 * the uptodate flag, for us as for a disk that fails. So the page is zeroed
 * first: nobody sees a foreign page, and a line in the log says which slot.
 * (With a corrupt page of tmpfs, swapoff tries until it is interrupted.)
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"
#include "glue.h"

#ifdef TMEM_NO_FRONTSWAP

/**
 * tmem_frontswap_attach - say why there is nothing to attach to
 * @client: unused
 *
 * Context: Any.
 * Return: Not attached.
 */
struct tmem_attachment tmem_frontswap_attach(struct tmem_client *client)
{
	return (struct tmem_attachment){ .how = TMEM_NO_FRONTSWAP };
}

#else

#include <linux/frontswap.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/wait.h>

#define SLOTS_PER_OBJECT_SHIFT 8
#define NO_POOL (-1)

static struct tmem_client *client_of_hooks;
static int pool_of_type[MAX_SWAPFILES];

static struct tmem_oid oid_of(pgoff_t offset)
{
	return (struct tmem_oid){ { offset >> SLOTS_PER_OBJECT_SHIFT } };
}

static unsigned long long index_of(pgoff_t offset)
{
	return offset & ((1UL << SLOTS_PER_OBJECT_SHIFT) - 1);
}

static void init(unsigned int type)
{
	int pool;

	if (pool_of_type[type] != NO_POOL)
		return;
	pool = tmem_new_pool(client_of_hooks, TMEM_POOL_PERSISTENT, NULL);
	if (pool < 0) {
		pr_err("no pool for swap area %u (error %d): its pages are not kept\n", type, -pool);
		return;
	}
	WRITE_ONCE(pool_of_type[type], pool);
}

static void invalidate_area(unsigned int type)
{
	int pool = pool_of_type[type];

	if (pool == NO_POOL)
		return;
	WRITE_ONCE(pool_of_type[type], NO_POOL);
	tmem_destroy_pool(client_of_hooks, pool);
}

static int store(unsigned int type, pgoff_t offset, struct page *page)
{
	struct tmem_oid oid = oid_of(offset);
	void *data;
	int result;

	/* A huge page comes once, for all its slots, and would go unsplit. The disk takes it. */
	if (PageTransHuge(page))
		return -1;
	data = kmap_atomic(page);
	result = tmem_put(client_of_hooks, READ_ONCE(pool_of_type[type]), &oid, index_of(offset), data);
	kunmap_atomic(data);
	return result == TMEM_OK ? 0 : -1;
}

/* Waits for the unlock of a page whose read failed. */
struct failed_read {
	struct wait_page_queue queued;
	bool hidden;		/* taken out of the swap cache by its flag */
};

/* Called by who unlocks the page, or wakes others for some other reason, under the queue's lock. */
static int on_unlock(wait_queue_entry_t *entry, unsigned int mode, int sync, void *key)
{
	struct failed_read *failed = container_of(entry, struct failed_read, queued.wait);
	struct page *page = failed->queued.page;

	if (!wake_page_match(&failed->queued, key))
		return 0;
	list_del(&entry->entry);
	ClearPageUptodate(page);
	if (failed->hidden) {
		/* Whoever sees the page in the swap cache again must see it not uptodate. */
		smp_mb__after_atomic();
		SetPageSwapCache(page);
	}
	/* Never the last: who unlocks a page has a reference. */
	put_page(page);
	kfree(failed);
	return 0;
}

/*
 * Makes the read of @page fail for everybody although load returns 0; see the
 * head of this file. @page is locked, not uptodate and new, so may sleep.
 */
static void fail_read(struct page *page)
{
	struct failed_read *failed = kzalloc(sizeof(*failed), GFP_NOIO | __GFP_NOFAIL);

	clear_highpage(page);
	failed->queued.page = page;
	failed->queued.bit_nr = PG_locked;
	init_waitqueue_func_entry(&failed->queued.wait, on_unlock);
	failed->hidden = PageSwapCache(page);
	get_page(page);
	if (failed->hidden)
		ClearPageSwapCache(page);
	add_page_wait_queue(page, &failed->queued.wait);
}

static int load(unsigned int type, pgoff_t offset, struct page *page)
{
	struct tmem_oid oid = oid_of(offset);
	void *data = kmap_atomic(page);
	int result = tmem_get(client_of_hooks, READ_ONCE(pool_of_type[type]), &oid, index_of(offset),
			      data);

	kunmap_atomic(data);
	if (unlikely(result == TMEM_CORRUPT)) {
		fail_read(page);
		if (oom_task_origin(current))
			pr_err_ratelimited("swap area %u, slot %lu: the stored page is corrupt; swapoff gives its owners zeros\n",
					   type, offset);
		else
			pr_err_ratelimited("swap area %u, slot %lu: the stored page is corrupt; its readers get SIGBUS or an I/O error\n",
					   type, offset);
		return 0;
	}
	/* Not found: another frontswap backend has it, and is asked next. */
	return result == TMEM_OK ? 0 : -1;
}

static void invalidate_page(unsigned int type, pgoff_t offset)
{
	struct tmem_oid oid = oid_of(offset);

	tmem_flush_page(client_of_hooks, READ_ONCE(pool_of_type[type]), &oid, index_of(offset));
}

static struct frontswap_ops hooks = {
	.init = init,
	.store = store,
	.load = load,
	.invalidate_page = invalidate_page,
	.invalidate_area = invalidate_area,
};

/**
 * tmem_frontswap_attach - take the pages of every swap area
 * @client: owns the pools; lives as long as the module from now on
 *
 * Context: Process context. May sleep. The caller has pinned the module.
 * Return: Attached for good.
 */
struct tmem_attachment tmem_frontswap_attach(struct tmem_client *client)
{
	unsigned int type;

	client_of_hooks = client;
	for (type = 0; type < MAX_SWAPFILES; type++)
		pool_of_type[type] = NO_POOL;
	frontswap_register_ops(&hooks);
	return (struct tmem_attachment){
		.attached = true,
		.permanent = true,
		.how = "native frontswap hooks",
	};
}

#endif /* TMEM_NO_FRONTSWAP */
