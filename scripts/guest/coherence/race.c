// SPDX-License-Identifier: GPL-2.0
/*
 * The races that a slow disk makes wide: direct writes in flight, and readahead that knows an old size. Both put
 * other accesses (the ballast) in front of their own in the disk's queue, so that there is time.
 */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "subject.h"

#define BALLAST 24
#define TARGETS 8
#define TARGET_BYTES (4 * PAGE_BYTES)

static aio_context_t context;
static unsigned char *ballast_bytes;

static verdict submit(int file, int code, void *bytes, size_t length, uint64_t offset)
{
	struct iocb block = {
		.aio_fildes = (uint32_t)file, .aio_lio_opcode = (uint16_t)code, .aio_buf = (uintptr_t)bytes,
		.aio_nbytes = length, .aio_offset = (int64_t)offset,
	}, *list = &block;

	if (!context && syscall(SYS_io_setup, 2 * (BALLAST + TARGETS), &context))
		return because("io_setup: %s", strerror(errno));
	if (syscall(SYS_io_submit, context, 1, &list) != 1)
		return because("io_submit: %s", strerror(errno));
	return NULL;
}

/* Every second page, so that the block layer cannot make few of them; a buffer each, as btrfs checks what it read. */
static verdict submit_ballast(struct subject *ballast, int code)
{
	if (!ballast_bytes && posix_memalign((void **)&ballast_bytes, PAGE_BYTES, BALLAST * PAGE_BYTES))
		return because("no memory");
	for (size_t i = 0; i < BALLAST; i++)
		TRY(submit(ballast->direct, code, ballast_bytes + i * PAGE_BYTES, PAGE_BYTES, 2 * i * PAGE_BYTES));
	return NULL;
}

/* Waits for so many, at least; how many came. */
static long completed(long least)
{
	struct io_event events[2 * (BALLAST + TARGETS)];
	long count = syscall(SYS_io_getevents, context, least, 2 * (BALLAST + TARGETS), events, NULL);

	for (long i = 0; i < count; i++)
		if (events[i].res < 0)
			return -1;
	return count;
}

/*
 * W5 and W6, and with the pages gone when the write completes (nothing in the page cache: on 7.x the kernel then
 * leaves W6 out) the rule that a mapping takes no page while direct writes are under way.
 *
 *   submit the write of new bytes -> W5 empties page cache and store
 *   read, while it waits: old bytes, rightly     reclaim: the store gets the old bytes
 *   the write completes -> the store must be emptied again           read: must be new
 */
verdict test_direct_async(void)
{
	struct subject subject, ballast;
	unsigned int in_time = 0;

	TRY(subject_make(&subject, "direct-async"));
	TRY(subject_make(&ballast, "direct-async.ballast"));
	for (unsigned int round = 0; round < rounds; round++) {
		static unsigned char *new_bytes;
		long done = 0, now;
		bool old;

		/* A direct write met a page that the kernel could not drop, and says so in its log: its own staleness. */
		if (fsync(subject.file) && errno == EIO)
			return because("skip: round %u: the kernel could not invalidate its own page cache", round);
		TRY(subject_put(&subject));
		if (!new_bytes && posix_memalign((void **)&new_bytes, PAGE_BYTES, SUBJECT_BYTES))
			return because("no memory");
		pattern_fill(new_bytes, subject.serial, ++subject.version, 0, SUBJECT_BYTES);
		TRY(submit_ballast(&ballast, IOCB_CMD_PWRITE));
		for (size_t i = 0; i < TARGETS; i++)
			TRY(submit(subject.direct, IOCB_CMD_PWRITE, new_bytes + 2 * i * TARGET_BYTES, TARGET_BYTES,
				   2 * i * TARGET_BYTES));
		old = pread(subject.file, buffer, SUBJECT_BYTES, 0) == (ssize_t)SUBJECT_BYTES &&
			!memcmp(buffer + 2 * (TARGETS - 1) * TARGET_BYTES,
				subject.bytes + 2 * (TARGETS - 1) * TARGET_BYTES, TARGET_BYTES);
		for (unsigned int tries = 0; tries < 5 && resident_pages(subject.file, 0, SUBJECT_BYTES); tries++)
			group_reclaim(&group, group_read(&group, "memory.current"));
		old = old && !resident_pages(subject.file, 2 * (TARGETS - 1) * TARGET_BYTES, TARGET_BYTES);
		now = completed(0);
		in_time += old && now < BALLAST + TARGETS;
		for (done = now; done < BALLAST + TARGETS; done += now) {
			now = completed(1);
			if (now < 0)
				return because("a direct write failed");
		}
		for (size_t i = 0; i < TARGETS; i++)
			memcpy(subject.bytes + 2 * i * TARGET_BYTES, new_bytes + 2 * i * TARGET_BYTES, TARGET_BYTES);
		TRY(subject_compare(&subject, "read after the writes were complete"));
	}
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	subject_end(&ballast);
	printf("note direct-async: old pages were reclaimed with the write in flight in %u of %u rounds\n", in_time, rounds);
	return in_time ? NULL : because("skip: never in time: the disk is too fast, or the file system has reads wait for the write");
}

/* --- end of file --- */

static struct subject *end_subject;
static uint64_t read_from;
static volatile bool truncated;

/* Holds the mapping's invalidate_lock, shared, until the disk has brought the page. */
static void *fault_slowly(void *map)
{
	(void)*(volatile unsigned char *)map;
	return NULL;
}

static void *cut(void *size)
{
	if (!ftruncate(end_subject->file, (off_t)*(uint64_t *)size))
		truncated = true;
	return NULL;
}

