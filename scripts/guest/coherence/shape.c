// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that reclaim took, and then a change of the file's size, holes or order before they are read again.
 *
 * All of these come to truncate_inode_pages_range (W4) in the kernel, though no page of theirs is in the page cache:
 * without that hook, what the store has of the range comes back.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "subject.h"

static void take_zeros(struct subject *subject, uint64_t offset, size_t length)
{
	memset(subject->bytes + offset, 0, length);
}

/* Down to @to, up again, everything in between must be zeros. */
static verdict down_and_up(const char *name, uint64_t to)
{
	struct subject subject;

	TRY(subject_make(&subject, name));
	TRY(subject_put(&subject));
	if (ftruncate(subject.file, (off_t)to) || ftruncate(subject.file, SUBJECT_BYTES))
		return because("ftruncate: %s", strerror(errno));
	take_zeros(&subject, to, SUBJECT_BYTES - to);
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* W4, from truncate_pagecache. */
verdict test_truncate(void)
{
	return down_and_up("truncate", 8 * PAGE_BYTES);
}

/* W4: the page that the new end is in is read, changed and written by the file system itself, so T2 as well. */
verdict test_truncate_in_page(void)
{
	return down_and_up("truncate-in-page", 8 * PAGE_BYTES + 1234);
}

static verdict with_fallocate(const char *name, int mode, uint64_t offset, uint64_t length)
{
	struct subject subject;

	TRY(subject_make(&subject, name));
	TRY(subject_put(&subject));
	if (fallocate(subject.file, mode, (off_t)offset, (off_t)length)) {
		if (errno == EOPNOTSUPP)
			return because("skip: the file system has no such fallocate");
		return because("fallocate: %s", strerror(errno));
	}
	switch (mode) {
	case FALLOC_FL_COLLAPSE_RANGE:
		memmove(subject.bytes + offset, subject.bytes + offset + length, SUBJECT_BYTES - offset - length);
		subject.size -= length;
		take_zeros(&subject, subject.size, length);
		break;
	case FALLOC_FL_INSERT_RANGE:
		memmove(subject.bytes + offset + length, subject.bytes + offset, SUBJECT_BYTES - offset);
		subject.size += length;
		/* fallthrough */
	default:
		take_zeros(&subject, offset, length);
	}
	TRY(subject_compare_all(&subject));
	subject_end(&subject);
	return NULL;
}

/* W4, from truncate_pagecache_range. */
verdict test_punch(void)
{
	return with_fallocate("punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE_BYTES, 20 * PAGE_BYTES);
}

/* W4 for the pages wholly inside, T2 for those at the edges, which the file system reads and dirties. */
verdict test_punch_in_page(void)
{
	return with_fallocate("punch-in-page", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE_BYTES + 100,
			      5 * PAGE_BYTES + 3000);
}

/* W4. */
verdict test_zero(void)
{
	return with_fallocate("zero", FALLOC_FL_ZERO_RANGE, 10 * PAGE_BYTES + 1000, 20 * PAGE_BYTES);
}

/* W4, up to the end of the file: each later page moves to another index. */
verdict test_collapse(void)
{
	return with_fallocate("collapse", FALLOC_FL_COLLAPSE_RANGE, 10 * PAGE_BYTES, 7 * PAGE_BYTES);
}

verdict test_insert(void)
{
	return with_fallocate("insert", FALLOC_FL_INSERT_RANGE, 10 * PAGE_BYTES, 7 * PAGE_BYTES);
}

/* W4: the destination's pages go with the blocks that they were read from. */
verdict test_clone_over(void)
{
	struct file_clone_range range = { .src_offset = 4 * PAGE_BYTES, .src_length = 16 * PAGE_BYTES,
					  .dest_offset = 20 * PAGE_BYTES };
	struct subject from, to;

	TRY(subject_make(&from, "clone-from"));
	TRY(subject_make(&to, "clone-to"));
	TRY(subject_put(&from));
	TRY(subject_put(&to));
	range.src_fd = from.file;
	if (ioctl(to.file, FICLONERANGE, &range)) {
		if (errno == EOPNOTSUPP || errno == ENOTTY)
			return because("skip: the file system has no clones");
		return because("FICLONERANGE: %s", strerror(errno));
	}
	memcpy(to.bytes + range.dest_offset, from.bytes + range.src_offset, range.src_length);
	TRY(subject_compare_all(&to));
	TRY(subject_compare_all(&from));
	subject_end(&from);
	subject_end(&to);
	return NULL;
}

/* W4 where it makes a clone; else a buffered write, and T2. */
verdict test_copy_over(void)
{
	off_t in = 4 * PAGE_BYTES, out = 20 * PAGE_BYTES;
	struct subject from, to;
	ssize_t done;

	TRY(subject_make(&from, "copy-from"));
	TRY(subject_make(&to, "copy-to"));
	TRY(subject_put(&from));
	TRY(subject_put(&to));
	done = copy_file_range(from.file, &in, to.file, &out, 16 * PAGE_BYTES, 0);
	if (done < 0)
		return because("copy_file_range: %s", strerror(errno));
	memcpy(to.bytes + 20 * PAGE_BYTES, from.bytes + 4 * PAGE_BYTES, (size_t)done);
	TRY(subject_compare_all(&to));
	subject_end(&from);
	subject_end(&to);
	return NULL;
}
