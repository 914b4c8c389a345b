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
 */
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
#include <linux/mm.h>

#include "swap_area.h"

static int store(unsigned int type, pgoff_t offset, struct page *page)
{
	/* A huge page comes once, for all its slots, and would be noted for the first only. The disk takes it. */
	if (PageTransHuge(page)) {
		tmem_swap_invalidate(type, offset, thp_nr_pages(page));
		return -1;
	}
	return tmem_swap_store(type, offset, page, 1) == TMEM_OK ? 0 : -1;
}

static int load(unsigned int type, pgoff_t offset, struct page *page)
{
	int result = tmem_swap_load(type, offset, page);

	if (unlikely(result == TMEM_CORRUPT)) {
		tmem_fail_read(page);
		return 0;
	}
	/* Not found: another frontswap backend has it, and is asked next. */
	return result == TMEM_OK ? 0 : -1;
}

static void invalidate_page(unsigned int type, pgoff_t offset)
{
	tmem_swap_invalidate(type, offset, 1);
}

static struct frontswap_ops hooks = {
	.init = tmem_swap_area_begin,
	.store = store,
	.load = load,
	.invalidate_page = invalidate_page,
	.invalidate_area = tmem_swap_area_end,
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
	tmem_swap_start(client, false);
	frontswap_register_ops(&hooks);
	return (struct tmem_attachment){
		.attached = true,
		.permanent = true,
		.how = "native frontswap hooks",
	};
}

#endif /* TMEM_NO_FRONTSWAP */