static void *read_ahead(void *unused)
{
	readahead(end_subject->file, (off_t)read_from, 32 * PAGE_BYTES);
	return unused;
}

/*
 * Readahead does not wait for the disk, and a page that is still being read is neither resident for mincore nor can
 * reclaim take it: were the file to grow before, the bug would show without any store. Their count stays the same
 * when the disk is done.
 */
static size_t pages_when_still(int file, uint64_t offset)
{
	size_t before, now = resident_pages(file, offset, SUBJECT_ROOM - offset);
	unsigned int still = 0;

	while (still < 5) {
		usleep(100000);
		before = now;
		now = resident_pages(file, offset, SUBJECT_ROOM - offset);
		still = now == before ? still + 1 : 0;
	}
	return now;
}

/*
 * A hole in the last page's first block and then a block is what makes ext4 with 1 KiB blocks leave its mapping
 * behind. The end is at a block's, or truncating would bring that page into the page cache itself.
 */
static verdict end_round(struct subject *subject, struct subject *ballast, unsigned int round, bool grow_first, size_t *beyond)
{
	uint64_t page = 12 + round * 7 % 40, size = page * PAGE_BYTES + 3072;
	pthread_t holder, cutter, readers[2];
	unsigned char *map;
	long done = 0;

	subject_renew(subject, 0, SUBJECT_BYTES);
	subject->size = SUBJECT_BYTES;
	/* Direct, so that neither the page cache nor a store has a page of it: each must come from the disk. */
	if (pwrite(subject->direct, buffer, SUBJECT_BYTES, 0) != (ssize_t)SUBJECT_BYTES ||
	    fallocate(subject->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page * PAGE_BYTES), 1024) ||
	    fsync(subject->file))
		return because("write and punch: %s", strerror(errno));
	memset(subject->bytes + page * PAGE_BYTES, 0, 1024);
	for (unsigned int tries = 0; tries < 40 && resident_pages(subject->file, 0, SUBJECT_BYTES); tries++)
		posix_fadvise(subject->file, 0, 0, POSIX_FADV_DONTNEED);
	map = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, subject->file, 0);
	if (map == MAP_FAILED)
		return because("mmap: %s", strerror(errno));
	madvise(map, PAGE_BYTES, MADV_RANDOM);
	truncated = false;
	read_from = (page - 8) * PAGE_BYTES;
	TRY(submit_ballast(ballast, IOCB_CMD_PREAD));
	pthread_create(&holder, NULL, fault_slowly, map);
	usleep(10000);
	pthread_create(&cutter, NULL, cut, &size);
	usleep(10000);
	for (size_t i = 0; i < 2; i++)
		pthread_create(&readers[i], NULL, read_ahead, NULL);
	pthread_join(holder, NULL);
	pthread_join(cutter, NULL);
	for (size_t i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	munmap(map, PAGE_BYTES);
	while (done < BALLAST) {
		long now = completed(1);

		if (now < 0)
			return because("a direct read failed");
		done += now;
	}
	if (!truncated)
		return because("ftruncate failed");
	*beyond += pages_when_still(subject->file, (page + 1) * PAGE_BYTES);
	memset(subject->bytes + size, 0, SUBJECT_BYTES - size);
	if (!grow_first)
		TRY(subject_put(subject));
	if (ftruncate(subject->file, SUBJECT_BYTES))
		return because("ftruncate up: %s", strerror(errno));
	/* What was beyond the end, and is inside now, is lost by the kernel here. */
	if (grow_first)
		TRY(subject_put(subject));
	return subject_compare(subject, "read after truncating down and up");
}

/* How many pages the module did not let be read, or kept from its store, as they were beyond an end; 0 without it. */
static size_t pages_refused(void)
{
	FILE *events = fopen("/sys/kernel/debug/tmem/page_cache", "re");
	char line[256];
	size_t count = 0;

	while (events && fgets(line, sizeof(line), events))
		sscanf(line, "pages_beyond_end %zu", &count);
	if (events)
		fclose(events);
	return count;
}

static verdict end_of_file(const char *name, bool grow_first)
{
	struct subject subject, ballast;
	size_t beyond = 0, refused = pages_refused();
	char ballast_name[64];
	verdict result = NULL;
	unsigned int round;

	snprintf(ballast_name, sizeof(ballast_name), "%s.ballast", name);
	TRY(subject_make(&subject, name));
	TRY(subject_make(&ballast, ballast_name));
	end_subject = &subject;
	for (round = 0; !result && round < rounds; round++)
		result = end_round(&subject, &ballast, round, grow_first, &beyond);
	refused = pages_refused() - refused;
	printf("note %s: in %u rounds %zu pages were resident beyond the end, %zu refused for it\n", name, round, beyond, refused);
	TRY(result);
	subject_end(&subject);
	subject_end(&ballast);
	return beyond || refused ? NULL :
		because("skip: no page came to be beyond the end: the disk is too fast, or the file system does not let it");
}

/*
 * EOF: no page wholly beyond the end is taken or given.
 *
 *   holder   faults a page in from a slow disk, with the invalidate_lock shared
 *   cutter   truncate down, waits for that lock
 *   reader   readahead: has read the old size, waits behind the cutter; then makes pages beyond the new end
 *
 * Such pages are up to date, and with blocks smaller than pages ext4 may fill them with other blocks' bytes. The
 * kernel drops them by reclaim; a store that kept them would show them when the file grows again. The note says how
 * many pages there were beyond the end.
 */
verdict test_end_of_file(void)
{
	return end_of_file("end-of-file", false);
}

/* The same, but the file grows before reclaim comes: the pages are inside of it when they could be taken. */
verdict test_end_of_file_grown(void)
{
	return end_of_file("end-of-file-grown", true);
}
