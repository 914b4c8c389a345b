// SPDX-License-Identifier: GPL-2.0
/*
 * blockdev.c - hook family: swapped-out pages, by a block device.
 *
 * For kernels where nothing may be hooked. /dev/tmem0 lies over a real block
 * device, the backing device, and has its size. A page written to it is put
 * into a persistent pool, and only what the pool refuses goes on to the
 * backing device. The administrator moves the swap area onto it. Everything
 * used here is an interface that drivers may use.
 *
 *	        bio
 *	         │ unit = 4 KiB
 *	    stored bit? ── set ──> pool        read: from here, or an I/O error
 *	         │
 *	         └─ clear ───────> backing     read, and write that the pool refused
 *
 * Where the newest data is
 * ------------------------
 * The bit decides, not the pool. With it set, a read is answered by the pool
 * or fails; it never falls back to the backing device, where there is the data
 * of an earlier write. So a page that is corrupt, or gone for whatever reason,
 * is an I/O error (SIGBUS for the owner of a swapped-out page), and so is a
 * unit whose write the backing device failed after the pool had dropped the
 * older data. On 5.10 swapoff maps a page whose read failed as it is; it finds
 * zeros in it.
 *
 * Races
 * -----
 * A second bit is the unit's lock; whoever waits sleeps. It is held
 *
 *   - by a write: over the put, and if the put is refused, until the backing
 *     device has the data. A put that is refused has dropped the older page,
 *     so a read that came in between would find on the backing device what
 *     was there before that one;
 *   - by a read: while it looks at the bit and copies from the pool. A read
 *     that goes to the backing device lets go before: what is there when it
 *     starts is the newest, and a write that starts later races with it as on
 *     any disk. Whether it reads whole old or whole new data then is up to the
 *     backing device, with sectors of 4 KiB at least;
 *   - by a discard and by write-back, for as long as they work on the unit.
 *
 * A write that the pool accepts may overtake a read or, after a discard, an
 * older write on the backing device: the bit is set, so nobody reads that.
 *
 * No deadlock: who holds a lock and has not yet submitted the I/O that will
 * release it never waits for another (a run of units is extended by trylock
 * only). submit_bio() returns after it has passed one part of a bio down and
 * queues the rest behind it; the block layer submits what is for a lower
 * device first, so that a lock we wait for, or a reserved bio, belongs to I/O
 * that is under way. swap_slot_free_notify() comes under spinlocks and tries
 * only; if the unit is busy, its page stays until it is written again, or
 * written back.
 *
 * Nothing on this path allocates memory but the bios passed down, and they
 * have a reserve.
 *
 * What is durable
 * ---------------
 * A page in the pool is lost when the machine goes down. For swap that is as
 * it should be. But a block device gets opened by anybody, so this one keeps
 * the promises of a disk with a volatile write cache:
 *
 *   - a flush request writes every stored page to the backing device, then
 *     flushes that. Swap never asks for it; a file system does, on fsync;
 *   - a write with FUA, and every write to unit 0, goes to the backing device
 *     at once. In unit 0 lie the signatures of swap areas and most file
 *     systems: the backing device can be recognised without us;
 *   - the last close writes every stored page back (after swapoff there is
 *     none: the slots have been freed). So with the device closed the backing
 *     device is complete and the module may go; while it is open, the kernel
 *     holds the module. Pages that cannot be written back (the backing device
 *     fails, or the page is corrupt) hold the module as well, and their reads
 *     go on failing rather than give older data.
 *
 * Writing back at the last close and not at unloading: then there is never a
 * time when the device is closed, the backing device looks free, and part of
 * its data is elsewhere. Emptying the pool without writing would do for swap;
 * but we cannot know that it was swap.
 *
 * Hibernation writes its image to swap and powers off: it is refused while the
 * device is open.
 *
 * Limits. One device. Bios pass without I/O statistics of our own. Swap areas
 * on it are not "synchronous" to the kernel, although the pool is: readahead
 * stays on, for the part that is on the backing device. A put reads the page
 * in place, so the device asks for stable pages, like zram.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"
#include "glue.h"

#ifdef TMEM_NO_BLOCKDEV

/**
 * tmem_blockdev_attach - say why there can be no block device
 * @client: unused
 * @backing: unused
 *
 * Context: Any.
 * Return: Not attached.
 */
