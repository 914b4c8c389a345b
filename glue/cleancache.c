// SPDX-License-Identifier: GPL-2.0
/*
 * cleancache.c - hook family: clean file pages, by the native interface.
 *
 * The kernel calls put_page when it drops a clean page from the page cache,
 * get_page before it reads one from the disk, and invalidates wherever file
 * and page cache change under us. All that is left is translation:
 *
 *   super block       -> ephemeral pool, made at mount, destroyed at umount
 *   file key, 24 B    -> object id, all of it: an NFS-style handle where the
 *                        file system has one, else the inode number
 *   page->index       -> index
 *
 * Contexts: put_page and invalidate_page come under the page cache's lock with
 * interrupts off; get_page with the page locked, from process context, where it
 * may sleep; init_fs, init_shared_fs, invalidate_fs and invalidate_inode may sleep.
 *
 * File systems that are mounted already when the module loads get their pools
 * while it registers: cleancache_register_ops() walks the super blocks. There
 * is no way to unregister.
 *
 * The interface alone does not keep us coherent. An asynchronous direct write
 * invalidates before it writes, and afterwards only if the page cache has pages
 * (iomap_dio_complete() of 5.10). A reader may fetch old data in between, and
 * reclaim put it: nobody would ever invalidate that. So nothing is put while
 * direct I/O to the file is counted, nor while somebody holds its i_rwsem: a
 * direct writer does from before the first invalidation until he is counted.
 * (If he takes it after we looked, his invalidation finds our page still in the
 * page cache, waits for it, and flushes after our put.) A failed invalidation
 * leaves an error in the mapping: then nothing of that file is put. And pages
 * wholly beyond the end of the file, which readahead that races with a
 * truncation can leave, are neither put nor given. Nor are those of a file that
 * is a swap area; frontswap.c has what happens when it ceases to be one. Nor
 * those of an old-style quota file, which is written through buffers of the
 * block device. quotaoff truncates it, but not if quotas were suspended before
 * (remount,ro): so a get that is refused meanwhile flushes the whole file.
 * glue/page_cache.c has the same rules, and more of the reasons.
 *
 * What this interface cannot know: it tells of no change, and shows an inode
 * only by a page at hand. So a page that was resident when a direct write
 * failed half way, or that was stale before the module was loaded, is put like
 * any other. So is a page of a quota file that was resident when suspended
 * quotas were turned off; and what was put before quotaon stays if nobody asks
 * for a page of the file until then. And the kernel itself puts what DONTNEED
 * and drop_caches drop: to have the disk read again, unmount.
 *
 * A page that cannot be read back costs a disk read: a nonzero answer to
 * get_page makes the kernel fill the page anew, so garbage is never seen.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"
#include "glue.h"

#ifdef TMEM_NO_CLEANCACHE

/**
 * tmem_cleancache_attach - say why there is nothing to attach to
 * @client: unused
 *
 * Context: Any.
 * Return: Not attached.
 */
struct tmem_attachment tmem_cleancache_attach(struct tmem_client *client)
{
	return (struct tmem_attachment){ .how = TMEM_NO_CLEANCACHE };
}

#else

#include <linux/cleancache.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/uuid.h>

#include "operations.h"

static struct tmem_client *client_of_hooks;

static struct tmem_oid oid_of(const struct cleancache_filekey *key)
{
	struct tmem_oid oid;

	BUILD_BUG_ON(sizeof(*key) != sizeof(oid));
	memcpy(&oid, key, sizeof(oid));
	return oid;
}

static int new_pool(size_t page_bytes, unsigned int flags, const unsigned long long uuid[2])
{
	int pool = page_bytes == TMEM_PAGE_BYTES ? tmem_new_pool(client_of_hooks, flags, uuid) :
						   -EINVAL;

	if (pool < 0)
		pr_err("no pool for a file system (error %d): its pages are not kept\n", -pool);
	return pool;
}

static int init_fs(size_t page_bytes)
{
	return new_pool(page_bytes, 0, NULL);
}

