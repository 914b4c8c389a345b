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
 * interrupts off; get_page with the page locked, from process context;
 * init_fs, init_shared_fs and invalidate_fs may sleep.
 *
 * File systems that are mounted already when the module loads get their pools
 * while it registers: cleancache_register_ops() walks the super blocks. There
 * is no way to unregister.
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
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/uuid.h>

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

static int get_page_hook(int pool, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct tmem_oid oid = oid_of(&key);
	void *data = kmap_atomic(page);
	int result = tmem_get(client_of_hooks, pool, &oid, index, data);

	kunmap_atomic(data);
	return result == TMEM_OK ? 0 : -1;
}

static void put_page_hook(int pool, struct cleancache_filekey key, pgoff_t index, struct page *page)
{
	struct tmem_oid oid = oid_of(&key);
	void *data;

	if (unlikely(PageTransHuge(page))) {
		/* Not worth 512 compressions with interrupts off; but nothing older may stay. */
		unsigned int i;

		for (i = 0; i < thp_nr_pages(page); i++)
			tmem_flush_page(client_of_hooks, pool, &oid, index + i);
		return;
	}
	/* A put that is refused leaves nothing behind, so its result is of no interest. */
	data = kmap_atomic(page);
	tmem_put(client_of_hooks, pool, &oid, index, data);
	kunmap_atomic(data);
}

static void invalidate_page(int pool, struct cleancache_filekey key, pgoff_t index)
{
	struct tmem_oid oid = oid_of(&key);

	tmem_flush_page(client_of_hooks, pool, &oid, index);
}

static void invalidate_inode(int pool, struct cleancache_filekey key)
{
	struct tmem_oid oid = oid_of(&key);

	tmem_flush_object(client_of_hooks, pool, &oid);
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
	if (cleancache_register_ops(&hooks))
		return (struct tmem_attachment){ .how = "another module has the cleancache hooks" };
	return (struct tmem_attachment){
		.attached = true,
		.permanent = true,
		.how = "native cleancache hooks",
	};
}

#endif /* TMEM_NO_CLEANCACHE */