struct tmem_attachment tmem_blockdev_attach(struct tmem_client *client, const char *backing)
{
	return (struct tmem_attachment){ .how = TMEM_NO_BLOCKDEV };
}

/**
 * tmem_blockdev_detach - nothing to undo
 *
 * Context: Any.
 */
void tmem_blockdev_detach(void)
{
}

#else

#include <linux/bio.h>
#include <linux/bitmap.h>
#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/suspend.h>
#include <linux/vmalloc.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "operations.h"

#define NAME "tmem0"
#define UNIT_SECTORS (TMEM_PAGE_BYTES >> SECTOR_SHIFT)
#define UNITS_PER_OBJECT_SHIFT 8	/* as in frontswap.c: a cluster of the swap allocator */
#define PARTS_RESERVED 64		/* bios that can be passed down with no memory left */
#define WRITE_BACK_UNITS 32		/* most units in one write of write-back */
#define NO_POOL (-1)

static struct tmem_client *pages_client;
static int pool = NO_POOL;

static const char *backing_name;
static struct block_device *backing_device;

static struct gendisk *disk;
static int major;

static unsigned long units;
static unsigned long *stored;		/* bit: the newest data is in the pool, or nowhere */
static unsigned long *busy;		/* bit: the unit's lock, and that of its stored bit */

/* A part of a bio, on its way to the backing device. */
struct part {
	struct bio *whole;
	unsigned long first_unit;
	unsigned long locked_units;	/* 0 for a read */
	struct bio bio;			/* last: the bio set ends here */
};

static struct bio_set parts;

/* For a unit that is not one whole page in memory. */
static DEFINE_MUTEX(bounce_mutex);
static void *bounce;

static DEFINE_MUTEX(write_back_mutex);
static struct page *write_back_pages[WRITE_BACK_UNITS];
static struct bio_vec write_back_table[WRITE_BACK_UNITS];

static struct workqueue_struct *flush_queue;
static DEFINE_SPINLOCK(flush_lock);
static struct bio_list flushes = BIO_EMPTY_LIST;

static DEFINE_MUTEX(users_mutex);
static unsigned int users;
static bool holds_module;		/* pages are left that could not be written back */

/* ---- A unit: locked, asked for, dropped ---------------------------------------------------------- */

static void lock_unit(unsigned long unit)
{
	wait_on_bit_lock_io(&busy[BIT_WORD(unit)], unit % BITS_PER_LONG, TASK_UNINTERRUPTIBLE);
}

static bool try_lock_unit(unsigned long unit)
{
	return !test_and_set_bit_lock(unit, busy);
}

static void unlock_unit(unsigned long unit)
{
	clear_and_wake_up_bit(unit % BITS_PER_LONG, &busy[BIT_WORD(unit)]);
}

static struct tmem_oid oid_of(unsigned long unit)
{
	return (struct tmem_oid){ { unit >> UNITS_PER_OBJECT_SHIFT } };
}

static unsigned long long index_of(unsigned long unit)
{
	return unit & ((1UL << UNITS_PER_OBJECT_SHIFT) - 1);
}

/* The unit is locked. */
static void drop(unsigned long unit)
{
	struct tmem_oid oid = oid_of(unit);

	if (!test_bit(unit, stored))
		return;
	tmem_hook_flush_page(pages_client, pool, &oid, index_of(unit));
	clear_bit(unit, stored);
}

/* The unit is locked. False: the pool has nothing under it any more. */
static bool put(unsigned long unit, const void *data)
{
	struct tmem_oid oid = oid_of(unit);

	if (tmem_hook_put(pages_client, pool, &oid, index_of(unit), data) != TMEM_OK)
		return false;
	set_bit(unit, stored);
	return true;
}

/* The unit is locked, and its bit set. False: @data is zeros, the data is lost. */
static bool get(unsigned long unit, void *data)
{
	struct tmem_oid oid = oid_of(unit);
	int result = tmem_hook_get(pages_client, pool, &oid, index_of(unit), data);

	if (likely(result == TMEM_OK))
		return true;
	memset(data, 0, TMEM_PAGE_BYTES);
	pr_err_ratelimited("/dev/" NAME ", page %lu: %s; its readers get SIGBUS or an I/O error\n", unit,
			   result == TMEM_CORRUPT ? "the stored page is corrupt" :
						    "its last write failed");
	return false;
}

/* ---- Bios: what the pool serves ------------------------------------------------------------------ */

