// SPDX-License-Identifier: GPL-2.0
/*
 * What is written below the file: to the disk by its number, by somebody who asked where the file's blocks are, by the
 * kernel's quotas; and what a file keeps in its inode.
 */
#define _GNU_SOURCE
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/quota.h>
#include <sys/stat.h>

#include "subject.h"

#define CHANGED_PAGE 3

static bool may_map(void)
{
	/* btrfs has addresses of its own, and checksums. */
	return device && type_name && (!strcmp(type_name, "ext4") || !strcmp(type_name, "ext2") || !strcmp(type_name, "xfs"));
}

/* Where a page is on the disk, without telling the kernel that somebody will write there; 0: nowhere. */
static uint64_t place_of(struct subject *subject, size_t page)
{
	struct { struct fiemap map; struct fiemap_extent extent; } all = {
		.map = { .fm_start = page * PAGE_BYTES, .fm_length = PAGE_BYTES, .fm_extent_count = 1 }
	};

	if (ioctl(subject->file, FS_IOC_FIEMAP, &all.map) || all.map.fm_mapped_extents != 1 ||
	    all.extent.fe_logical > page * PAGE_BYTES ||
	    all.extent.fe_logical + all.extent.fe_length < (page + 1) * PAGE_BYTES)
		return 0;
	return all.extent.fe_physical + page * PAGE_BYTES - all.extent.fe_logical;
}

/* Another content on the disk, which neither the file system nor a store is told of. */
static verdict change_below(struct subject *subject, size_t page, uint64_t place)
{
	int disk = open(device, O_RDWR | O_DIRECT | O_CLOEXEC);
	ssize_t done;

	subject_renew(subject, page * PAGE_BYTES, PAGE_BYTES);
	done = disk < 0 || !place ? -1 : pwrite(disk, buffer, PAGE_BYTES, (off_t)place);
	close(disk);
	return done == PAGE_BYTES ? NULL : because("cannot write to %s: %s", device, strerror(errno));
}

static verdict drop_caches(void)
{
	int file = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	bool done = file >= 0 && write(file, "1", 1) == 1;

	close(file);
	return done ? NULL : because("drop_caches: %s", strerror(errno));
}

static verdict dont_need(struct subject *subject)
{
	int error = posix_fadvise(subject->file, CHANGED_PAGE * PAGE_BYTES, PAGE_BYTES, POSIX_FADV_DONTNEED);

	return error ? because("DONTNEED: %s", strerror(error)) : NULL;
}

