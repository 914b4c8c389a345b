// SPDX-License-Identifier: GPL-2.0
/*
 * hook-cost - what each kind of operation that passes a hook costs per page, in the clock's nanoseconds.
 *
 *   hook-cost FILE
 *
 * FILE is on a RAM disk, so that no operation waits. With QEMU's -icount shift=0 the clock counts instructions, one
 * a nanosecond, and the same run gives nearly the same numbers (scripts/overhead compares them with and without the
 * module). Each operation is done ROUNDS times on PAGES pages; the median round counts. Prints "NAME NUMBER" lines.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <time.h>

#include "cgroup.h"
#include "verify.h"

#define PAGES 256
#define BYTES (PAGES * 4096UL)
#define ROUNDS 21

static struct group group;
static int file;
static unsigned char *map, *memory;
static unsigned char bytes[BYTES];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void clean(void)
{
	fdatasync(file);
	/* What is mapped is not dropped. */
	madvise(map, BYTES, MADV_DONTNEED);
	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static void cached(void)
{
	clean();
	if (pread(file, bytes, BYTES, 0) != (ssize_t)BYTES)
		_exit(4);
}

static void do_read(void)
{
	if (pread(file, bytes, BYTES, 0) != (ssize_t)BYTES)
		_exit(4);
}

static void do_fault(void)
{
	for (size_t page = 0; page < PAGES; page++)
		*(volatile unsigned char *)(map + page * 4096);
}

static void fault_setup(void)
{
	clean();
	madvise(map, BYTES, MADV_RANDOM);
}

static void do_dirty(void)
{
	for (size_t page = 0; page < PAGES; page++)
		if (pwrite(file, "x", 1, (off_t)page * 4096) != 1)
			_exit(4);
}

static void do_drop(void)
{
	madvise(map, BYTES, MADV_DONTNEED);
	posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static void do_reclaim(void)
{
	group_write(&group, "memory.reclaim", "1048576");
}

static void do_truncate(void)
{
	if (ftruncate(file, 0) || ftruncate(file, BYTES))
		_exit(4);
}

static void rewrite(void)
{
	memset(bytes, 'a', BYTES);
	for (size_t page = 0; page < PAGES; page++)
		memcpy(bytes + page * 4096, &page, sizeof(page));
	if (pwrite(file, bytes, BYTES, 0) != (ssize_t)BYTES)
		_exit(4);
	fdatasync(file);
}

static void touch(void)
{
	for (size_t page = 0; page < PAGES; page++)
		*(size_t *)(memory + page * 4096) += page + 1;
}

static void do_swap_out(void)
{
	madvise(memory, BYTES, MADV_PAGEOUT);
}

static void swapped(void)
{
	touch();
	do_swap_out();
}

static int by_size(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return difference < 0 ? -1 : difference > 0;
}

static void measure(const char *name, void (*prepare)(void), void (*run)(void))
{
	double taken[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		double start;

		prepare();
		start = now();
		run();
		taken[round] = now() - start;
	}
	qsort(taken, ROUNDS, sizeof(*taken), by_size);
	printf("%s %.0f\n", name, taken[ROUNDS / 2] / PAGES);
}

int main(int count, char **arguments)
{
	if (count != 2 || (file = open(arguments[1], O_RDWR | O_CREAT, 0600)) < 0)
		return 4;
	if (!group_create(&group, "cost", 0) || !group_enter(&group))
		return 4;
	rewrite();
	map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, file, 0);
	memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || memory == MAP_FAILED)
		return 4;
	madvise(memory, BYTES, MADV_NOHUGEPAGE);
	measure("read", clean, do_read);
	measure("fault", fault_setup, do_fault);
	madvise(map, BYTES, MADV_NORMAL);
	measure("dirty", cached, do_dirty);
	measure("drop", cached, do_drop);
	measure("reclaim", cached, do_reclaim);
	measure("truncate", rewrite, do_truncate);
	measure("swap-out", touch, do_swap_out);
	measure("swap-in", swapped, touch);
	return 0;
}
