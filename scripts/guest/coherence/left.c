// SPDX-License-Identifier: GPL-2.0
/*
 * Changes that leave stale folios in the page cache: direct writes that fail half way, a clone that is killed, and
 * what was stale before the module came. The kernel serves them until reclaim takes them, and reads the disk then.
 *
 * suspects: what was resident when such a change ended is not kept.
 */
#define _GNU_SOURCE
#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "subject.h"

#define HALF (SUBJECT_PAGES / 2)

/* What is on the disk is right, whatever a call said. */
static verdict take_from_disk(struct subject *subject)
{
	if (pread(subject->direct, buffer, SUBJECT_BYTES, 0) != SUBJECT_BYTES)
		return because("direct read: %s", strerror(errno));
	memcpy(subject->bytes, buffer, SUBJECT_BYTES);
	return NULL;
}

/*
 * A direct write whose source is a mapping of the file itself, so that the old pages come into the page cache after
 * they were invalidated, and then HALF pages of @rest: its @error comes when the first half has been written.
 */
static verdict fail_half_way(struct subject *subject, void *rest, int error)
{
	struct iovec vector[SUBJECT_PAGES];
	unsigned char *map = mmap(NULL, SUBJECT_BYTES, PROT_READ, MAP_SHARED, subject->file, 0);
	ssize_t done;

	if (map == MAP_FAILED)
		return because("mmap: %s", strerror(errno));
	for (size_t i = 0; i < SUBJECT_PAGES; i++)
		vector[i] = (struct iovec){ i < HALF ? map + (i + 1) % HALF * PAGE_BYTES : rest, PAGE_BYTES };
	done = pwritev(subject->direct, vector, SUBJECT_PAGES, 0);
	munmap(map, SUBJECT_BYTES);
	if (done >= 0 || errno != error)
		return because("skip: the write did not fail half way (%zd)", done);
	return NULL;
}

static verdict compare_in_time(struct subject *subject)
{
	TRY(take_from_disk(subject));
	/* The kernel's own page cache is stale until here. */
	TRY(subject_put(subject));
	return subject_compare_all(subject);
}

/* The last part of the source is not there. */
verdict test_direct_fault(void)
{
	struct subject subject;

	if (has_native_hooks())
		return BLIND;
	TRY(subject_make(&subject, "direct-fault"));
	TRY(subject_put(&subject));
	TRY(fail_half_way(&subject, (void *)PAGE_BYTES, EFAULT));
	TRY(compare_in_time(&subject));
	subject_end(&subject);
	return NULL;
}

/* The second half is a hole, and no block is left to fill it. */
verdict test_direct_full(void)
{
	struct subject subject;
	verdict result;
	char path[1200];
	off_t at = 0;
	void *plain;
	int filler;

	if (has_native_hooks())
		return BLIND;
	plain = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	TRY(subject_make(&subject, "direct-full"));
	if (fallocate(subject.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, HALF * PAGE_BYTES, HALF * PAGE_BYTES) ||
	    fsync(subject.file))
		return because("skip: no holes");
	memset(subject.bytes + HALF * PAGE_BYTES, 0, HALF * PAGE_BYTES);
	TRY(subject_put(&subject));
	snprintf(path, sizeof(path), "%s/direct-full.filler", directory);
	filler = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	for (off_t step = 64 << 20; step >= (off_t)block_bytes; step /= 2)
		while (!fallocate(filler, 0, at, step))
			at += step;
	result = fail_half_way(&subject, plain, ENOSPC);
	close(filler);
	unlink(path);
	TRY(result);
	TRY(compare_in_time(&subject));
	subject_end(&subject);
	return NULL;
}

/* The same as direct-fault, but the module comes after it: it cannot know, and must not trust what is there. */
verdict test_before_load(void)
{
	struct subject subject, other;
	verdict result;
	void *map;

	TRY(subject_make(&subject, "before-load"));
	TRY(subject_make(&other, "before-load.other"));
	TRY(module_remove());
	result = subject_put(&subject);
	if (!result)
		result = fail_half_way(&subject, (void *)PAGE_BYTES, EFAULT);
	/* So that it stays while reclaim takes others, by which the file system gets its pool. */
	map = mmap(NULL, SUBJECT_BYTES, PROT_READ, MAP_SHARED, subject.file, 0);
	if (!result && (map == MAP_FAILED || mlock(map, SUBJECT_BYTES)))
		result = because("mlock: %s", strerror(errno));
	TRY(module_insert());
	TRY(result);
	for (int i = 0; i < 2; i++) {
		TRY(subject_put(&other));
		usleep(300000);
		TRY(subject_compare(&other, "another file"));
	}
	munmap(map, SUBJECT_BYTES);
	TRY(compare_in_time(&subject));
	subject_end(&subject);
	subject_end(&other);
	return NULL;
}