/* The store has the page; the disk changes; the page cache is emptied so that it is read again. */
static verdict store_is_emptied(const char *name, bool all)
{
	struct subject subject;

	if (!may_map())
		return because("skip: no device whose blocks are the file's");
	if (has_native_hooks())
		return BLIND;
	TRY(subject_make(&subject, name));
	TRY(subject_put(&subject));
	TRY(change_below(&subject, CHANGED_PAGE, place_of(&subject, CHANGED_PAGE)));
	TRY(all ? drop_caches() : dont_need(&subject));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* The page cache has the page, and keeps it, as it is mapped: clean, and stale, until reclaim comes. */
static verdict resident_is_kept_out(const char *name, bool all)
{
	struct subject subject;
	unsigned char *map;

	if (!may_map())
		return because("skip: no device whose blocks are the file's");
	if (has_native_hooks())
		return BLIND;
	TRY(subject_make(&subject, name));
	map = mmap(NULL, SUBJECT_BYTES, PROT_READ, MAP_SHARED, subject.file, 0);
	if (map == MAP_FAILED || mlock(map, SUBJECT_BYTES))
		return because("mlock: %s", strerror(errno));
	TRY(change_below(&subject, CHANGED_PAGE, place_of(&subject, CHANGED_PAGE)));
	TRY(all ? drop_caches() : dont_need(&subject));
	munmap(map, SUBJECT_BYTES);
	TRY(subject_put(&subject));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* generic_fadvise. */
verdict test_dont_need(void)
{
	return store_is_emptied("dont-need", false);
}

verdict test_dont_need_resident(void)
{
	return resident_is_kept_out("dont-need-resident", false);
}

/* drop_pagecache_sb. */
verdict test_drop_caches(void)
{
	return store_is_emptied("drop-caches", true);
}

verdict test_drop_caches_resident(void)
{
	return resident_is_kept_out("drop-caches-resident", true);
}

static void *reclaim_now(void *unused)
{
	reclaim_everywhere();
	return unused;
}

/*
 * The count of changes: a put has looked whether it may, and then the disk is changed and the page cache emptied, but for
 * the folio that is being put. With leave_out=prompt_put that takes half a second; otherwise it is hardly ever hit.
 */
verdict test_put_in_flight(void)
{
	struct subject subject;
	pthread_t thread;

	if (!may_map())
		return because("skip: no device whose blocks are the file's");
	if (has_native_hooks())
		return BLIND;
	TRY(subject_make(&subject, "put-in-flight"));
	/* So that the file system has a pool; then one folio is enough, and takes one put. */
	for (int i = 0; i < 2; i++) {
		posix_fadvise(subject.file, 0, 0, POSIX_FADV_DONTNEED);
		posix_fadvise(subject.file, 0, 0, POSIX_FADV_RANDOM);
		if (pread(subject.file, buffer, PAGE_BYTES, CHANGED_PAGE * PAGE_BYTES) != PAGE_BYTES)
			return because("read: %s", strerror(errno));
		if (!i) {
			TRY(subject_put(&subject));
			usleep(300000);
		}
	}
	pthread_create(&thread, NULL, reclaim_now, NULL);
	usleep(200000);
	TRY(change_below(&subject, CHANGED_PAGE, place_of(&subject, CHANGED_PAGE)));
	TRY(dont_need(&subject));
	pthread_join(thread, NULL);
	TRY(subject_put(&subject));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* bmap: somebody asks where the file's blocks are, and writes to them later, without a word. */
verdict test_mapped_out(void)
{
	struct subject subject;
	int block = (int)(CHANGED_PAGE * PAGE_BYTES / block_bytes);
	uint64_t place;

	if (!may_map())
		return because("skip: no device whose blocks are the file's");
	if (has_native_hooks())
		return BLIND;
	TRY(subject_make(&subject, "mapped-out"));
	TRY(subject_put(&subject));
	place = place_of(&subject, CHANGED_PAGE);
	if (ioctl(subject.file, FIBMAP, &block) || (uint64_t)(unsigned int)block * block_bytes != place)
		return because("skip: FIBMAP: %s", strerror(errno));
	TRY(change_below(&subject, CHANGED_PAGE, place));
	TRY(subject_compare_all(&subject));
	/* Still, and although it is resident now. */
	TRY(subject_put(&subject));
	TRY(change_below(&subject, CHANGED_PAGE, place));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* ---- old-style quotas ---- */

#define QUOTA_IDS 600

/* Writes limits for many users: the quota file grows, or changes everywhere. */
static verdict set_limits(unsigned int limit)
{
	for (unsigned int id = 1000; id < 1000 + QUOTA_IDS; id++) {
		struct dqblk limits = { .dqb_valid = QIF_LIMITS, .dqb_bhardlimit = limit + id, .dqb_bsoftlimit = limit + id };

		if (quotactl(QCMD(Q_SETQUOTA, USRQUOTA), device, (int)id, (void *)&limits))
			return because("Q_SETQUOTA: %s", strerror(errno));
	}
	for (int i = 0; i < 3; i++)
		sync();
	return NULL;
}

static verdict send_out(int file)
{
	for (unsigned int tries = 0; resident_pages(file, 0, SUBJECT_ROOM); tries++) {
		if (tries > 40)
			return because("the quota file cannot be reclaimed");
		reclaim_everywhere();
	}
	return NULL;
}

static verdict quota_agrees(int file, int direct, const char *when)
{
	static unsigned char *found;
	ssize_t bytes, bytes_direct;
	size_t wrong = 0;

	if (!found && posix_memalign((void **)&found, PAGE_BYTES, SUBJECT_ROOM))
		return because("no memory");
	bytes = pread(file, buffer, SUBJECT_ROOM, 0);
	bytes_direct = pread(direct, found, SUBJECT_ROOM, 0);
	if (bytes <= 0 || bytes != bytes_direct)
		return because("%s: read %zd bytes, directly %zd", when, bytes, bytes_direct);
	for (size_t at = 0; at < (size_t)bytes; at += 1024)
		wrong += memcmp(buffer + at, found + at, 1024) != 0;
	return wrong ? because("%s: %zu of %zd KiB are not what is on the disk", when, wrong, bytes / 1024) : NULL;
}

/* The file is known to the store before quotas are turned on; then the kernel writes it through the disk's buffers. */
static verdict quota_file(const char *path)
{
	const struct { uint32_t magic, version, grace[2], flags, blocks, free_block, free_entry; } head = {
		0xd9c01f11, 1, { 604800, 604800 }, 0, 2, 0, 0 };
	char start[2048] = "";
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	memcpy(start, &head, sizeof(head));
	if (file < 0 || direct < 0 || write(file, start, sizeof(start)) != sizeof(start) || fsync(file))
		return because("quota file: %s", strerror(errno));
	close(file);
	/* Nobody may have a file open for writing when the file system is made read-only. */
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (quotactl(QCMD(Q_QUOTAON, USRQUOTA), device, 4, (void *)path))
		return because("skip: no old-style quotas: %s", strerror(errno));
	TRY(set_limits(1000000));
	if (quotactl(QCMD(Q_QUOTAOFF, USRQUOTA), device, 0, NULL))
		return because("quotaoff: %s", strerror(errno));
	for (int i = 0; i < 3; i++) {
		TRY(quota_agrees(file, direct, "before"));
		TRY(send_out(file));
	}
	if (quotactl(QCMD(Q_QUOTAON, USRQUOTA), device, 4, (void *)path))
		return because("quotaon: %s", strerror(errno));
	/* What is read now is what was written by then, and is neither taken nor given. */
	TRY(quota_agrees(file, direct, "turned on"));
	TRY(send_out(file));
	TRY(set_limits(7000000));
	TRY(quota_agrees(file, direct, "while they are on"));
	/* Resident, and stale; then quotas are suspended, resumed and turned off. */
	TRY(set_limits(9000000));
	if (mount(device, directory, type_name, MS_REMOUNT | MS_RDONLY, "usrquota"))
		return because("remounting read-only: %s", strerror(errno));
	TRY(send_out(file));
	TRY(quota_agrees(file, direct, "suspended"));
	if (mount(device, directory, type_name, MS_REMOUNT, "usrquota"))
		return because("remounting: %s", strerror(errno));
	TRY(set_limits(11000000));
	if (quotactl(QCMD(Q_QUOTAOFF, USRQUOTA), device, 0, NULL))
		return because("quotaoff: %s", strerror(errno));
	TRY(quota_agrees(file, direct, "just turned off"));
	TRY(send_out(file));
	TRY(quota_agrees(file, direct, "turned off"));
	TRY(send_out(file));
	TRY(quota_agrees(file, direct, "and again"));
	/* Resident, and stale; then quotas are suspended, and turned off as they are: nothing is truncated. */
	if (quotactl(QCMD(Q_QUOTAON, USRQUOTA), device, 4, (void *)path))
		return because("quotaon: %s", strerror(errno));
	TRY(quota_agrees(file, direct, "turned on again"));
	TRY(set_limits(13000000));
	if (mount(device, directory, type_name, MS_REMOUNT | MS_RDONLY, "usrquota"))
		return because("remounting read-only: %s", strerror(errno));
	/* Quotas are off, whatever it says of the inode's times. */
	if (quotactl(QCMD(Q_QUOTAOFF, USRQUOTA), device, 0, NULL) && errno != EROFS)
		return because("quotaoff when suspended: %s", strerror(errno));
	/* The page cache is stale until here. */
	for (int i = 0; i < 3; i++) {
		TRY(send_out(file));
		TRY(quota_agrees(file, direct, "turned off while suspended"));
	}
	return NULL;
}

/*
 * IS_NOQUOTA() keeps the file out, truncation in quotaoff what is left of it; dquot_disable, for quotas that are turned
 * off while they are suspended: the file is let go of then as it is.
 */
verdict test_quota(void)
{
	char path[1200];
	verdict result;

	if (!device || !type_name || (strcmp(type_name, "ext4") && strcmp(type_name, "ext2")))
		return because("skip: no old-style quotas");
	if (umount(directory) || mount(device, directory, type_name, 0, "usrquota")) {
		result = because("skip: usrquota: %s", strerror(errno));
	} else {
		snprintf(path, sizeof(path), "%s/aquota.user", directory);
		/* In a process of its own: whatever it leaves open would keep the file system. */
		result = in_child(quota_file, path);
		quotactl(QCMD(Q_QUOTAOFF, USRQUOTA), device, 0, NULL);
		umount(directory);
	}
	if (mount(device, directory, type_name, 0, NULL) && errno != EBUSY)
		return because("mount again: %s", strerror(errno));
	unlink(path);
	return result;
}

/* ---- inline data ---- */

/*
 * ext4 can keep a small file in its inode, and writes it there without the page ever being dirty. Dropped without
 * reclaim, only its removal tells (mm_filemap_delete_from_page_cache), or who drops it (generic_fadvise).
 */
verdict test_inline_data(void)
{
	struct { struct fiemap map; struct fiemap_extent extent; } all = { .map = { .fm_length = 4096, .fm_extent_count = 1 } };
	char path[1200], text[40], found[40];
	unsigned int wrong = 0;
	int file;

	snprintf(path, sizeof(path), "%s/inline-data", directory);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (int i = 0; i < 30; i++) {
		memset(text, 'a' + i % 26, sizeof(text));
		if (pwrite(file, text, sizeof(text), 0) != sizeof(text) || (i % 3 == 1 && fsync(file)))
			return because("write: %s", strerror(errno));
		if (!i && (ioctl(file, FS_IOC_FIEMAP, &all.map) || all.map.fm_mapped_extents != 1 ||
			   !(all.extent.fe_flags & FIEMAP_EXTENT_DATA_INLINE)))
			return because("skip: not in the inode");
		for (unsigned int tries = 0; tries < 40 && resident_pages(file, 0, PAGE_BYTES); tries++) {
			if (i % 2)
				posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
			else
				reclaim_everywhere();
		}
		if (pread(file, found, sizeof(found), 0) != sizeof(found))
			return because("read: %s", strerror(errno));
		wrong += memcmp(text, found, sizeof(text)) != 0;
		/* So that the store has it when the next text is written, and dropped. */
		for (unsigned int tries = 0; !(i % 2) && tries < 40 && resident_pages(file, 0, PAGE_BYTES); tries++)
			reclaim_everywhere();
	}
	close(file);
	unlink(path);
	return wrong ? because("%u of 30 reads gave an older text", wrong) : NULL;
}
