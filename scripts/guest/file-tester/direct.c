// SPDX-License-Identifier: GPL-2.0
/* Direct I/O: one write or read, and several asynchronous writes while the range is read through the page cache. */
#define _GNU_SOURCE
#include <linux/aio_abi.h>
#include <sys/syscall.h>

#include "pattern.h"
#include "tester.h"

#define WRITES_MAX 8

/* The smallest unit that the file system takes half of the time, whole blocks else. */
static uint64_t direct_align(struct thread *thread)
{
	return one_in(thread, 2) ? direct_bytes : larger(direct_bytes, block_bytes);
}

void direct_read(struct thread *thread, struct file *file)
{
	uint64_t offset, since = reading_since(file);
	size_t length;

	if (!range_inside(thread, file, direct_align(thread), LENGTH_MAX, &offset, &length))
		return;
	record_read(file, "direct-read", offset, offset + length);
	verify_read(thread, file, since, offset, thread->data, length,
		    pread(file->direct, thread->data, length, (off_t)offset), "direct read");
}

/* What a direct write of @wanted bytes at @offset left, if it gave @result. Model locked. */
static void take_result(struct thread *thread, struct file *file, uint64_t offset, size_t length,
			const unsigned char *wanted, int64_t result)
{
	size_t whole = result > 0 ? (size_t)result : 0;

	if (result < 0 && result != -ENOSPC) {
		errno = (int)-result;
		unexpected(file, "direct write of %zu bytes at %llu", length, (unsigned long long)offset);
	}
	memcpy(file->bytes + offset, wanted, whole);
	if (whole)
		file->size = larger(file->size, offset + whole);
	if (whole < length) {
		thread->no_space++;
		model_adopt(thread, file, offset + whole, offset + length, wanted + whole);
	}
}

void direct_write(struct thread *thread, struct file *file)
{
	uint64_t offset, end;
	size_t length;
	ssize_t written;
	uint32_t version;

	if (!range_anywhere(thread, file, direct_align(thread), LENGTH_MAX, &offset, &length))
		return;
	end = offset + length;
	version = version_new(file);
	pattern_fill(thread->data, file->serial, version, offset, length);
	record_begin(file, "direct-write", smaller(offset, file->size), end > file->size ? TO_THE_END : end, version);
	written = pwrite(file->direct, thread->data, length, (off_t)offset);
	record_lock(file);
	take_result(thread, file, offset, length, thread->data, written < 0 ? -errno : written);
	record_commit(file);
}

static int async_context(aio_context_t *context)
{
	static __thread aio_context_t own;

	if (!own && syscall(SYS_io_setup, WRITES_MAX, &own))
		return -1;
	*context = own;
	return 0;
}

/* While the writes are in flight: bring old pages into the cache, and have reclaim take them. */
static void disturb(struct thread *thread, struct file *file, const struct iocb *writes, size_t count)
{
	const struct iocb *write = &writes[random_below(&thread->random, count)];
	uint64_t offset = (uint64_t)write->aio_offset, since = reading_since(file);
	size_t length = (size_t)write->aio_nbytes;

	switch (random_below(&thread->random, 4)) {
	case 0:
		cache_reclaim(thread, file);
		break;
	case 1:
		readahead(file->buffered, (off_t)offset, length);
		break;
	default:
		/* The writes' data is in thread->data. */
		verify_read(thread, file, since, offset, thread->pattern, length,
			    pread(file->buffered, thread->pattern, length, (off_t)offset), "read under async write");
		thread->direct_in_flight_reads++;
	}
}

void direct_async(struct thread *thread, struct file *file)
{
	size_t count = 0, wanted = 1 + random_below(&thread->random, WRITES_MAX), used = 0, disturbances;
	struct iocb writes[WRITES_MAX], *list[WRITES_MAX];
	struct io_event events[WRITES_MAX];
	/* One unit for all: two direct writes must not meet in a block. */
	uint64_t align = larger(direct_bytes, one_in(thread, 3) ? direct_bytes : block_bytes);
	aio_context_t context;
	long done, submitted;

	if (async_context(&context)) {
		thread->unsupported++;
		return;
	}
	for (size_t try = 0; try < 2 * WRITES_MAX && count < wanted; try++) {
		uint64_t offset;
		size_t length, i;
		uint32_t version;

		if (!range_inside(thread, file, align, LENGTH_MAX / 4, &offset, &length) || used + length > LENGTH_MAX)
			continue;
		for (i = 0; i < count; i++)
			if (offset < (uint64_t)writes[i].aio_offset + writes[i].aio_nbytes &&
			    offset + length > (uint64_t)writes[i].aio_offset)
				break;
		if (i < count)
			continue;
		version = version_new(file);
		pattern_fill(thread->data + used, file->serial, version, offset, length);
		record_begin(file, "async-write", offset, offset + length, version);
		writes[count] = (struct iocb){
			.aio_fildes = (uint32_t)file->direct, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_data = count,
			.aio_buf = (uintptr_t)(thread->data + used), .aio_nbytes = length, .aio_offset = (int64_t)offset,
		};
		list[count] = &writes[count];
		used += length;
		count++;
	}
	if (!count)
		return;
	for (submitted = 0; submitted < (long)count; submitted += done) {
		done = syscall(SYS_io_submit, context, (long)count - submitted, list + submitted);
		if (done <= 0)
			unexpected(file, "io_submit of %ld", (long)count - submitted);
	}
	for (disturbances = random_below(&thread->random, 4); disturbances; disturbances--)
		disturb(thread, file, writes, count);
	done = syscall(SYS_io_getevents, context, (long)count, (long)count, events, NULL);
	if (done != (long)count)
		unexpected(file, "io_getevents gave %ld of %zu", done, count);
	record_lock(file);
	for (size_t i = 0; i < count; i++) {
		const struct iocb *write = &writes[events[i].data];

		take_result(thread, file, (uint64_t)write->aio_offset, (size_t)write->aio_nbytes,
			    (const unsigned char *)(uintptr_t)write->aio_buf, events[i].res);
	}
	record_commit(file);
	for (size_t i = 0; i < count; i++) {
		uint64_t since = reading_since(file);

		verify_read(thread, file, since, (uint64_t)writes[i].aio_offset, thread->pattern,
			    (size_t)writes[i].aio_nbytes,
			    pread(file->buffered, thread->pattern, (size_t)writes[i].aio_nbytes, (off_t)writes[i].aio_offset),
			    "read after async write");
	}
}
