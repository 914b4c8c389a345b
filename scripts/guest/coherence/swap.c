// SPDX-License-Identifier: GPL-2.0
/*
 * A file that becomes a swap area and ceases to be one. The kernel writes to its blocks below the page cache, and
 * neither swapon nor swapoff drops a folio; so what a store has, and what was resident, is old when the area ends.
 *
 * While pages are swapped out the store is frozen, where it can be: what it takes never gets to the file.
 */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/swap.h>

#include "subject.h"

#define AREA_PAGES 48		/* swapped out at a time; the area has 63 */

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static void freeze_store(const char *value)
{
	int file = open("/sys/kernel/mm/tmem/frozen", O_WRONLY | O_CLOEXEC);

	if (file < 0)
		return;
	if (write(file, value, strlen(value)) < 0)
		printf("note swap-file: frozen=%s: %s\n", value, strerror(errno));
	close(file);
}

/* btrfs swaps to files only whose data is not copied on write, which must be said while they are empty. */
static void copy_on_write(bool wanted)
{
	int place = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), flags = 0;

	if (!ioctl(place, FS_IOC_GETFLAGS, &flags)) {
		flags = wanted ? flags & ~FS_NOCOW_FL : flags | FS_NOCOW_FL;
		(void)!ioctl(place, FS_IOC_SETFLAGS, &flags);
	}
	close(place);
}

static verdict subject_make_for_swap(struct subject *subject, const char *name)
{
	verdict result;

	copy_on_write(false);
	result = subject_make(subject, name);
	copy_on_write(true);
	return result;
}

/* What mkswap does: the first page only. */
static verdict area_begin(struct subject *subject)
{
	const struct { uint32_t version, last_page, bad_pages; } header = { 1, SUBJECT_PAGES - 1, 0 };

	memset(buffer, 0, PAGE_BYTES);
	memcpy(buffer + 1024, &header, sizeof(header));
	memcpy(buffer + PAGE_BYTES - 10, "SWAPSPACE2", 10);
	if (pwrite(subject->file, buffer, PAGE_BYTES, 0) != PAGE_BYTES || fsync(subject->file))
		return because("writing the header: %s", strerror(errno));
	if (!swapon(subject->path, 0))
		return NULL;
	if (errno == EINVAL || errno == EOPNOTSUPP)
		return because("skip: the file system has no swap files");
	return because("swapon: %s", strerror(errno));
}

/* Writes pages to the area: those that differ on the disk afterwards. */
static verdict area_write(struct subject *subject, unsigned char *memory, uint32_t version, size_t *changed)
{
	static unsigned char *found;

	if (!found && posix_memalign((void **)&found, PAGE_BYTES, SUBJECT_BYTES))
		return because("no memory");
	pattern_fill(memory, subject->serial + 1000, version, 0, AREA_PAGES * PAGE_BYTES);
	freeze_store("1");
	for (unsigned int tries = 0; tries < 40; tries++) {
		madvise(memory, AREA_PAGES * PAGE_BYTES, MADV_PAGEOUT);
		usleep(50000);
		if (pread(subject->direct, found, SUBJECT_BYTES, 0) != SUBJECT_BYTES)
			return because("direct read: %s", strerror(errno));
		*changed = 0;
		for (size_t page = 1; page < SUBJECT_PAGES; page++)
			*changed += !!memcmp(found + page * PAGE_BYTES, subject->bytes + page * PAGE_BYTES, PAGE_BYTES);
		if (*changed >= AREA_PAGES / 2)
			break;
	}
	freeze_store("0");
	memcpy(subject->bytes, found, SUBJECT_BYTES);
	return *changed ? NULL : because("nothing was written to the swap file");
}

/* In a verdict before it, so that a failing test does not leave the area. */
static verdict area_end(struct subject *subject, verdict result)
{
	if (swapoff(subject->path))
		return because("swapoff: %s", strerror(errno));
	TRY(result);
	if (pread(subject->direct, buffer, SUBJECT_BYTES, 0) != SUBJECT_BYTES)
		return because("direct read: %s", strerror(errno));
	memcpy(subject->bytes, buffer, SUBJECT_BYTES);
	return NULL;
}

static verdict read_all(struct subject *subject)
{
	return pread(subject->file, buffer, SUBJECT_BYTES, 0) == SUBJECT_BYTES ? NULL : because("read: %s", strerror(errno));
}

static unsigned char *some_memory(void)
{
	void *memory = mmap(NULL, AREA_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Becomes a swap area, is written to, and ends; *@changed: how many of its pages the kernel wrote. */
static verdict be_an_area(struct subject *subject, size_t *changed)
{
	unsigned char *memory = some_memory();

	TRY(area_begin(subject));
	return area_end(subject, area_write(subject, memory, 2, changed));
}

/* The store has the file's pages when it becomes an area: they must be gone when it ends. */
verdict test_swap_file(void)
{
	struct subject subject;
	size_t changed = 0;

	TRY(subject_make_for_swap(&subject, "swap-file"));
	TRY(subject_put(&subject));
	TRY(be_an_area(&subject, &changed));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	printf("note swap-file: the kernel wrote %zu pages to it\n", changed);
	return NULL;
}

/*
 * The page cache has the file's pages when it becomes an area, and keeps them: clean, and old when it ends. The
 * kernel loses them with the next reclaim.
 */
verdict test_swap_file_resident(void)
{
	struct subject subject;
	size_t changed = 0;

	TRY(subject_make_for_swap(&subject, "swap-file-resident"));
	TRY(be_an_area(&subject, &changed));
	TRY(subject_put(&subject));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* A file that is an area is read, as a backup does: a store neither gives nor takes its pages. */
static verdict read_while_active(struct subject *subject, unsigned char *memory)
{
	size_t changed;

	TRY(area_write(subject, memory, 2, &changed));
	/* The first page was in the page cache for swapon. */
	TRY(read_all(subject));
	if (memcmp(buffer + PAGE_BYTES, subject->bytes + PAGE_BYTES, SUBJECT_BYTES - PAGE_BYTES))
		return because("read while it is an area: not what is on the disk");
	/* The kernel writes to other slots, or to the same with other bytes. */
	TRY(subject_put(subject));
	TRY(area_write(subject, memory, 3, &changed));
	TRY(read_all(subject));
	if (memcmp(buffer + PAGE_BYTES, subject->bytes + PAGE_BYTES, SUBJECT_BYTES - PAGE_BYTES))
		return because("read again: not what is on the disk");
	return NULL;
}

verdict test_swap_file_active(void)
{
	struct subject subject;
	unsigned char *memory = some_memory();

	TRY(subject_make_for_swap(&subject, "swap-file-active"));
	TRY(subject_put(&subject));
	TRY(area_begin(&subject));
	TRY(area_end(&subject, read_while_active(&subject, memory)));
	TRY(subject_put(&subject));
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}