/* Between the bounce page and the unit at @at; bounce_mutex is held. */
static void copy_unit(struct bio *bio, struct bvec_iter at, bool to_bio)
{
	struct bvec_iter iter;
	struct bio_vec piece;
	void *next = bounce;

	at.bi_size = TMEM_PAGE_BYTES;
	__bio_for_each_segment(piece, bio, iter, at) {
		void *data = page_address(piece.bv_page) + piece.bv_offset;

		if (to_bio) {
			memcpy(data, next, piece.bv_len);
			flush_dcache_page(piece.bv_page);
		} else {
			memcpy(next, data, piece.bv_len);
		}
		next += piece.bv_len;
	}
}

static bool write_unit(struct bio *bio, struct bvec_iter at, unsigned long unit)
{
	struct bio_vec piece = bio_iter_iovec(bio, at);
	bool done = false;

	if (unit == 0 || (bio->bi_opf & (REQ_FUA | REQ_PREFLUSH))) {
		/* To be durable. */
	} else if (likely(piece.bv_len == TMEM_PAGE_BYTES)) {
		done = put(unit, page_address(piece.bv_page) + piece.bv_offset);
	} else {
		mutex_lock(&bounce_mutex);
		copy_unit(bio, at, false);
		done = put(unit, bounce);
		mutex_unlock(&bounce_mutex);
	}
	if (!done)
		drop(unit);
	return done;
}

static bool read_unit(struct bio *bio, struct bvec_iter at, unsigned long unit)
{
	struct bio_vec piece = bio_iter_iovec(bio, at);
	bool good;

	if (!test_bit(unit, stored))
		return false;
	if (likely(piece.bv_len == TMEM_PAGE_BYTES)) {
		good = get(unit, page_address(piece.bv_page) + piece.bv_offset);
		flush_dcache_page(piece.bv_page);
	} else {
		mutex_lock(&bounce_mutex);
		good = get(unit, bounce);
		copy_unit(bio, at, true);
		mutex_unlock(&bounce_mutex);
	}
	if (!good)
		bio->bi_status = BLK_STS_IOERR;
	return true;
}

/* ---- Bios: what the backing device serves -------------------------------------------------------- */

static void remap(struct bio *bio)
{
	bio_set_dev(bio, backing_device);
	submit_bio_noacct(bio);
}

static void part_done(struct bio *bio)
{
	struct part *part = container_of(bio, struct part, bio);
	struct bio *whole = part->whole;
	unsigned long unit = part->first_unit;
	unsigned long end = unit + part->locked_units;

	if (bio->bi_status)
		whole->bi_status = bio->bi_status;
	for (; unit < end; unit++) {
		/* The pool's page is gone and this one did not arrive: no data is the newest. */
		if (bio->bi_status)
			set_bit(unit, stored);
		unlock_unit(unit);
	}
	bio_put(bio);
	bio_endio(whole);
}

/* Passes the first @bytes of @whole down, and goes on with what comes after @done bytes. */
static void pass_down(struct bio *whole, unsigned int bytes, unsigned int done)
{
	bool writes = op_is_write(bio_op(whole));
	bool more = done < whole->bi_iter.bi_size;
	struct part *part;
	struct bio *bio;

#ifdef TMEM_BDEV_BIO_HAS_DEVICE
	bio = bio_alloc_clone(backing_device, whole, GFP_NOIO, &parts);
#else
	bio = bio_clone_fast(whole, GFP_NOIO, &parts);
	bio_set_dev(bio, backing_device);
#endif
	part = container_of(bio, struct part, bio);
	part->whole = whole;
	part->first_unit = bio->bi_iter.bi_sector / UNIT_SECTORS;
	part->locked_units = writes ? bytes / TMEM_PAGE_BYTES : 0;
	bio->bi_iter.bi_size = bytes;
	bio->bi_end_io = part_done;

	if (more) {
		bio_inc_remaining(whole);
		bio_advance(whole, done);
	}
	submit_bio_noacct(bio);
	if (more)
		submit_bio_noacct(whole);
}

