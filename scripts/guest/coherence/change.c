// SPDX-License-Identifier: GPL-2.0
/* Pages that reclaim took, and then new bytes for them: written, mapped, direct; or another file in their place. */
#define _GNU_SOURCE
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "subject.h"

static verdict written(ssize_t done, size_t length)
{
	return done == (ssize_t)length ? NULL : because("write of %zu bytes gave %zd: %s", length, done, strerror(errno));
}

/* T2: whole pages are made anew by write, without a read that would take the old ones from the store. */
verdict test_write_over(void)
{
	struct subject subject;
	int other;

	TRY(subject_make(&subject, "write-over"));
	TRY(subject_put(&subject));
	other = open(subject.path, O_WRONLY | O_CLOEXEC);
	subject_renew(&subject, 10 * PAGE_BYTES, 20 * PAGE_BYTES);
	TRY(written(pwrite(other, buffer, 20 * PAGE_BYTES, 10 * PAGE_BYTES), 20 * PAGE_BYTES));
	close(other);
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* W3 (or a read of the file system's own) for the rest of the page, then T2. */
verdict test_write_part(void)
{
	struct subject subject;

	TRY(subject_make(&subject, "write-part"));
	TRY(subject_put(&subject));
	subject_renew(&subject, 10 * PAGE_BYTES + 777, 3 * PAGE_BYTES);
	TRY(written(pwrite(subject.file, buffer, 3 * PAGE_BYTES, 10 * PAGE_BYTES + 777), 3 * PAGE_BYTES));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/*
 * T1 or T2 (each covers for the other): whole pages made anew, and these dropped without reclaim. Without both,
 * nothing would tell the store that what it has is old.
 */
verdict test_write_dropped(void)
{
	struct subject subject;

	TRY(subject_make(&subject, "write-dropped"));
	TRY(subject_put(&subject));
	subject_renew(&subject, 10 * PAGE_BYTES, 20 * PAGE_BYTES);
	TRY(written(pwrite(subject.file, buffer, 20 * PAGE_BYTES, 10 * PAGE_BYTES), 20 * PAGE_BYTES));
	if (fsync(subject.file))
		return because("fsync: %s", strerror(errno));
	for (unsigned int tries = 0; resident_pages(subject.file, 0, SUBJECT_BYTES); tries++) {
		if (tries > 40)
			return because("DONTNEED leaves pages");
		posix_fadvise(subject.file, 0, 0, POSIX_FADV_DONTNEED);
		usleep(10000);
	}
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* W3 gives the page, T2 on its first store. */
verdict test_map_write(void)
{
	struct subject subject;
	unsigned char *map;

	TRY(subject_make(&subject, "map-write"));
	TRY(subject_put(&subject));
	subject_renew(&subject, 10 * PAGE_BYTES + 50, 9 * PAGE_BYTES);
	map = mmap(NULL, SUBJECT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, subject.file, 0);
	if (map == MAP_FAILED)
		return because("mmap: %s", strerror(errno));
	memcpy(map + 10 * PAGE_BYTES + 50, buffer, 9 * PAGE_BYTES);
	munmap(map, SUBJECT_BYTES);
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* W5: nothing is in the page cache, so the hook must work where there is nothing to invalidate. */
verdict test_direct_write(void)
{
	struct subject subject;

	TRY(subject_make(&subject, "direct-write"));
	TRY(subject_put(&subject));
	subject_renew(&subject, 10 * PAGE_BYTES, 20 * PAGE_BYTES);
	TRY(written(pwrite(subject.direct, buffer, 20 * PAGE_BYTES, 10 * PAGE_BYTES), 20 * PAGE_BYTES));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* W5, and block by block: the store's entries are pages, the file system's blocks may be less. */
verdict test_direct_write_other_descriptor(void)
{
	struct subject subject;
	int other;

	TRY(subject_make(&subject, "direct-write-blocks"));
	TRY(subject_put(&subject));
	other = open(subject.path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	for (size_t page = 3; page < 30; page += 3) {
		subject_renew(&subject, page * PAGE_BYTES + PAGE_BYTES - block_bytes, block_bytes);
		TRY(written(pwrite(other, buffer, block_bytes, (off_t)(page * PAGE_BYTES + PAGE_BYTES - block_bytes)),
			    block_bytes));
	}
	close(other);
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* W4 (truncate_inode_pages_final) and W7: another file with the same inode number, often at the same address. */
verdict test_inode_reuse(void)
{
	struct subject subject;
	unsigned int reused = 0;

	for (unsigned int round = 0; round < rounds; round++) {
		struct stat before, after;

		TRY(subject_make(&subject, "inode-reuse"));
		TRY(subject_put(&subject));
		if (fstat(subject.file, &before))
			return because("fstat");
		subject_end(&subject);
		/* A hole of the same size: whatever is not zero is of the file before. */
		subject = (struct subject){ .size = SUBJECT_BYTES, .bytes = calloc(1, SUBJECT_ROOM) };
		snprintf(subject.path, sizeof(subject.path), "%s/inode-reuse", directory);
		subject.file = open(subject.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		subject.direct = open(subject.path, O_RDWR | O_DIRECT | O_CLOEXEC);
		if (subject.file < 0 || ftruncate(subject.file, SUBJECT_BYTES) || fstat(subject.file, &after))
			return because("cannot create: %s", strerror(errno));
		reused += before.st_ino == after.st_ino;
		TRY(subject_compare_all(&subject));
		subject_end(&subject);
	}
	printf("note inode-reuse: the number was the same in %u of %u rounds\n", reused, rounds);
	return NULL;
}

/* Nothing to flush: the new file is another inode; the old one is dropped (W4, W7). */
verdict test_rename_over(void)
{
	struct subject old, new;

	TRY(subject_make(&old, "rename-over"));
	TRY(subject_make(&new, "rename-over.new"));
	TRY(subject_put(&old));
	TRY(subject_put(&new));
	if (rename(new.path, old.path))
		return because("rename: %s", strerror(errno));
	close(new.file);
	new.file = open(old.path, O_RDWR | O_CLOEXEC);
	TRY(subject_compare_all(&new));
	/* Removed, but open: still itself. */
	TRY(subject_compare_all(&old));
	subject_end(&old);
	subject_end(&new);
	return NULL;
}

/*
 * W4 and W7, at umount: the file is changed while the file system is mounted elsewhere, and read again after it
 * is mounted at the first place; the inode may get the same number, generation and address.
 */
verdict test_remount(void)
{
	struct subject subject;
	char elsewhere[] = "/tmp/coherence-XXXXXX", path[1200];
	int file;

	if (!device || !type_name)
		return because("skip: needs --device and --type");
	if (!mkdtemp(elsewhere))
		return because("mkdtemp: %s", strerror(errno));
	TRY(subject_make(&subject, "remount"));
	TRY(subject_put(&subject));
	close(subject.file);
	close(subject.direct);
	if (umount(directory) || mount(device, elsewhere, type_name, 0, NULL))
		return because("umount and mount elsewhere: %s", strerror(errno));
	snprintf(path, sizeof(path), "%s/remount", elsewhere);
	file = open(path, O_RDWR | O_CLOEXEC);
	subject_renew(&subject, 0, 30 * PAGE_BYTES);
	TRY(written(pwrite(file, buffer, 30 * PAGE_BYTES, 0), 30 * PAGE_BYTES));
	close(file);
	if (umount(elsewhere) || mount(device, directory, type_name, 0, NULL))
		return because("mount again: %s", strerror(errno));
	rmdir(elsewhere);
	subject.file = open(subject.path, O_RDWR | O_CLOEXEC);
	subject.direct = open(subject.path, O_RDWR | O_DIRECT | O_CLOEXEC);
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* What ext4 calls EXT4_IOC_MOVE_EXT; no header for programs has it. Numbers in blocks. */
struct moved_extent {
	uint32_t reserved, donor;
	uint64_t first, donor_first, count, moved;
};
#define MOVE_EXTENTS _IOWR('f', 15, struct moved_extent)

static verdict move_extents(struct subject *subject, struct subject *donor)
{
	struct moved_extent request = { .count = SUBJECT_BYTES / block_bytes, .donor = (uint32_t)donor->file };

	if (ioctl(subject->file, MOVE_EXTENTS, &request)) {
		if (errno == ENOTTY || errno == EOPNOTSUPP || errno == EINVAL)
			return because("skip: the file system moves no extents");
		return because("moving extents: %s", strerror(errno));
	}
	if (request.moved != request.count)
		return because("%llu of %llu blocks moved", (unsigned long long)request.moved, (unsigned long long)request.count);
	/* At once: reclaim of the donor's empty folios would have its old pages forgotten. */
	if (pread(donor->direct, buffer, SUBJECT_ROOM, 0) != SUBJECT_BYTES)
		return because("direct read of the donor: %s", strerror(errno));
	memcpy(donor->bytes, buffer, SUBJECT_BYTES);
	return NULL;
}

/*
 * lock_two_nondirectories: ext4 exchanges the blocks of two files, the donor's without a look at its pages. The file
 * keeps its content; what the donor has is what is on the disk.
 */
verdict test_move_extents(void)
{
	struct subject subject, donor;

	TRY(subject_make(&subject, "move-extents"));
	TRY(subject_make(&donor, "move-extents.donor"));
	TRY(subject_put(&subject));
	TRY(subject_put(&donor));
	TRY(move_extents(&subject, &donor));
	TRY(subject_compare(&donor, "the donor, from where it is"));
	TRY(subject_compare_all(&subject));
	TRY(subject_compare_all(&donor));
	subject_end(&subject);
	subject_end(&donor);
	return NULL;
}

/*
 * suspects: the donor's pages are resident, and ext4 leaves them so: clean, and old. The kernel loses them with the next
 * reclaim.
 */
verdict test_move_extents_resident(void)
{
	struct subject subject, donor;

	TRY(subject_make(&subject, "move-extents-resident"));
	TRY(subject_make(&donor, "move-extents-resident.donor"));
	TRY(move_extents(&subject, &donor));
	TRY(subject_put(&donor));
	TRY(subject_compare(&donor, "the donor, from where it is"));
	TRY(subject_compare_all(&donor));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	subject_end(&donor);
	return NULL;
}
