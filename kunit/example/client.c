// SPDX-License-Identifier: GPL-2.0
/*
 * client.c - a whole client of tmem in a module of its own: Documentation/abi.md shows it.
 *
 * It keeps pages that are dear to make, those of a multiplication table, and
 * makes again what is not there any more. Loading it asks for each page twice.
 */
#define pr_fmt(fmt) "tmem_example: " fmt

#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/slab.h>

#include "glue/kernel_host.h"	/* tmem_kernel_host(), and core/abi.h */

#define TABLES 3
#define PAGES 200
#define WORDS_PER_PAGE (TMEM_PAGE_BYTES / sizeof(u64))

static struct tmem_client *client;
static int pool;

static void make_page(unsigned int table, unsigned int index, u64 *page)
{
	unsigned int i;

	for (i = 0; i < WORDS_PER_PAGE; i++)
		page[i] = (u64)(table + 1) * (index * WORDS_PER_PAGE + i);
}

/* True: tmem had it. What it has is what was put last, or nothing. */
static bool read_page(unsigned int table, unsigned int index, u64 *page)
{
	const struct tmem_oid oid = { { table } };

	if (tmem_get(client, pool, &oid, index, page) == TMEM_OK)
		return true;
	/* Not there, or (TMEM_CORRUPT) @page is garbage: both are overwritten. */
	make_page(table, index, page);
	return false;
}

/* A page that is not wanted now. If it is refused, it is made again when it is. */
static void drop_page(unsigned int table, unsigned int index, const u64 *page)
{
	const struct tmem_oid oid = { { table } };

	tmem_put(client, pool, &oid, index, page);
}

/* How many of all pages tmem had. */
static unsigned int read_all(u64 *page)
{
	unsigned int table, index, found = 0;

	for (table = 0; table < TABLES; table++)
		for (index = 0; index < PAGES; index++) {
			found += read_page(table, index, page) && page[1] - page[0] == table + 1;
			drop_page(table, index, page);
		}
	return found;
}

static void stop(void)
{
	/* Destroys its pools, and their pages. Nobody calls for them any more. */
	tmem_client_destroy(client);
}

static int __init start(void)
{
	struct tmem_host *host = tmem_kernel_host();
	int error = -ENODEV;

	/* In the kernel's own budget, with half of its weight, and at most 8 MiB of it. */
	if (host)
		error = tmem_client_create(host, "example", TMEM_WEIGHT_DEFAULT / 2, 2048, &client);
	if (error)
		return error;
	pool = tmem_new_pool(client, 0, NULL);
	if (pool < 0)
		stop();
	return min(pool, 0);
}

static int __init example_init(void)
{
	const struct tmem_oid first_table = { { 0 } };
	struct tmem_stats stats;
	unsigned int found;
	u64 *page;
	int error = start();

	if (error)
		return error;
	page = kmalloc(TMEM_PAGE_BYTES, GFP_KERNEL);
	if (!page) {
		stop();
		return -ENOMEM;
	}
	read_all(page);
	found = read_all(page);
	/* The first table changes: what is kept of it must not be found again. */
	tmem_flush_object(client, pool, &first_table);
	if (!tmem_pool_stats(client, pool, &stats))
		pr_info("%u of %u pages came back; %llu are kept, of %llu tables\n",
			found, TABLES * PAGES, stats.pages, stats.objects);
	kfree(page);
	return 0;
}

static void __exit example_exit(void)
{
	stop();
}

module_init(example_init);
module_exit(example_exit);

MODULE_DESCRIPTION("An example of a client of tmem");
MODULE_LICENSE("GPL");
