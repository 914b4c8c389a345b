// SPDX-License-Identifier: GPL-2.0
/*
 * engine_zswap.c - the kernel's own zswap, through the functions that it
 * registers with frontswap.
 *
 * Who registers is told who registered before: the chain is the only way to
 * zswap's functions for a module, and it is zswap's whole path (entry, crypto
 * API, zpool, zsmalloc, red-black tree) with nothing imitated. No swap area is
 * needed; zswap keeps a tree for each type once its init was called. Our link
 * of the chain refuses everything and, as there is no unregister, this module
 * stays.
 */
#define pr_fmt(fmt) "tmem_bench: " fmt

#include <linux/errno.h>
#include <linux/frontswap.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/printk.h>

#include "bench.h"

#define SWAP_TYPE 0

static void no_init(unsigned int type) { }
static int no_page(unsigned int type, pgoff_t offset, struct page *page) { return -1; }
static void no_invalidate(unsigned int type, pgoff_t offset) { }
static void no_area(unsigned int type) { }

static struct frontswap_ops link_of_ours = {
	.init = no_init,
	.store = no_page,
	.load = no_page,
	.invalidate_page = no_invalidate,
	.invalidate_area = no_area,
};

bool bench_is_in_chain;

static int start(struct bench_engine *engine, unsigned int pages)
{
	struct frontswap_ops *zswap;

	__module_get(THIS_MODULE);
	bench_is_in_chain = true;
	frontswap_register_ops(&link_of_ours);
	zswap = link_of_ours.next;
	if (!zswap || zswap->next) {
		pr_err("frontswap has %s: switch zswap on, and load tmem with frontswap=0\n",
		       zswap ? "somebody beside zswap" : "no zswap");
		return -ENODEV;
	}
	zswap->init(SWAP_TYPE);
	engine->context = zswap;
	return 0;
}

static void stop(struct bench_engine *engine)
{
	const struct frontswap_ops *zswap = engine->context;

	zswap->invalidate_area(SWAP_TYPE);
}

static int put(void *context, unsigned int number, struct page *page)
{
	const struct frontswap_ops *zswap = context;

	return zswap->store(SWAP_TYPE, number, page);
}

static int get(void *context, unsigned int number, struct page *page)
{
	const struct frontswap_ops *zswap = context;

	return zswap->load(SWAP_TYPE, number, page);
}

static void drop(void *context, unsigned int number)
{
	const struct frontswap_ops *zswap = context;

	zswap->invalidate_page(SWAP_TYPE, number);
}

struct bench_engine bench_zswap = {
	.name = "zswap", .start = start, .stop = stop, .put = put, .get = get, .drop = drop,
};
