// SPDX-License-Identifier: GPL-2.0
/* What is done to an area. Each operation gets a range of pages inside of it. */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "area.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void op_read(struct thread *thread, struct area *area, size_t first, size_t count)
{
	area_check(thread, area, first, count, "read");
}

static void op_scan(struct thread *thread, struct area *area, size_t first, size_t count)
{
	(void)count;
	area_check(thread, area, first, area->pages - first < 512 ? area->pages - first : 512, "scan");
}

static void op_write(struct thread *thread, struct area *area, size_t first, size_t count)
{
	(void)thread;
	for (size_t page = first; page < first + count; page++)
		area_write(area, page, false);
}

static void op_rewrite(struct thread *thread, struct area *area, size_t first, size_t count)
{
	area_check(thread, area, first, count, "read before write");
	op_write(thread, area, first, count);
}

static void op_zeros(struct thread *thread, struct area *area, size_t first, size_t count)
{
	(void)thread;
	for (size_t page = first; page < first + count; page++)
		area_write(area, page, true);
}

/* True if the kernel did it. */
static bool advise(struct thread *thread, struct area *area, size_t first, size_t count, int advice)
{
	if (!madvise(area->memory + first * PAGE_BYTES, count * PAGE_BYTES, advice))
		return true;
	if (errno != EINVAL && errno != EAGAIN && errno != EBUSY && errno != ENOMEM && errno != EOPNOTSUPP)
		unexpected(area, "madvise %d", advice);
	thread->unsupported++;
	return false;
}

static void op_pageout(struct thread *thread, struct area *area, size_t first, size_t count)
{
	advise(thread, area, first, count, MADV_PAGEOUT);
	/* Some at once, others later. */
	if (one_in(thread, 2))
		area_check(thread, area, first, count, "read after pageout");
}

static void op_cold(struct thread *thread, struct area *area, size_t first, size_t count)
{
	advise(thread, area, first, count, MADV_COLD);
}

static void op_willneed(struct thread *thread, struct area *area, size_t first, size_t count)
{
	advise(thread, area, first, count, MADV_WILLNEED);
}

/* Private memory is zeros after it; shared memory only loses its mapping. */
static void op_dontneed(struct thread *thread, struct area *area, size_t first, size_t count)
{
	if (!advise(thread, area, first, count, MADV_DONTNEED) || area->file >= 0 || area->kind == SHARED)
		return;
	for (size_t page = first; page < first + count; page++)
		area->model[page] = (struct model_page){ 0, 0 };
}

static void op_free(struct thread *thread, struct area *area, size_t first, size_t count)
{
	if (!advise(thread, area, first, count, MADV_FREE))
		return;
	for (size_t page = first; page < first + count; page++)
		area->model[page].freed = 1;
}

/* Only one page of two is written, the others stay free to vanish. */
static void op_free_write(struct thread *thread, struct area *area, size_t first, size_t count)
{
	op_free(thread, area, first, count);
	for (size_t page = first; page < first + count; page += 2)
		area_write(area, page, false);
}

static void op_remove(struct thread *thread, struct area *area, size_t first, size_t count)
{
	if (area->kind == MEMFD) {
		if (fallocate(area->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * PAGE_BYTES),
			      (off_t)(count * PAGE_BYTES)))
			unexpected(area, "punch");
	} else if (area->kind != SHARED || !advise(thread, area, first, count, MADV_REMOVE)) {
		return;
	}
	for (size_t page = first; page < first + count; page++)
		area->model[page].version = 0;
}

static void op_truncate(struct thread *thread, struct area *area, size_t first, size_t count)
{
	(void)thread;
	(void)count;
	if (area->kind != MEMFD)
		return;
	/* Rarely much: it is the tail that goes. */
	first = area->pages - 1 - first % (area->pages / 4);
	if (ftruncate(area->file, (off_t)(first * PAGE_BYTES)) || ftruncate(area->file, (off_t)(area->pages * PAGE_BYTES)))
		unexpected(area, "ftruncate");
	for (size_t page = first; page < area->pages; page++)
		area->model[page].version = 0;
}

/* By the file's descriptor, without the mapping. */
static void op_file_read(struct thread *thread, struct area *area, size_t first, size_t count)
{
	unsigned char found[PAGE_BYTES];

	if (area->kind != MEMFD)
		return;
	for (size_t page = first; page < first + count; page++) {
		if (pread(area->file, found, PAGE_BYTES, (off_t)(page * PAGE_BYTES)) != (ssize_t)PAGE_BYTES)
			unexpected(area, "pread of page %zu", page);
		area_expect(area, page, area->model[page].version, thread->page);
		if (memcmp(found, thread->page, PAGE_BYTES))
			area_check(thread, area, page, 1, "pread, then mapping");
		if (memcmp(found, thread->page, PAGE_BYTES))
			unexpected(area, "pread of page %zu is not what is mapped", page);
		thread->verified += PAGE_BYTES;
	}
}

/* Other users of the pages than faults: get_user_pages by /proc/self/mem. */
static void op_peek(struct thread *thread, struct area *area, size_t first, size_t count)
{
	int file = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned char found[PAGE_BYTES];

	if (file < 0)
		return;
	for (size_t page = first; page < first + count; page++) {
		if (pread(file, found, PAGE_BYTES, (off_t)(uintptr_t)(area->memory + page * PAGE_BYTES)) != (ssize_t)PAGE_BYTES)
			unexpected(area, "/proc/self/mem at page %zu", page);
		area_expect(area, page, area->model[page].version, thread->page);
		if (memcmp(found, thread->page, PAGE_BYTES) && !area->model[page].freed) {
			area_check(thread, area, page, 1, "/proc/self/mem, then mapping");
			unexpected(area, "/proc/self/mem differs from the mapping at page %zu", page);
		}
		thread->verified += PAGE_BYTES;
	}
	close(file);
}

