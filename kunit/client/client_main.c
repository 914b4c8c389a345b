// SPDX-License-Identifier: GPL-2.0
/*
 * client_main.c - tmem_client.ko: clients of the running host, beside the kernel's own, for scripts/guest/check-clients.
 *
 * (kunit/example is the one to start from.) It makes two clients. One, called
 * "maker", has the weight and the limit of the module's parameters and makes a
 * shared pool of ephemeral pages; the other, "partner", joins it by its uuid.
 * Below /sys/kernel/debug/tmem_client:
 *
 *   put    write N: the maker puts N more pages, each under the next index
 *   held   what the partner finds of them: how many were put, how many are
 *          there, the last of these, how many of these would be gone if always
 *          the oldest went, and how many were wrong
 *
 * Order of going: the clients here, then this module, then tmem.ko, which the
 * kernel does not let go before, as this module uses its symbols. forget=1
 * leaves the clients behind, which is wrong: to see what tmem.ko does then.
 */
#define pr_fmt(fmt) "tmem_client: " fmt

#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "glue/kernel_host.h"

static unsigned int weight = TMEM_WEIGHT_DEFAULT;
module_param(weight, uint, 0444);
MODULE_PARM_DESC(weight, "the maker's weight (default 100)");

static unsigned long long limit_frames = TMEM_NO_LIMIT;
module_param(limit_frames, ullong, 0444);
MODULE_PARM_DESC(limit_frames, "page frames that the maker may have (default: no limit)");

static bool forget;
module_param(forget, bool, 0444);
MODULE_PARM_DESC(forget, "leave the clients behind when unloaded, which is wrong (default 0)");

static const unsigned long long uuid[2] = { 0x746d656d636c6965, 0x6e74706f6f6c3031 };
static const struct tmem_oid oid = { { 1 } };

static struct tmem_client *maker, *partner;
static int pool_of_maker, pool_of_partner;
static unsigned long long pages_put;
static u64 *page;		/* under page_lock, as is what was put */
static DEFINE_MUTEX(page_lock);
static struct dentry *directory;

#define PAGE_WORDS (TMEM_PAGE_BYTES / sizeof(u64))

static u64 word_of(u64 index, unsigned int number)
{
	u64 value = index * PAGE_WORDS + number + 1;

	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9;
	value ^= value >> 27;
	value *= 0x94d049bb133111eb;
	return value ^ value >> 31;
}

/* The first half is noise, the second the index again and again: a little more than half a page is kept of it. */
static void fill(u64 index)
{
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		page[i] = i < PAGE_WORDS / 2 ? word_of(index, i) : index;
}

static bool is_right(u64 index)
{
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		if (page[i] != (i < PAGE_WORDS / 2 ? word_of(index, i) : index))
			return false;
	return true;
}

/* From a shared pool: it stays. One that cannot be read is not right either. */
static bool is_there(u64 index)
{
	const int result = tmem_get(partner, pool_of_partner, &oid, index, page);

	cond_resched();
	if (result == TMEM_CORRUPT)
		memset(page, 0, TMEM_PAGE_BYTES);
	return result == TMEM_OK || result == TMEM_CORRUPT;
}

static int put_set(void *unused, u64 count)
{
	int result = TMEM_OK;

	mutex_lock(&page_lock);
	for (; count && result == TMEM_OK; count--) {
		fill(pages_put);
		result = tmem_put(maker, pool_of_maker, &oid, pages_put, page);
		pages_put += result == TMEM_OK;
		cond_resched();
	}
	mutex_unlock(&page_lock);
	return result;
}
DEFINE_DEBUGFS_ATTRIBUTE(put_fops, NULL, put_set, "%llu\n");

static int held_show(struct seq_file *file, void *unused)
{
	unsigned long long index, held = 0, youngest = 0, wrong = 0, late = 0;

	mutex_lock(&page_lock);
	for (index = 0; index < pages_put; index++) {
		if (!is_there(index))
			continue;
		wrong += !is_right(index);
		held++;
		youngest = index;
	}
	for (index = 0; index < pages_put - held; index++)
		late += is_there(index);
	seq_printf(file, "put %llu\nheld %llu\nyoungest %llu\nlate %llu\nwrong %llu\n", pages_put, held,
		   youngest, late, wrong);
	mutex_unlock(&page_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(held);

static void clean_up(void)
{
	tmem_client_destroy(partner);
	tmem_client_destroy(maker);
	free_page((unsigned long)page);
}

static int __init client_init(void)
{
	struct tmem_host *host = tmem_kernel_host();
	int error = host ? 0 : -ENODEV;

	if (!error)
		error = tmem_client_create(host, "maker", weight, limit_frames, &maker);
	if (!error)
		error = tmem_client_create(host, "partner", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &partner);
	if (!error) {
		pool_of_maker = tmem_new_pool(maker, TMEM_POOL_SHARED, uuid);
		pool_of_partner = tmem_new_pool(partner, TMEM_POOL_SHARED, uuid);
		error = min3(pool_of_maker, pool_of_partner, 0);
	}
	if (!error) {
		page = (u64 *)__get_free_page(GFP_KERNEL);
		error = page ? 0 : -ENOMEM;
	}
	if (error) {
		pr_err("not loaded (error %d)\n", -error);
		clean_up();
		return error;
	}
	directory = debugfs_create_dir("tmem_client", NULL);
	debugfs_create_file("put", 0200, directory, NULL, &put_fops);
	debugfs_create_file("held", 0400, directory, NULL, &held_fops);
	return 0;
}
module_init(client_init);

static void __exit client_exit(void)
{
	debugfs_remove_recursive(directory);
	if (forget)
		free_page((unsigned long)page);
	else
		clean_up();
}
module_exit(client_exit);

MODULE_DESCRIPTION("Clients of tmem, to test beside the kernel's own");
MODULE_LICENSE("GPL");