static void transfer(struct bio *bio)
{
	bool writes = op_is_write(bio_op(bio));

	while (bio->bi_iter.bi_size) {
		struct bvec_iter at = bio->bi_iter;
		unsigned long unit = at.bi_sector / UNIT_SECTORS;
		unsigned int bytes = 0;		/* for the backing device */
		unsigned int served = 0;	/* by the pool, after them */

		lock_unit(unit);
		for (;;) {
			if (writes ? write_unit(bio, at, unit) : read_unit(bio, at, unit)) {
				unlock_unit(unit);
				served = TMEM_PAGE_BYTES;
				break;
			}
			/* A write keeps the lock until the data is there. */
			if (!writes)
				unlock_unit(unit);
			bytes += TMEM_PAGE_BYTES;
			if (bytes == bio->bi_iter.bi_size || !try_lock_unit(unit + 1))
				break;
			unit++;
			bio_advance_iter(bio, &at, TMEM_PAGE_BYTES);
		}
		if (bytes) {
			if (!writes && bytes == bio->bi_iter.bi_size)
				remap(bio);
			else
				pass_down(bio, bytes, bytes + served);
			return;
		}
		bio_advance(bio, TMEM_PAGE_BYTES);
	}
	bio_endio(bio);
}

static bool backing_discards(void)
{
#ifdef TMEM_BDEV_NO_DISCARD_FLAG
	return bdev_max_discard_sectors(backing_device);
#else
	return blk_queue_discard(bdev_get_queue(backing_device));
#endif
}

static void discard(struct bio *bio)
{
	unsigned long unit = bio->bi_iter.bi_sector / UNIT_SECTORS;
	unsigned long end = unit + bio_sectors(bio) / UNIT_SECTORS;

	for (unit = find_next_bit(stored, end, unit); unit < end;
	     unit = find_next_bit(stored, end, unit + 1)) {
		lock_unit(unit);
		drop(unit);
		unlock_unit(unit);
		cond_resched();
	}
	if (backing_discards())
		remap(bio);
	else
		bio_endio(bio);
}

/* ---- Write-back ---------------------------------------------------------------------------------- */

static int write_pages(unsigned long first, unsigned int count)
{
	struct bio bio;
	unsigned int n;
	int error;

#ifdef TMEM_BDEV_BIO_HAS_DEVICE
	bio_init(&bio, backing_device, write_back_table, WRITE_BACK_UNITS, REQ_OP_WRITE);
#else
	bio_init(&bio, write_back_table, WRITE_BACK_UNITS);
	bio_set_dev(&bio, backing_device);
	bio.bi_opf = REQ_OP_WRITE;
#endif
	bio.bi_iter.bi_sector = (sector_t)first * UNIT_SECTORS;
	for (n = 0; n < count; n++)
		__bio_add_page(&bio, write_back_pages[n], TMEM_PAGE_BYTES, 0);
	error = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return error;
}

/* From @first on, as many stored units as are in one row and not busy. Returns the first not looked at. */
static unsigned long write_back_run(unsigned long first, unsigned long *failed)
{
	unsigned long unit = first;
	unsigned int n, count = 0;
	int error;

	lock_unit(unit);
	for (;;) {
		if (!test_bit(unit, stored) || !get(unit, page_address(write_back_pages[count]))) {
			if (test_bit(unit, stored))
				++*failed;
			unlock_unit(unit++);
			break;
		}
		unit++;
		if (++count == WRITE_BACK_UNITS || unit == units || !try_lock_unit(unit))
			break;
	}
	if (!count)
		return unit;
	error = write_pages(first, count);
	if (error)
		*failed += count;
	for (n = 0; n < count; n++) {
		if (!error)
			drop(first + n);
		unlock_unit(first + n);
	}
	return unit;
}

/* Returns how many pages could not be written and are still stored. */
static unsigned long write_back(void)
{
	unsigned long unit, failed = 0;

	mutex_lock(&write_back_mutex);
	for (unit = find_first_bit(stored, units); unit < units;
	     unit = find_next_bit(stored, units, unit)) {
		unit = write_back_run(unit, &failed);
		cond_resched();
	}
	mutex_unlock(&write_back_mutex);
	return failed;
}

/* Not in submit_bio(): there, the bios that we would wait for are only queued. */
static void write_back_and_flush(struct work_struct *work)
{
	struct bio_list now;
	unsigned long failed;
	struct bio *bio;

	spin_lock(&flush_lock);
	now = flushes;
	bio_list_init(&flushes);
	spin_unlock(&flush_lock);

	failed = write_back();
	while ((bio = bio_list_pop(&now))) {
		if (failed)
			bio_io_error(bio);
		else if (!bio_sectors(bio))
			remap(bio);
		else
			transfer(bio);
	}
}