static int init_shared_fs(uuid_t *fs_uuid, size_t page_bytes)
{
	unsigned long long uuid[2];

	/* Without a uuid there is nothing to share by, and two such file systems must not meet. */
	if (uuid_is_null(fs_uuid))
		return init_fs(page_bytes);
	BUILD_BUG_ON(sizeof(uuid) != sizeof(*fs_uuid));
	memcpy(uuid, fs_uuid, sizeof(uuid));
	return new_pool(page_bytes, TMEM_POOL_SHARED, uuid);
}

static bool is_beyond_end(const struct page *page)
{
	return page->index >= DIV_ROUND_UP_ULL(i_size_read(page->mapping->host), PAGE_SIZE);
}

static bool is_written_by_blocks(const struct inode *inode)
{
	return IS_SWAPFILE(inode) || IS_NOQUOTA(inode);
}

/* Whether nobody may be changing the file below the page cache. */
static bool is_settled(const struct page *page)
{
	struct address_space *mapping = page->mapping;

	if (inode_is_locked(mapping->host))
		return false;
	/* A direct writer is counted before he lets go of the lock. */
	smp_rmb();
	return !atomic_read(&mapping->host->i_dio_count) && !mapping->wb_err &&
	       !is_written_by_blocks(mapping->host);
}

static int get_page_hook(int pool, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct tmem_oid oid = oid_of(&key);
	void *data;
	int result;

	if (is_written_by_blocks(page->mapping->host)) {
		/* It has changed, or will, and the kernel need not say so when that is over. */
		tmem_hook_flush_object_slowly(client_of_hooks, pool, &oid);
		return -1;
	}
	if (is_beyond_end(page))
		return -1;
	data = kmap_atomic(page);
	result = tmem_hook_get(client_of_hooks, pool, &oid, index, data);
	kunmap_atomic(data);
	return result == TMEM_OK ? 0 : -1;
}

static void put_page_hook(int pool, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct tmem_oid oid = oid_of(&key);
	void *data;

	if (unlikely(PageTransHuge(page) || is_beyond_end(page) || !is_settled(page))) {
		/* A huge page is not worth 512 compressions with interrupts off. Nothing older may stay. */
		unsigned int i;

		for (i = 0; i < thp_nr_pages(page); i++)
			tmem_hook_flush_page(client_of_hooks, pool, &oid, index + i);
		return;
	}
	/* A put that is refused leaves nothing behind, so its result is of no interest. */
	data = kmap_atomic(page);
	tmem_hook_put(client_of_hooks, pool, &oid, index, data);
	kunmap_atomic(data);
}

static void invalidate_page(int pool, struct cleancache_filekey key, pgoff_t index)
{
	struct tmem_oid oid = oid_of(&key);

	tmem_hook_flush_page(client_of_hooks, pool, &oid, index);
}

static void invalidate_inode(int pool, struct cleancache_filekey key)
{
	struct tmem_oid oid = oid_of(&key);

	/* Whoever drops the pages of a file waits for their locks, or for other processors (invalidate_bdev()). */
	tmem_hook_flush_object_slowly(client_of_hooks, pool, &oid);
}

static void invalidate_fs(int pool)
{
	tmem_destroy_pool(client_of_hooks, pool);
}

static const struct cleancache_ops hooks = {
	.init_fs = init_fs,
	.init_shared_fs = init_shared_fs,
	.get_page = get_page_hook,
	.put_page = put_page_hook,
	.invalidate_page = invalidate_page,
	.invalidate_inode = invalidate_inode,
	.invalidate_fs = invalidate_fs,
};

/**
 * tmem_cleancache_attach - take the clean file pages of every file system
 * @client: owns the pools; lives as long as the module once this succeeds
 *
 * Context: Process context. May sleep. The caller has pinned the module.
 * Return: Attached for good, or the reason why not.
 */
struct tmem_attachment tmem_cleancache_attach(struct tmem_client *client)
{
	client_of_hooks = client;
	tmem_frontswap_watch();
	if (cleancache_register_ops(&hooks))
		return (struct tmem_attachment){ .how = "another module has the cleancache hooks" };
	return (struct tmem_attachment){
		.attached = true,
		.permanent = true,
		.how = "native cleancache hooks",
	};
}

#endif /* TMEM_NO_CLEANCACHE */
