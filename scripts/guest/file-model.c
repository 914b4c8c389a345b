// SPDX-License-Identifier: GPL-2.0
/*
 * file-model - random operations on one file, against a model in memory: no stale byte may ever be read.
 *
 *   file-model PATH PAGES OPERATIONS SEED
 *
 * Write, read, mmap read and write, truncate down and up, punch a hole, direct read and write, fsync,
 * fadvise DONTNEED, drop_caches, reopen, remove and make anew. Each page's model is a version; its bytes
 * follow from (page, version). Run it where page cache is scarce (a memory cgroup), so that pages leave and
 * come back all the time. Prints "N operations, N bytes compared, N mismatches".
 *
 * Exit: 0 no mismatch, 1 a mismatch (page, expected and found version on standard error), 4 set-up.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "verify.h"

static const char *path;
static int file = -1, direct = -1;
static size_t pages, size_pages;	/* the file's greatest and present size */
static uint32_t *version;		/* of each page; 0: zeros (a hole, or beyond the end) */
static uint64_t random_state, compared, mismatches;
static uint32_t next_version;
static unsigned char buffer[16 * 4096] __attribute__((aligned(4096)));
static unsigned char wanted[4096] __attribute__((aligned(4096)));

/* A third text-like, a third half random, the rest a repeated word: all of the store's paths. */
static void make_page(void *to, size_t page, uint32_t of_version)
{
	uint64_t *words = to, state = mix(page * 2654435761u + ((uint64_t)of_version << 32));
	size_t kind = of_version % 3;

	if (!of_version) {
		memset(to, 0, PAGE_BYTES);
		return;
	}
	for (size_t i = 0; i < PAGE_BYTES / 8; i++) {
		if (kind == 0)
			words[i] = 0x2020202020202020ULL | (state >> (i % 17) & 0x0f0f0f0f0f0f0f0fULL);
		else if (kind == 1 && i % 2)
			words[i] = random_next(&state);
		else
			words[i] = state;
	}
}

static void compare(size_t page, const void *found, const char *how)
{
	make_page(wanted, page, version[page]);
	compared += PAGE_BYTES;
	if (!memcmp(found, wanted, PAGE_BYTES))
		return;
	mismatches++;
	for (uint32_t old = next_version; ; old--) {
		make_page(wanted, page, old);
		if (!memcmp(found, wanted, PAGE_BYTES)) {
			fprintf(stderr, "file-model: page %zu by %s: version %u, should be %u\n", page, how, old,
				version[page]);
			return;
		}
		if (!old)
			break;
	}
	fprintf(stderr, "file-model: page %zu by %s: foreign bytes, should be version %u\n", page, how,
		version[page]);
}

static void open_files(int flags)
{
	if (file >= 0)
		close(file);
	if (direct >= 0)
		close(direct);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
	direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (file < 0 || direct < 0)
		die("cannot open %s", path);
}

/* Up to 16 pages from a random one inside the file; 0 if the file is empty. */
static size_t some_pages(size_t *first)
{
	size_t count;

	if (!size_pages)
		return 0;
	*first = random_below(&random_state, size_pages);
	count = 1 + random_below(&random_state, 16);
	return count < size_pages - *first ? count : size_pages - *first;
}

static void write_pages(int to, size_t first, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		version[first + i] = ++next_version;
		make_page(buffer + i * PAGE_BYTES, first + i, next_version);
	}
	if (pwrite(to, buffer, count * PAGE_BYTES, (off_t)(first * PAGE_BYTES)) != (ssize_t)(count * PAGE_BYTES))
		die("write of %zu pages at %zu", count, first);
	if (first + count > size_pages)
		size_pages = first + count;
}

static void read_pages(int from, size_t first, size_t count, const char *how)
{
	if (pread(from, buffer, count * PAGE_BYTES, (off_t)(first * PAGE_BYTES)) != (ssize_t)(count * PAGE_BYTES))
		die("read of %zu pages at %zu", count, first);
	for (size_t i = 0; i < count; i++)
		compare(first + i, buffer + i * PAGE_BYTES, how);
}

static void map_pages(size_t first, size_t count, int writing)
{
	unsigned char *map = mmap(NULL, count * PAGE_BYTES, PROT_READ | (writing ? PROT_WRITE : 0), MAP_SHARED,
				  file, (off_t)(first * PAGE_BYTES));

	if (map == MAP_FAILED)
		die("mmap");
	for (size_t i = 0; i < count; i++) {
		compare(first + i, map + i * PAGE_BYTES, "mmap");
		if (writing) {
			version[first + i] = ++next_version;
			make_page(map + i * PAGE_BYTES, first + i, next_version);
		}
	}
	munmap(map, count * PAGE_BYTES);
}

static void resize(size_t to)
{
	if (ftruncate(file, (off_t)(to * PAGE_BYTES)))
		die("ftruncate to %zu pages", to);
	for (size_t page = to; page < pages; page++)
		version[page] = 0;
	size_pages = to;
}

static void punch(size_t first, size_t count)
{
	if (fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * PAGE_BYTES),
		      (off_t)(count * PAGE_BYTES)))
		die("punch");
	for (size_t i = 0; i < count; i++)
		version[first + i] = 0;
}

static void drop_caches(void)
{
	int control = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	fsync(file);
	if (control < 0 || write(control, "1", 1) != 1)
		die("drop_caches");
	close(control);
}

static void one_operation(void)
{
	size_t first = 0, count = some_pages(&first), kind = random_below(&random_state, 1000);

	/* Direct I/O, punching and truncating flush the whole file from tmem, so they are rare. */
	if (kind < 180) {
		first = random_below(&random_state, pages);
		count = 1 + random_below(&random_state, 16);
		if (count > pages - first)
			count = pages - first;
		write_pages(kind < 175 ? file : direct, first, count);
	} else if (!count) {
		return;
	} else if (kind < 600) {
		read_pages(kind < 595 ? file : direct, first, count, kind < 595 ? "read" : "direct read");
	} else if (kind < 800) {
		map_pages(first, count, kind < 670);
	} else if (kind < 850) {
		fsync(file);
	} else if (kind < 910) {
		fsync(file);
		posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
	} else if (kind < 916) {
		punch(first, count);
	} else if (kind < 919) {
		resize(random_below(&random_state, pages + 1));
	} else if (kind < 959) {
		open_files(0);
	} else if (kind < 960) {
		unlink(path);
		open_files(O_TRUNC);
		memset(version, 0, pages * sizeof(*version));
		size_pages = 0;
	} else {
		drop_caches();
	}
}

int main(int argc, char **argv)
{
	uint64_t operations;

	if (argc != 5) {
		fprintf(stderr, "usage: file-model PATH PAGES OPERATIONS SEED\n");
		return 4;
	}
	path = argv[1];
	pages = number(argv[2], "PAGES");
	operations = number(argv[3], "OPERATIONS");
	random_state = number(argv[4], "SEED");
	version = calloc(pages, sizeof(*version));
	if (!version || !pages)
		die("no memory for %zu pages", pages);
	open_files(O_TRUNC);
	for (uint64_t i = 0; i < operations; i++)
		one_operation();
	for (size_t page = 0; page < size_pages; page++)
		read_pages(file, page, 1, "last read");
	printf("%llu operations, %llu bytes compared, %llu mismatches\n", (unsigned long long)operations,
	       (unsigned long long)compared, (unsigned long long)mismatches);
	return mismatches ? 1 : 0;
}
