// SPDX-License-Identifier: GPL-2.0
/*
 * failed_read.c - a page that cannot be read back, where frontswap has no word for it.
 *
 * The frontswap of 5.10 and 6.1 has no word for "I had it, and it is broken". Nonzero
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
 * Swapoff is the exception in 5.10: it maps what it reads without a look at
 * the uptodate flag, for us as for a disk that fails. So the page is zeroed
 * first: nobody sees a foreign page, and a line in the log says which slot.
 * (With a corrupt page of tmpfs, swapoff tries until it is interrupted.)
 */
#include "compat.h"

#if !defined(TMEM_NO_FRONTSWAP) || defined(TMEM_REDIRECT_FRONTSWAP)

#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "swap_area.h"

/* Waits for the unlock of a page whose read failed. */
struct failed_read {
	struct wait_page_queue queued;
	bool hidden;		/* taken out of the swap cache by its flag */
};

/* Called by who unlocks the page, or wakes others for some other reason, under the queue's lock. */
static int on_unlock(wait_queue_entry_t *entry, unsigned int mode, int sync, void *key)
{
	struct failed_read *failed = container_of(entry, struct failed_read, queued.wait);
	struct page *page = tmem_queued_page(&failed->queued);

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

/**
 * tmem_fail_read - make a read fail for everybody, although load returns 0
 * @page: locked, not uptodate and new
 *
 * Context: Process context. May sleep.
 */
void tmem_fail_read(struct page *page)
{
	struct failed_read *failed = kzalloc(sizeof(*failed), GFP_NOIO | __GFP_NOFAIL);

	clear_highpage(page);
	tmem_queue_for(&failed->queued, page);
	failed->queued.bit_nr = PG_locked;
	init_waitqueue_func_entry(&failed->queued.wait, on_unlock);
	failed->hidden = PageSwapCache(page);
	get_page(page);
	if (failed->hidden)
		ClearPageSwapCache(page);
	tmem_add_wait_queue(page, &failed->queued.wait);
}

#endif
