// SPDX-License-Identifier: GPL-2.0
/* Between files of one owner, or inside of one: clones, copy_file_range, sendfile. */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

#include "tester.h"

static volatile bool no_clones;

/* The model's side of @length bytes copied from @from at @offset to @at. */
static void take_copy(struct file *file, uint64_t at, const struct file *from, uint64_t offset, size_t length)
{
	record_lock(file);
	memmove(file->bytes + at, from->bytes + offset, length);
	if (length)
		file->size = larger(file->size, at + length);
	record_commit(file);
}

static void begin(struct file *file, const char *what, uint64_t at, size_t length)
{
	uint64_t end = at + length;

	record_begin(file, what, smaller(at, file->size), end > file->size ? TO_THE_END : end, 0);
}

/* Source and destination, the same length for both, apart if it is one file. */
static bool choose(struct thread *thread, struct file *file, uint64_t align, struct file **from, uint64_t *offset,
		   uint64_t *at, size_t *length)
{
	size_t room;

	*from = other_file(thread, file);
	if (!range_inside(thread, *from, align, LENGTH_MAX, offset, length) ||
	    !range_anywhere(thread, file, align, LENGTH_MAX, at, &room))
		return false;
	*length = smaller(*length, options.file_size - *at) & ~(align - 1);
	return *length && (*from != file || *at + *length <= *offset || *offset + *length <= *at);
}

static bool cloned(struct thread *thread, struct file *file, int result, const char *what)
{
	if (!result)
		return true;
	if (errno == EOPNOTSUPP || errno == ENOTTY) {
		no_clones = true;
		thread->unsupported++;
	} else if (errno == ENOSPC) {
		thread->no_space++;
	} else {
		unexpected(file, "%s", what);
	}
	record_lock(file);
	record_commit(file);
	return false;
}

/* All of one file into another, which is emptied first: FICLONE leaves what is longer. */
void copy_clone(struct thread *thread, struct file *file)
{
	struct file *from = other_file(thread, file);

	if (no_clones || from == file || !from->size)
		return;
	record_begin(file, "clone", 0, TO_THE_END, 0);
	if (ftruncate(file->buffered, 0))
		unexpected(file, "truncate before a clone");
	record_lock(file);
	model_resize(file, 0);
	pthread_rwlock_unlock(&file->model);
	if (!cloned(thread, file, ioctl(file->buffered, FICLONE, from->buffered), "FICLONE"))
		return;
	take_copy(file, 0, from, 0, from->size);
}

void copy_clone_range(struct thread *thread, struct file *file)
{
	struct file *from;
	uint64_t offset, at;
	size_t length;

	if (no_clones || !choose(thread, file, block_bytes, &from, &offset, &at, &length))
		return;
	begin(file, "clone-range", at, length);
	if (!cloned(thread, file, ioctl(file->buffered, FICLONERANGE, &(struct file_clone_range){
			.src_fd = from->buffered, .src_offset = offset, .src_length = length, .dest_offset = at }),
		    "FICLONERANGE"))
		return;
	take_copy(file, at, from, offset, length);
}

/* Both may copy less than asked for. */
static size_t copied(struct thread *thread, struct file *file, ssize_t done, size_t length, const char *what)
{
	if (done < 0 && errno == ENOSPC)
		done = 0;
	if (done < 0)
		unexpected(file, "%s of %zu bytes", what, length);
	if ((size_t)done < length && errno == ENOSPC)
		thread->no_space++;
	return (size_t)done;
}

void copy_range(struct thread *thread, struct file *file)
{
	struct file *from;
	uint64_t offset, at;
	size_t length, done;
	off_t in, out;

	if (!choose(thread, file, one_in(thread, 2) ? 1 : block_bytes, &from, &offset, &at, &length))
		return;
	begin(file, "copy-range", at, length);
	in = (off_t)offset;
	out = (off_t)at;
	done = copied(thread, file, copy_file_range(from->buffered, &in, file->buffered, &out, length, 0), length,
		      "copy_file_range");
	take_copy(file, at, from, offset, done);
}

void copy_sendfile(struct thread *thread, struct file *file)
{
	struct file *from;
	uint64_t offset, at;
	size_t length, done;
	off_t in;

	if (!choose(thread, file, 1, &from, &offset, &at, &length))
		return;
	begin(file, "sendfile", at, length);
	if (lseek(file->buffered, (off_t)at, SEEK_SET) != (off_t)at)
		unexpected(file, "seek");
	in = (off_t)offset;
	done = copied(thread, file, sendfile(file->buffered, from->buffered, &in, length), length, "sendfile");
	take_copy(file, at, from, offset, done);
}