/* To other addresses, with another alignment now and then: swap entries move, huge pages are split. */
static void op_move(struct thread *thread, struct area *area, size_t first, size_t count)
{
	size_t bytes = area->pages * PAGE_BYTES;
	unsigned char *to = mmap(NULL, bytes + HUGE_PAGES * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)first;
	(void)count;
	if (to == MAP_FAILED)
		unexpected(area, "mmap");
	to += -(uintptr_t)to % (HUGE_PAGES * PAGE_BYTES);
	if (one_in(thread, 2))
		to += random_below(&thread->random, HUGE_PAGES) * PAGE_BYTES;
	if (mremap(area->memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		unexpected(area, "mremap");
	/* What was reserved around it, old and new, stays: address space is plenty. */
	area->memory = to;
}

static void op_lock(struct thread *thread, struct area *area, size_t first, size_t count)
{
	unsigned char *at = area->memory + first * PAGE_BYTES;

	if (mlock(at, count * PAGE_BYTES)) {
		if (errno != ENOMEM && errno != EAGAIN)
			unexpected(area, "mlock");
		return;
	}
	area_check(thread, area, first, count, "read while locked");
	if (munlock(at, count * PAGE_BYTES))
		unexpected(area, "munlock");
}

/* All small pages of one huge page go and are written anew in a row: the kernel may give a huge page. */
static void op_refill(struct thread *thread, struct area *area, size_t first, size_t count)
{
	uintptr_t start = (uintptr_t)(area->memory + first * PAGE_BYTES) & ~(HUGE_PAGES * PAGE_BYTES - 1);

	(void)count;
	if (start < (uintptr_t)area->memory)
		start += HUGE_PAGES * PAGE_BYTES;
	first = (start - (uintptr_t)area->memory) / PAGE_BYTES;
	if (first + HUGE_PAGES > area->pages)
		return;
	op_dontneed(thread, area, first, HUGE_PAGES);
	op_write(thread, area, first, HUGE_PAGES);
	if (one_in(thread, 2))
		advise(thread, area, first, HUGE_PAGES, MADV_PAGEOUT);
}

static void op_collapse(struct thread *thread, struct area *area, size_t first, size_t count)
{
	size_t part = area->pages - first < HUGE_PAGES ? area->pages - first : HUGE_PAGES;

	(void)count;
	advise(thread, area, first, part, MADV_COLLAPSE);
}

/*
 * Copy on write both ways: child and parent read and rewrite the same pages, some of them swapped, and neither may
 * see what the other wrote. Shared memory is read only by the child.
 */
static void op_fork(struct thread *thread, struct area *area, size_t first, size_t count)
{
	bool private = area->kind == PLAIN || area->kind == HUGE;
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child < 0) {
		if (errno == ENOMEM || errno == EAGAIN)
			return;
		unexpected(area, "fork");
	}
	if (!child) {
		thread->random ^= mix(~area->begun);
		area_check(thread, area, first, count, "read in a child");
		for (size_t page = first; private && page < first + count; page += 2)
			area_write(area, page, false);
		if (private && one_in(thread, 2))
			advise(thread, area, first, count, MADV_PAGEOUT);
		area_check(thread, area, first, count, "read in a child after its writes");
		/* Elsewhere too: pages of which the child has no copy. */
		first = random_below(&thread->random, area->pages - count + 1);
		area_check(thread, area, first, count, "read in a child, elsewhere");
		_exit(0);
	}
	thread->children++;
	for (size_t page = first + 1; private && page < first + count; page += 2)
		area_write(area, page, false);
	area_check(thread, area, first, count, "read with a child");
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status)) {
		fprintf(stderr, "swap-tester: that was in a child\n");
		fflush(NULL);
		_exit(WEXITSTATUS(status));
	}
	if (WIFSIGNALED(status))
		unexpected(area, "a child died of signal %d", WTERMSIG(status));
	area_check(thread, area, first, count, "read after a child");
}

static void op_reclaim(struct thread *thread, struct area *area, size_t first, size_t count)
{
	(void)area;
	(void)first;
	(void)count;
	group_reclaim(&group, (1 + random_below(&thread->random, 32)) * 128 * 1024);
}

/* The readers do those that do not change anything, of weight or not. */
struct operation operations[] = {
	{ "read", 150, false, false, op_read },
	{ "scan", 15, false, false, op_scan },
	{ "write", 30, false, true, op_write },
	{ "rewrite", 110, false, true, op_rewrite },
	{ "zeros", 15, false, true, op_zeros },
	{ "pageout", 40, false, false, op_pageout },
	{ "cold", 8, false, false, op_cold },
	{ "willneed", 10, false, false, op_willneed },
	{ "dontneed", 12, false, true, op_dontneed },
	{ "free", 8, true, true, op_free },
	{ "free-write", 8, true, true, op_free_write },
	{ "remove", 10, false, true, op_remove },
	{ "truncate", 3, false, true, op_truncate },
	{ "file-read", 10, false, false, op_file_read },
	{ "peek", 10, false, false, op_peek },
	{ "move", 4, false, true, op_move },
	{ "lock", 8, false, true, op_lock },
	{ "refill", 4, true, true, op_refill },
	{ "collapse", 3, false, false, op_collapse },
	{ "fork", 6, false, true, op_fork },
	{ "reclaim", 8, false, false, op_reclaim },
};
size_t operations_count = sizeof(operations) / sizeof(operations[0]);
_Static_assert(sizeof(operations) / sizeof(operations[0]) <= OPERATIONS_MAX, "OPERATIONS_MAX is too small");