/* At load each file that is resident is looked at. On btrfs before 6.8 its file systems are not those of its type. */
verdict test_walked(void)
{
	static const char *const names[] = { "walked.1", "walked.2", "walked.3", "walked.4" };
	enum { FILES = sizeof(names) / sizeof(names[0]) };
	struct subject subjects[FILES];
	size_t walked;

	for (int i = 0; i < FILES; i++)
		TRY(subject_make(&subjects[i], names[i]));
	TRY(module_remove());
	TRY(module_insert());
	walked = event_count("files_walked");
	for (int i = 0; i < FILES; i++)
		subject_end(&subjects[i]);
	if (walked < FILES || walked == SIZE_MAX)
		return because("of %d files that were resident at load, %zd were looked at", FILES, (ssize_t)walked);
	return NULL;
}

/* ---- a clone that is killed ---- */

#define CLONED_PAGES ((size_t)512)
#define CLONED_BYTES (CLONED_PAGES * PAGE_BYTES)

static unsigned char *many_bytes;

/* A file in which each page is an extent of its own. */
static int extents_of(const char *name, int byte)
{
	char path[1200];
	int file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	memset(many_bytes, byte, PAGE_BYTES);
	for (size_t first = 0; file >= 0 && first < 2; first++) {
		for (size_t page = first; page < CLONED_PAGES; page += 2)
			if (pwrite(file, many_bytes, PAGE_BYTES, (off_t)(page * PAGE_BYTES)) != PAGE_BYTES)
				return -1;
		fsync(file);
	}
	unlink(path);
	return file;
}

static int clone_to(int file, int from)
{
	struct file_clone_range range = { .src_fd = from, .src_length = CLONED_BYTES };

	return ioctl(file, FICLONERANGE, &range);
}

/* A child clones and is killed after @us; how many pages are new then, 0 if it was done by then. */
static size_t clone_and_kill(int file, int direct, int new, useconds_t us)
{
	size_t fresh = 0;
	int ready[2], status;
	char byte;
	pid_t child;

	if (pipe(ready))
		return 0;
	child = fork();
	if (!child)
		_exit(write(ready[1], "x", 1) == 1 && !clone_to(file, new) ? 0 : 1);
	if (read(ready[0], &byte, 1) == 1)
		usleep(us);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	close(ready[0]);
	close(ready[1]);
	if (!WIFSIGNALED(status) || pread(direct, many_bytes, CLONED_BYTES, 0) != (ssize_t)CLONED_BYTES)
		return 0;
	for (size_t page = 0; page < CLONED_PAGES; page++)
		fresh += many_bytes[page * PAGE_BYTES] == 1;
	return fresh;
}

static verdict compare_after_kill(int file, int direct)
{
	unsigned char *found = many_bytes + CLONED_BYTES;

	for (int i = 0; i < 2; i++) {
		size_t wrong = 0;

		for (unsigned int tries = 0; tries < 40 && resident_pages(file, 0, CLONED_BYTES); tries++)
			reclaim_everywhere();
		if (pread(file, found, CLONED_BYTES, 0) != (ssize_t)CLONED_BYTES ||
		    pread(direct, many_bytes, CLONED_BYTES, 0) != (ssize_t)CLONED_BYTES)
			return because("read: %s", strerror(errno));
		for (size_t page = 0; page < CLONED_PAGES; page++)
			wrong += memcmp(found + page * PAGE_BYTES, many_bytes + page * PAGE_BYTES, PAGE_BYTES) != 0;
		if (wrong)
			return because("after a clone was killed and reclaim, %zu pages are old", wrong);
	}
	return NULL;
}

/* It has replaced some extents, and 7.3 ends without a look at the page cache. */
verdict test_clone_killed(void)
{
	unsigned int killed = 0, half_way = 0;
	double whole = 0;
	char path[1200];
	int new, old, file, direct;

	if (has_native_hooks())
		return BLIND;
	if (posix_memalign((void **)&many_bytes, PAGE_BYTES, 2 * CLONED_BYTES))
		return because("no memory");
	new = extents_of("clone-killed.new", 1);
	old = extents_of("clone-killed.old", 2);
	snprintf(path, sizeof(path), "%s/clone-killed", directory);
	file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (new < 0 || old < 0 || file < 0 || direct < 0)
		return because("files: %s", strerror(errno));
	for (int i = 0; i < 3; i++) {
		whole = seconds_now();
		if (clone_to(file, i == 1 ? new : old))
			return errno == EOPNOTSUPP || errno == ENOTTY ? because("skip: the file system has no clones") :
									because("clone: %s", strerror(errno));
		whole = seconds_now() - whole;
	}
	for (unsigned int round = 0; round < 60 && killed < 6; round++) {
		size_t fresh;

		/* Resident, and clean. */
		if (clone_to(file, old) || fsync(file) || pread(file, many_bytes, CLONED_BYTES, 0) != (ssize_t)CLONED_BYTES)
			return because("clone back: %s", strerror(errno));
		fresh = clone_and_kill(file, direct, new, (useconds_t)(whole * 5e4 * (1 + round % 20)));
		/* All may be new and its page cache old: it is killed at the last extent, too. */
		killed += fresh > 0;
		half_way += fresh && fresh < CLONED_PAGES;
		TRY(compare_after_kill(file, direct));
	}
	unlink(path);
	printf("note clone-killed: %u clones were killed, %u of them half way\n", killed, half_way);
	return killed ? NULL : because("skip: no clone was killed in time");
}
