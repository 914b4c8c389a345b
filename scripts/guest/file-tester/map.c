// SPDX-License-Identifier: GPL-2.0
/* Shared mappings: read whole, read page by page, written. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>

#include "pattern.h"
#include "tester.h"

static __thread sigjmp_buf fault;
static __thread volatile bool may_fault;

static void on_fault(int number)
{
	if (may_fault)
		siglongjmp(fault, 1);
	/* Not in a copy: let it kill. */
	signal(number, SIG_DFL);
}

void map_catch_faults(void)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	if (sigaction(SIGBUS, &action, NULL))
		die("sigaction");
}

/* Page by page, where the mapping's side has its page boundaries; both sides may be the mapping. */
size_t map_copy(unsigned char *to, const unsigned char *from, size_t length)
{
	volatile size_t copied = 0;

	if (sigsetjmp(fault, 1)) {
		may_fault = false;
		return copied;
	}
	may_fault = true;
	while (copied < length) {
		size_t part = smaller(PAGE_BYTES, length - copied);

		memcpy(to + copied, from + copied, part);
		copied += part;
	}
	may_fault = false;
	return copied;
}

/* The pages around a range; the range's first byte is at *at. */
static unsigned char *map_range(struct file *file, uint64_t offset, size_t length, int protection,
				unsigned char **at, size_t *mapped)
{
	size_t before = offset % PAGE_BYTES;
	unsigned char *map;

	*mapped = (before + length + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	map = mmap(NULL, *mapped, protection, MAP_SHARED, file->buffered, (off_t)(offset - before));
	if (map == MAP_FAILED)
		unexpected(file, "mmap of %zu bytes at %llu", *mapped, (unsigned long long)offset);
	*at = map + before;
	return map;
}

void map_read(struct thread *thread, struct file *file)
{
	uint64_t offset, since = reading_since(file);
	size_t length, mapped, got;
	unsigned char *map, *at;

	if (!range_inside(thread, file, 1, LENGTH_MAX - PAGE_BYTES, &offset, &length))
		return;
	map = map_range(file, offset, length, PROT_READ, &at, &mapped);
	got = map_copy(thread->data, at, length);
	if (got < length)
		unexpected(file, "map-read: SIGBUS at %llu", (unsigned long long)(offset + got));
	verify_read(thread, file, since, offset, thread->data, length, (ssize_t)length, "map-read");
	/* What a mapping shows beyond the end, in the last page, must be zeros. */
	if (offset + length == file->size)
		for (unsigned char *tail = at + length; tail < map + mapped; tail++)
			if (*tail)
				report_mismatch(thread, file, since, offset + length, tail, (size_t)(map + mapped - tail),
						"map-read beyond the end");
	munmap(map, mapped);
}

/* Single faults, without readahead: each page comes by itself. */
void map_random(struct thread *thread, struct file *file)
{
	size_t pages = file->size / PAGE_BYTES, mapped;
	uint64_t since = reading_since(file);
	unsigned char *map, *at;

	if (!pages)
		return;
	map = map_range(file, 0, pages * PAGE_BYTES, PROT_READ, &at, &mapped);
	madvise(map, mapped, MADV_RANDOM);
	for (size_t touches = 8; touches; touches--) {
		uint64_t offset = random_below(&thread->random, pages) * PAGE_BYTES;

		if (map_copy(thread->data, map + offset, PAGE_BYTES) < PAGE_BYTES)
			unexpected(file, "map-random: SIGBUS at %llu", (unsigned long long)offset);
		verify_read(thread, file, since, offset, thread->data, PAGE_BYTES, (ssize_t)PAGE_BYTES, "map-random");
	}
	munmap(map, mapped);
}

void map_write(struct thread *thread, struct file *file)
{
	size_t length, mapped, written;
	unsigned char *map, *at;
	uint64_t offset;
	uint32_t version;
	bool collided = false;

	if (!range_inside(thread, file, 1, 65536, &offset, &length))
		return;
	version = version_new(file);
	pattern_fill(thread->data, file->serial, version, offset, length);
	record_begin(file, "map-write", offset, offset + length, version);
	map = map_range(file, offset, length, PROT_READ | PROT_WRITE, &at, &mapped);
	if (one_in(thread, 3))
		madvise(map, mapped, MADV_RANDOM);
	written = map_copy(at, thread->data, length);
	if (one_in(thread, 4) && msync(map, mapped, one_in(thread, 2) ? MS_SYNC : MS_ASYNC)) {
		if (errno != ENOSPC && errno != EIO)
			unexpected(file, "msync");
		collided = errno == EIO;
	}
	munmap(map, mapped);
	record_lock(file);
	memcpy(file->bytes + offset, thread->data, written);
	if (written < length) {
		/* A hole that no block could be had for. */
		thread->no_space++;
		model_adopt(thread, file, offset + written, offset + length, thread->data + written);
	}
	record_commit(file);
	if (collided)
		collision(thread, file);
}
