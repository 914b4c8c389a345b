// SPDX-License-Identifier: GPL-2.0
/*
 * engine_zram.c - zram's disk, page by page.
 *
 * Swap reads and writes a zram disk through its rw_page, without a bio; so do
 * we, with the page in the state in which swap has it (under writeback, or
 * locked). Freeing a swap slot is what it is told of by swap_slot_free_notify.
 */
#define pr_fmt(fmt) "tmem_bench: " fmt

#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/printk.h>

#include "bench.h"

#define DISK "/dev/zram0"
#define MODE (FMODE_READ | FMODE_WRITE)

static int start(struct bench_engine *engine, unsigned int pages)
{
	struct block_device *disk = blkdev_get_by_path(DISK, MODE, NULL);
	const char *wrong = NULL;

	if (IS_ERR(disk)) {
		pr_err("no " DISK " (error %ld)\n", -PTR_ERR(disk));
		return PTR_ERR(disk);
	}
	if (!disk->bd_disk->fops->rw_page || !disk->bd_disk->fops->swap_slot_free_notify)
		wrong = "not a zram disk without a backing device";
	else if (i_size_read(disk->bd_inode) < (u64)pages * PAGE_SIZE)
		wrong = "too small: set disksize";
	if (wrong) {
		pr_err(DISK " is %s\n", wrong);
		blkdev_put(disk, MODE);
		return -EINVAL;
	}
	engine->context = disk;
	return 0;
}

static void stop(struct bench_engine *engine)
{
	blkdev_put(engine->context, MODE);
}

static int rw_page(struct block_device *disk, unsigned int number, struct page *page, unsigned int op)
{
	return disk->bd_disk->fops->rw_page(disk, (sector_t)number << (PAGE_SHIFT - SECTOR_SHIFT), page, op);
}

static int put(void *context, unsigned int number, struct page *page)
{
	int error;

	set_page_writeback(page);
	error = rw_page(context, number, page, REQ_OP_WRITE);
	if (error)
		end_page_writeback(page);
	return error;
}

static int get(void *context, unsigned int number, struct page *page)
{
	int error;

	__SetPageLocked(page);
	error = rw_page(context, number, page, REQ_OP_READ);
	if (error)
		unlock_page(page);
	return error;
}

static void drop(void *context, unsigned int number)
{
	struct block_device *disk = context;

	disk->bd_disk->fops->swap_slot_free_notify(disk, number);
}

struct bench_engine bench_zram = {
	.name = "zram", .start = start, .stop = stop, .put = put, .get = get, .drop = drop,
};
