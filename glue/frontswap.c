// SPDX-License-Identifier: GPL-2.0
/*
 * frontswap.c - hook family: swapped-out pages, by the native interface.
 *
 * The kernel calls store in place of writing a page to the swap device, load
 * in place of reading it, invalidate_page when the slot is freed, and init and
 * invalidate_area at swapon and swapoff. swap_area.h has the translation.
 *
 * Contexts: store, load: process context, page locked. invalidate_page: under
 * the area's spinlock. init, invalidate_area: process context, may sleep,
 * serialised by swapon_mutex (frontswap_register_ops() calls init without it,
 * and may call it twice). There is no way to unregister.
 *
 * Cleancache needs to be told, too, whether swap pages are wanted or not. A
 * file that is a swap area is written to by its blocks, and neither swapon nor
 * swapoff drops a page of it or invalidates what cleancache has. So each area's
 * file is remembered, and when the area ends, after its last write and while
 * the inode still says that it is one, the pages of both kinds go. Then we
 * watch only: every store is refused.
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

/**
 * tmem_frontswap_watch - nothing tells when a swap file ends; without CONFIG_SWAP there is none
 *
 * Context: Any.
 */
void tmem_frontswap_watch(void)
{
}

#else

#include <linux/errseq.h>
#include <linux/frontswap.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "swap_area.h"

static bool taking;			/* swapped-out pages are wanted */
static DECLARE_BITMAP(areas, MAX_SWAPFILES);
static struct inode *area_files[MAX_SWAPFILES];	/* with a reference; NULL: a device */

static void begin(unsigned int type)
{
	/* All that is exported is: of which file is this page of the swap cache? */
	struct page page = { };
	struct inode *inode;

	set_page_private(&page, swp_entry(type, 0).val);
	inode = tmem_swap_cache_mapping(&page)->host;
	inode = S_ISREG(inode->i_mode) ? igrab(inode) : NULL;
	iput(xchg(&area_files[type], inode));
	set_bit(type, areas);
	/* Either we see that pages are wanted, or who says so sees the area. */
	smp_mb__after_atomic();
	if (READ_ONCE(taking))
		tmem_swap_area_begin(type);
}

/* What cleancache has of the file goes too. */
static void drop_pages(struct address_space *mapping)
{
	if (!invalidate_inode_pages2(mapping))
		return;
	/* As the kernel does when a direct write leaves a stale page; nothing of the file is put any more. */
	errseq_set(&mapping->wb_err, -EIO);
	pr_warn("a file that was a swap area has pages that cannot be dropped, and may be old\n");
}

static void end(unsigned int type)
{
	struct inode *inode = xchg(&area_files[type], NULL);

	clear_bit(type, areas);
	if (inode)
		drop_pages(inode->i_mapping);
	iput(inode);
	if (READ_ONCE(taking))
		tmem_swap_area_end(type);
}

static int store(unsigned int type, pgoff_t offset, struct page *page)
{
	if (!READ_ONCE(taking))
		return -1;
	/* A huge page comes once, for all its slots, and would be noted for the first only. The disk takes it. */
	if (PageTransHuge(page)) {
		tmem_swap_invalidate(type, offset, thp_nr_pages(page));
		return -1;
	}
	return tmem_swap_store(type, offset, page, 1) == TMEM_OK ? 0 : -1;
}

static int load(unsigned int type, pgoff_t offset, struct page *page)
{
	int result;

	if (!READ_ONCE(taking))
		return -1;
	result = tmem_swap_load(type, offset, page);
	if (unlikely(result == TMEM_CORRUPT)) {
		tmem_fail_read(page);
		return 0;
	}
	/* Not found: another frontswap backend has it, and is asked next. */
	return result == TMEM_OK ? 0 : -1;
}

static void invalidate_page(unsigned int type, pgoff_t offset)
{
	if (READ_ONCE(taking))
		tmem_swap_invalidate(type, offset, 1);
}

static struct frontswap_ops hooks = {
	.init = begin,
	.store = store,
	.load = load,
	.invalidate_page = invalidate_page,
	.invalidate_area = end,
};

/**
 * tmem_frontswap_watch - be told when a swap file ends, and drop its pages
 *
 * There is no way back: it pins the module.
 *
 * Context: Process context, from module_init only. May sleep.
 */
void tmem_frontswap_watch(void)
{
	static bool registered;

	if (registered)
		return;
	registered = true;
	__module_get(THIS_MODULE);
	frontswap_register_ops(&hooks);
}

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

	tmem_swap_start(client, false);
	WRITE_ONCE(taking, true);
	smp_mb();
	for_each_set_bit(type, areas, MAX_SWAPFILES)
		tmem_swap_area_begin(type);
	tmem_frontswap_watch();
	return (struct tmem_attachment){
		.attached = true,
		.permanent = true,
		.how = "native frontswap hooks",
	};
}

#endif /* TMEM_NO_FRONTSWAP */