static DECLARE_WORK(flush_requests, write_back_and_flush);

/* ---- What the block layer calls ------------------------------------------------------------------ */

static void serve(struct bio *bio)
{
	/* The block layer grants whole blocks to user space, its other callers not always. */
	if (unlikely((bio->bi_iter.bi_sector | bio_sectors(bio)) % UNIT_SECTORS)) {
		bio_io_error(bio);
		return;
	}
	switch (bio_op(bio)) {
	case REQ_OP_READ:
	case REQ_OP_WRITE:
		if (!(bio->bi_opf & REQ_PREFLUSH)) {
			transfer(bio);
			break;
		}
		spin_lock(&flush_lock);
		bio_list_add(&flushes, bio);
		spin_unlock(&flush_lock);
		queue_work(flush_queue, &flush_requests);
		break;
	case REQ_OP_DISCARD:
		discard(bio);
		break;
	default:
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
	}
}

static TMEM_BDEV_COOKIE submit(struct bio *bio)
{
	serve(bio);
	return TMEM_BDEV_NO_COOKIE;
}

/* Under the spinlocks of the swap area. Nobody reads or writes a slot that is being freed. */
static void slot_freed(struct block_device *device, unsigned long slot)
{
	if (slot >= units || !try_lock_unit(slot))
		return;
	drop(slot);
	unlock_unit(slot);
}

static void opened(void)
{
	mutex_lock(&users_mutex);
	users++;
	mutex_unlock(&users_mutex);
}

/* The page cache of the device has been written before. */
static void closed(void)
{
	unsigned long failed;

	mutex_lock(&users_mutex);
	if (--users == 0) {
		failed = write_back();
		if (failed && !holds_module)
			__module_get(THIS_MODULE);
		if (!failed && holds_module)
			module_put(THIS_MODULE);
		holds_module = failed;
		if (failed)
			pr_err("/dev/" NAME ": pages that could not be written to %s and are kept: %lu; the module cannot be unloaded until a later close writes them, or they are discarded (blkdiscard /dev/" NAME ")\n",
			       backing_name, failed);
	}
	mutex_unlock(&users_mutex);
}

#ifdef TMEM_BDEV_HOLDER_OPS

static int open(struct gendisk *of, blk_mode_t mode)
{
	opened();
	return 0;
}

static void release(struct gendisk *of)
{
	closed();
}

#else

static int open(struct block_device *device, fmode_t mode)
{
	opened();
	return 0;
}

static void release(struct gendisk *of, fmode_t mode)
{
	closed();
}

#endif

static const struct block_device_operations operations = {
	.owner = THIS_MODULE,
	.submit_bio = submit,
	.open = open,
	.release = release,
	.swap_slot_free_notify = slot_freed,
};

