// SPDX-License-Identifier: GPL-2.0
/* What must not be lost: hooks that take more than they need cost hits, and folios that the kernel would have kept. */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "subject.h"

static verdict put_again(struct subject *subject)
{
	for (int i = 0; i < 2; i++) {
		TRY(subject_put(subject));
		/* The first time, the file system may only be given its pool. */
		usleep(300000);
		TRY(subject_compare(subject, "before"));
	}
	return subject_put(subject);
}

/* One page is cloned from a file that somebody has open for writing, as a running machine's image is. */
verdict test_clone_keeps(void)
{
	struct file_clone_range range = { .src_length = PAGE_BYTES };
	struct subject from, to;
	size_t before, after;

	TRY(subject_make(&from, "clone-keeps.from"));
	TRY(subject_make(&to, "clone-keeps.to"));
	TRY(subject_compare(&from, "from"));
	TRY(subject_compare(&to, "to"));
	range.src_fd = from.file;
	before = resident_pages(from.file, 0, SUBJECT_BYTES);
	if (ioctl(to.file, FICLONERANGE, &range))
		return errno == EOPNOTSUPP || errno == ENOTTY ? because("skip: the file system has no clones") :
								because("clone: %s", strerror(errno));
	after = resident_pages(from.file, 0, SUBJECT_BYTES);
	if (after < before)
		return because("of %zu resident pages of the source %zu are left", before, after);
	/* The kernel drops what it has replaced, and no more. */
	after = resident_pages(to.file, PAGE_BYTES, SUBJECT_BYTES - PAGE_BYTES);
	if (after < SUBJECT_PAGES / 2)
		return because("of the target's other %zu pages %zu are left", SUBJECT_PAGES - 1, after);
	memcpy(to.bytes, from.bytes, PAGE_BYTES);
	TRY(subject_compare_all(&from));
	TRY(subject_compare_all(&to));
	before = event_count("folios_filled");
	if (before != SIZE_MAX) {
		TRY(put_again(&to));
		if (ioctl(to.file, FICLONERANGE, &range))
			return because("second clone: %s", strerror(errno));
		before = event_count("folios_filled");
		TRY(subject_compare(&to, "after a clone of its first page"));
		if (event_count("folios_filled") == before)
			return because("nothing behind the clone came from the store");
	}
	subject_end(&from);
	subject_end(&to);
	return NULL;
}

/* What is open for writing might be about to exchange its blocks. */
static verdict open_to_read(struct subject *subject)
{
	close(subject->file);
	close(subject->direct);
	subject->file = open(subject->path, O_RDONLY | O_CLOEXEC);
	subject->direct = open(subject->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	return subject->file < 0 || subject->direct < 0 ? because("open: %s", strerror(errno)) : NULL;
}

/* A rename over another file exchanges nothing: what the store has of both stays. */
verdict test_rename_keeps(void)
{
	struct subject old, new;
	size_t filled = event_count("folios_filled");

	if (filled == SIZE_MAX)
		return because("skip: no module that says what it filled");
	TRY(subject_make(&old, "rename-keeps"));
	TRY(subject_make(&new, "rename-keeps.new"));
	TRY(open_to_read(&old));
	TRY(open_to_read(&new));
	TRY(put_again(&old));
	TRY(put_again(&new));
	if (rename(new.path, old.path))
		return because("rename: %s", strerror(errno));
	filled = event_count("folios_filled");
	TRY(subject_compare(&new, "after it was renamed"));
	if (event_count("folios_filled") == filled)
		return because("nothing of the renamed file came from the store");
	filled = event_count("folios_filled");
	TRY(subject_compare(&old, "after another one has taken its name"));
	if (event_count("folios_filled") == filled)
		return because("nothing of the file that lost its name came from the store");
	subject_end(&old);
	subject_end(&new);
	return NULL;
}

/* A suspect is not kept, once: what is read in its place is (mm_filemap_delete_from_page_cache). */
verdict test_suspect_once(void)
{
	struct subject subject;
	size_t suspected = event_count("folios_suspect"), filled;
	unsigned char *map;

	if (suspected == SIZE_MAX)
		return because("skip: no module that says what it filled");
	TRY(subject_make(&subject, "suspect-once"));
	TRY(open_to_read(&subject));
	map = mmap(NULL, SUBJECT_BYTES, PROT_READ, MAP_SHARED, subject.file, 0);
	if (map == MAP_FAILED || mlock(map, SUBJECT_BYTES))
		return because("mlock: %s", strerror(errno));
	/* Who wants to have it read again, and cannot. */
	posix_fadvise(subject.file, 0, 0, POSIX_FADV_DONTNEED);
	munmap(map, SUBJECT_BYTES);
	TRY(put_again(&subject));
	suspected = event_count("folios_suspect") - suspected;
	filled = event_count("folios_filled");
	TRY(subject_compare(&subject, "later"));
	filled = event_count("folios_filled") - filled;
	printf("note suspect-once: %zu folios were not put, %zu filled later\n", suspected, filled);
	subject_end(&subject);
	return filled ? NULL : because("what was suspect once is never put");
}

#define SLOW_PAGES 12

/*
 * A file is truncated, and is busy when tmem first looks whether that is over: somebody writes to it what comes from
 * the disk a page at a time. What is written later is kept, as tmem looks again.
 */
verdict test_looked_again(void)
{
	struct subject subject, source;
	size_t filled;
	uint64_t busy;
	double start;
	unsigned char *map;

	if (event_count("folios_filled") == SIZE_MAX)
		return because("skip: no module that says what it filled");
	TRY(subject_make(&subject, "looked-again"));
	TRY(subject_make(&source, "looked-again.source"));
	TRY(put_again(&source));
	posix_fadvise(source.file, 0, 0, POSIX_FADV_DONTNEED);
	map = mmap(NULL, SUBJECT_BYTES, PROT_READ, MAP_SHARED, source.file, 0);
	if (map == MAP_FAILED || madvise(map, SUBJECT_BYTES, MADV_RANDOM))
		return because("mmap: %s", strerror(errno));
	start = seconds_now();
	if (ftruncate(subject.file, 0) ||
	    pwrite(subject.file, map, SLOW_PAGES * PAGE_BYTES, 0) != SLOW_PAGES * PAGE_BYTES)
		return because("cannot write: %s", strerror(errno));
	busy = (uint64_t)((seconds_now() - start) * 1000);
	munmap(map, SUBJECT_BYTES);
	usleep(1500000);
	memcpy(subject.bytes, source.bytes, SLOW_PAGES * PAGE_BYTES);
	subject_renew(&subject, SLOW_PAGES * PAGE_BYTES, SUBJECT_BYTES - SLOW_PAGES * PAGE_BYTES);
	if (pwrite(subject.file, subject.bytes + SLOW_PAGES * PAGE_BYTES, SUBJECT_BYTES - SLOW_PAGES * PAGE_BYTES,
		   SLOW_PAGES * PAGE_BYTES) != (ssize_t)(SUBJECT_BYTES - SLOW_PAGES * PAGE_BYTES))
		return because("cannot write the rest: %s", strerror(errno));
	TRY(subject_put(&subject));
	filled = event_count("folios_filled");
	TRY(subject_compare(&subject, "after one reclaim"));
	filled = event_count("folios_filled") - filled;
	printf("note looked-again: busy for %llu ms, %zu folios filled\n", (unsigned long long)busy, filled);
	subject_end(&subject);
	subject_end(&source);
	if (busy < 60)
		return because("skip: the disk is too fast");
	return filled ? NULL : because("nothing that was written after the truncation was kept");
}
