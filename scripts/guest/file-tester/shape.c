// SPDX-License-Identifier: GPL-2.0
/* Size and holes: truncate, and all that fallocate does. */
#define _GNU_SOURCE
#include <linux/falloc.h>

#include "tester.h"

/* Kinds of fallocate that the file system has not, by mode. */
static volatile bool unsupported_mode[256];

/* True if it was done; if it could not be for want of space, the file is cut at @offset. */
static bool allocate(struct thread *thread, struct file *file, int mode, uint64_t offset, uint64_t length,
		     const char *what)
{
	if (!fallocate(file->buffered, mode, (off_t)offset, (off_t)length))
		return true;
	if (errno == EOPNOTSUPP) {
		unsupported_mode[mode] = true;
		thread->unsupported++;
		record_lock(file);
		record_commit(file);
		return false;
	}
	if (errno != ENOSPC)
		unexpected(file, "%s of %llu bytes at %llu", what, (unsigned long long)length,
			   (unsigned long long)offset);
	cut_after_no_space(thread, file, smaller(offset, file->size));
	return false;
}

static void resize(struct file *file, uint64_t size, const char *what)
{
	record_begin(file, what, smaller(size, file->size), TO_THE_END, 0);
	if (ftruncate(file->buffered, (off_t)size))
		unexpected(file, "%s to %llu", what, (unsigned long long)size);
	record_lock(file);
	model_resize(file, size);
	record_commit(file);
}

/* Often by a little, so that the files do not stay small. */
void shape_shrink(struct thread *thread, struct file *file)
{
	uint64_t size = file->size, by;

	if (!size)
		return;
	by = 1 + random_next(&thread->random) % (one_in(thread, 4) ? size : smaller(size, 262144));
	size -= by;
	if (one_in(thread, 3))
		size &= ~(block_bytes - 1);
	resize(file, size, "truncate-down");
}

void shape_grow(struct thread *thread, struct file *file)
{
	uint64_t room = options.file_size - file->size;

	if (!room)
		return;
	resize(file, file->size + 1 + random_next(&thread->random) % (one_in(thread, 4) ? room : smaller(room, 262144)),
	       "truncate-up");
}

static void erase(struct thread *thread, struct file *file, int mode, const char *what)
{
	uint64_t offset, end;
	size_t length;

	if (unsupported_mode[mode] || !range_anywhere(thread, file, 1, LENGTH_MAX, &offset, &length))
		return;
	end = offset + length;
	record_begin(file, what, smaller(offset, file->size), mode == FALLOC_FL_ZERO_RANGE && end > file->size ? TO_THE_END : end, 0);
	if (!allocate(thread, file, mode, offset, length, what))
		return;
	record_lock(file);
	memset(file->bytes + offset, 0, length);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		file->size = larger(file->size, end);
	record_commit(file);
}

void shape_punch(struct thread *thread, struct file *file)
{
	erase(thread, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch");
}

void shape_zero(struct thread *thread, struct file *file)
{
	erase(thread, file, FALLOC_FL_ZERO_RANGE, "zero");
}

void shape_zero_keep(struct thread *thread, struct file *file)
{
	erase(thread, file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, "zero-keep");
}

/* Takes blocks out of the middle: all behind move down. */
void shape_collapse(struct thread *thread, struct file *file)
{
	uint64_t offset;
	size_t length;

	if (unsupported_mode[FALLOC_FL_COLLAPSE_RANGE] ||
	    !range_inside(thread, file, block_bytes, LENGTH_MAX, &offset, &length) || offset + length >= file->size)
		return;
	record_begin(file, "collapse", offset, TO_THE_END, 0);
	if (!allocate(thread, file, FALLOC_FL_COLLAPSE_RANGE, offset, length, "collapse"))
		return;
	record_lock(file);
	memmove(file->bytes + offset, file->bytes + offset + length, file->size - offset - length);
	model_resize(file, file->size - length);
	record_commit(file);
}

void shape_insert(struct thread *thread, struct file *file)
{
	uint64_t offset;
	size_t length;

	if (unsupported_mode[FALLOC_FL_INSERT_RANGE] ||
	    !range_inside(thread, file, block_bytes, LENGTH_MAX, &offset, &length) ||
	    file->size + length > options.file_size)
		return;
	record_begin(file, "insert", offset, TO_THE_END, 0);
	if (!allocate(thread, file, FALLOC_FL_INSERT_RANGE, offset, length, "insert"))
		return;
	record_lock(file);
	memmove(file->bytes + offset + length, file->bytes + offset, file->size - offset);
	memset(file->bytes + offset, 0, length);
	file->size += length;
	record_commit(file);
}

static void reserve(struct thread *thread, struct file *file, int mode, const char *what)
{
	uint64_t offset;
	size_t length;

	if (unsupported_mode[mode] || !range_anywhere(thread, file, 1, LENGTH_MAX, &offset, &length))
		return;
	/* Nothing changes but the size. */
	record_begin(file, what, file->size, TO_THE_END, 0);
	if (!allocate(thread, file, mode, offset, length, what))
		return;
	record_lock(file);
	if (!mode)
		file->size = larger(file->size, offset + length);
	record_commit(file);
}

void shape_allocate(struct thread *thread, struct file *file)
{
	reserve(thread, file, 0, "allocate");
}

void shape_allocate_keep(struct thread *thread, struct file *file)
{
	reserve(thread, file, FALLOC_FL_KEEP_SIZE, "allocate-keep");
}