static int power_event(struct notifier_block *block, unsigned long event, void *unused)
{
	bool in_use;

	if (event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	mutex_lock(&users_mutex);
	in_use = users;
	mutex_unlock(&users_mutex);
	if (!in_use)
		return NOTIFY_DONE;
	pr_err("hibernation refused: /dev/" NAME " is in use, and an image written to it would be lost; swapoff it first\n");
	return NOTIFY_BAD;
}

static struct notifier_block power_notifier = { .notifier_call = power_event };

/* ---- The backing device -------------------------------------------------------------------------- */

/* Opened exclusively: not while it is mounted or a swap area, and nobody can make it so after. */
#if defined(TMEM_BDEV_IS_FILE)

static struct file *backing_file;

static int open_backing(void)
{
	backing_file = bdev_file_open_by_path(backing_name, BLK_OPEN_READ | BLK_OPEN_WRITE, &units, NULL);
	if (IS_ERR(backing_file))
		return PTR_ERR(backing_file);
	backing_device = file_bdev(backing_file);
	return 0;
}

static void close_backing(void)
{
	bdev_fput(backing_file);
}

#elif defined(TMEM_BDEV_HOLDER_OPS)

static int open_backing(void)
{
	backing_device = blkdev_get_by_path(backing_name, BLK_OPEN_READ | BLK_OPEN_WRITE, &units, NULL);
	return PTR_ERR_OR_ZERO(backing_device);
}

static void close_backing(void)
{
	blkdev_put(backing_device, &units);
}

#else

static int open_backing(void)
{
	backing_device = blkdev_get_by_path(backing_name, FMODE_READ | FMODE_WRITE | FMODE_EXCL, &units);
	return PTR_ERR_OR_ZERO(backing_device);
}

static void close_backing(void)
{
	blkdev_put(backing_device, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
}

#endif

static unsigned long backing_units(void)
{
#ifdef TMEM_BDEV_ADD_CAN_FAIL
	return bdev_nr_sectors(backing_device) / UNIT_SECTORS;
#else
	return i_size_read(backing_device->bd_inode) / TMEM_PAGE_BYTES;
#endif
}

static const char *take_backing(void)
{
	int error = open_backing();

	switch (error) {
	case 0:
		break;
	case -ENOENT:
		pr_err("backing=%s does not exist\n", backing_name);
		return "backing= does not exist";
	case -ENOTBLK:
		pr_err("backing=%s is not a block device; for a file, give the loop device that losetup -f --show %s prints\n",
		       backing_name, backing_name);
		return "backing= is not a block device";
	case -EBUSY:
		pr_err("backing=%s is in use: mounted, a swap area, or part of another device\n",
		       backing_name);
		return "backing= is in use";
	case -EACCES:
	case -EPERM:
	case -EROFS:
		pr_err("backing=%s is read-only\n", backing_name);
		return "backing= is read-only";
	default:
		pr_err("backing=%s cannot be opened (error %d)\n", backing_name, -error);
		return "backing= cannot be opened";
	}

	units = backing_units();
	if (units > 1 && bdev_logical_block_size(backing_device) <= TMEM_PAGE_BYTES)
		return NULL;
	pr_err("backing=%s does not fit: it has %lu pages in blocks of %u bytes, and must have 2 or more in blocks of at most %u\n",
	       backing_name, units, bdev_logical_block_size(backing_device), TMEM_PAGE_BYTES);
	close_backing();
	return "backing= does not fit";
}

/* ---- The disk ------------------------------------------------------------------------------------ */

/* Made as a queue's limits can be said: all blocks are units, so that no access is to a part of one. */
static int make_disk(void)
{
#ifdef TMEM_BDEV_FEATURES
	struct queue_limits limits = {
		.logical_block_size = TMEM_PAGE_BYTES,
		.physical_block_size = TMEM_PAGE_BYTES,
		.io_min = TMEM_PAGE_BYTES,
		.discard_granularity = TMEM_PAGE_BYTES,
		.max_hw_discard_sectors = UINT_MAX / TMEM_PAGE_BYTES * UNIT_SECTORS,
		.features = BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA | BLK_FEAT_STABLE_WRITES,
	};

	disk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	return PTR_ERR_OR_ZERO(disk);
#else
	struct request_queue *queue;

#ifdef TMEM_BDEV_ADD_CAN_FAIL
	disk = blk_alloc_disk(NUMA_NO_NODE);
	if (!disk)
		return -ENOMEM;
#else
	disk = alloc_disk(1);
	if (!disk)
		return -ENOMEM;
	disk->queue = blk_alloc_queue(NUMA_NO_NODE);
	if (!disk->queue) {
		put_disk(disk);
		return -ENOMEM;
	}
#endif
	queue = disk->queue;
	blk_queue_logical_block_size(queue, TMEM_PAGE_BYTES);
	blk_queue_physical_block_size(queue, TMEM_PAGE_BYTES);
	blk_queue_io_min(queue, TMEM_PAGE_BYTES);
	queue->limits.discard_granularity = TMEM_PAGE_BYTES;
	blk_queue_max_discard_sectors(queue, UINT_MAX / TMEM_PAGE_BYTES * UNIT_SECTORS);
#ifndef TMEM_BDEV_NO_DISCARD_FLAG
	blk_queue_flag_set(QUEUE_FLAG_DISCARD, queue);
#endif
	blk_queue_write_cache(queue, true, true);
	blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, queue);
	blk_queue_flag_set(QUEUE_FLAG_NONROT, queue);
	return 0;
#endif
}

static void free_disk(void)
{
#ifndef TMEM_BDEV_NO_DISCARD_FLAG
	blk_cleanup_queue(disk->queue);
#endif
	put_disk(disk);
}

/* From here on it can be opened. */
static int show_disk(void)
{
	disk->major = major;
	disk->first_minor = 0;
	disk->minors = 1;
	disk->flags |= TMEM_BDEV_DISK_FLAGS;
	disk->fops = &operations;
	strscpy(disk->disk_name, NAME, sizeof(disk->disk_name));
	set_capacity(disk, (sector_t)units * UNIT_SECTORS);
#ifdef TMEM_BDEV_ADD_CAN_FAIL
	return add_disk(disk);
#else
	add_disk(disk);
	return 0;
#endif
}

static void free_memory(void)
{
	unsigned int n;

	for (n = 0; n < WRITE_BACK_UNITS; n++) {
		if (write_back_pages[n])
			__free_page(write_back_pages[n]);
		write_back_pages[n] = NULL;
	}
	free_page((unsigned long)bounce);
	bounce = NULL;
	if (flush_queue)
		destroy_workqueue(flush_queue);
	flush_queue = NULL;
	bioset_exit(&parts);
	vfree(busy);
	vfree(stored);
}

static int take_memory(void)
{
	unsigned long bytes = BITS_TO_LONGS(units) * sizeof(unsigned long);
	bool all = true;
	unsigned int n;

	stored = vzalloc(bytes);
	busy = vzalloc(bytes);
	bounce = (void *)__get_free_page(GFP_KERNEL);
	flush_queue = alloc_ordered_workqueue("tmem_flush", WQ_MEM_RECLAIM);
	for (n = 0; n < WRITE_BACK_UNITS; n++) {
		write_back_pages[n] = alloc_page(GFP_KERNEL);
		all = all && write_back_pages[n];
	}
	if (!bioset_init(&parts, PARTS_RESERVED, offsetof(struct part, bio), 0) && all && stored && busy &&
	    bounce && flush_queue)
		return 0;
	free_memory();
	return -ENOMEM;
}

/**
 * tmem_blockdev_attach - make /dev/tmem0 over a block device
 * @client: owns the pool; lives until tmem_blockdev_detach() has returned
 * @backing: path of the block device; lives as long
 *
 * Context: Process context. May sleep. The caller has pinned the module.
 * Return: Attached until tmem_blockdev_detach(), or not, with a line in the log that says why.
 */
struct tmem_attachment tmem_blockdev_attach(struct tmem_client *client, const char *backing)
{
	const char *step;
	int error;

	pages_client = client;
	backing_name = backing;
	step = take_backing();
	if (step)
		return (struct tmem_attachment){ .how = step };

	step = "no memory for the block device";
	error = take_memory();
	if (error)
		goto failed;
	step = "no pool for the block device";
	pool = error = tmem_new_pool(client, TMEM_POOL_PERSISTENT, NULL);
	if (pool < 0)
		goto failed_pool;
	step = "no number for the block device";
	major = error = register_blkdev(0, "tmem");
	if (major < 0)
		goto failed_major;
	step = "the disk cannot be made";
	error = make_disk();
	if (error)
		goto failed_disk;
	step = "hibernation cannot be watched";
	error = register_pm_notifier(&power_notifier);
	if (error)
		goto failed_notifier;
	step = "the disk cannot be added";
	error = show_disk();
	if (error)
		goto failed_add;

	pr_info("/dev/" NAME ": %lu MiB over %s\n", units >> (20 - PAGE_SHIFT), backing_name);
	return (struct tmem_attachment){ .attached = true, .how = "block device /dev/" NAME };

failed_add:
	unregister_pm_notifier(&power_notifier);
failed_notifier:
	free_disk();
failed_disk:
	unregister_blkdev(major, "tmem");
failed_major:
	tmem_destroy_pool(client, pool);
failed_pool:
	pool = NO_POOL;
	free_memory();
failed:
	close_backing();
	pr_err("backing=%s: %s (error %d)\n", backing_name, step, -error);
	return (struct tmem_attachment){ .how = step };
}

/**
 * tmem_blockdev_detach - take /dev/tmem0 away, if it is there
 *
 * Context: Process context, from the module's exit: nobody has the device open, and no page is stored.
 */
void tmem_blockdev_detach(void)
{
	if (pool == NO_POOL)
		return;
	del_gendisk(disk);
	unregister_pm_notifier(&power_notifier);
	free_disk();
	unregister_blkdev(major, "tmem");
	WARN_ON(find_first_bit(stored, units) < units);
	tmem_destroy_pool(pages_client, pool);
	pool = NO_POOL;
	free_memory();
	close_backing();
}

#endif /* TMEM_NO_BLOCKDEV */
