// SPDX-License-Identifier: GPL-2.0
/* One page at the far end of a sparse file: what costs a step for each page that there could be, does not end. */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "subject.h"

#define SECONDS_MAX 30	/* for all that follows the page's way out; without tmem it takes none */

/* Makes the file as long as its file system can, and its last page one of the pattern. */
static verdict make_long(struct subject *subject, off_t *far)
{
	off_t size = INT64_MAX & ~(off_t)(PAGE_BYTES - 1);

	subject_renew(subject, 0, PAGE_BYTES);
	while (ftruncate(subject->file, size) ||
	       pwrite(subject->file, buffer, PAGE_BYTES, size - (off_t)PAGE_BYTES) != PAGE_BYTES) {
		size = size / 2 & ~(off_t)(PAGE_BYTES - 1);
		if (size < 1LL << 40)
			return because("no file is long enough: %s", strerror(errno));
	}
	*far = size - (off_t)PAGE_BYTES;
	return fsync(subject->file) ? because("fsync: %s", strerror(errno)) : NULL;
}

static verdict read_far(struct subject *subject, off_t far, const char *when)
{
	if (pread(subject->file, buffer, PAGE_BYTES, far) != PAGE_BYTES)
		return because("%s, a read of the last page: %s", when, strerror(errno));
	return memcmp(buffer, subject->bytes, PAGE_BYTES) ? because("%s, the last page is wrong", when) : NULL;
}

static verdict put_far(struct subject *subject, off_t far)
{
	for (unsigned int tries = 0; resident_pages(subject->file, (uint64_t)far, PAGE_BYTES); tries++) {
		if (tries > 40)
			return because("the last page cannot be reclaimed");
		reclaim_everywhere();
	}
	return read_far(subject, far, "after reclaim");
}

static verdict change_and_remove(struct subject *subject, off_t far)
{
	/* All but the last page, then from the second page on, then all. */
	if (fallocate(subject->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, far))
		return because("punch: %s", strerror(errno));
	TRY(put_far(subject, far));
	reclaim_everywhere();
	if (ftruncate(subject->file, PAGE_BYTES) || ftruncate(subject->file, far + (off_t)PAGE_BYTES))
		return because("truncate: %s", strerror(errno));
	memset(subject->bytes, 0, PAGE_BYTES);
	TRY(read_far(subject, far, "after truncation"));
	TRY(put_far(subject, far));
	reclaim_everywhere();
	subject_end(subject);
	return NULL;
}

/*
 * A flush of a wide range must not look for each page in it. In a process of its own, as a call that is stuck cannot
 * be killed.
 */
verdict test_far_page(void)
{
	struct subject subject;
	int status = 0;
	pid_t child;
	off_t far = 0;

	TRY(subject_make(&subject, "far-page"));
	TRY(make_long(&subject, &far));
	/* The first time, the file system may only be given its pool. */
	for (unsigned int round = 0; round < 3; round++) {
		TRY(put_far(&subject, far));
		usleep(200000);
	}
	reclaim_everywhere();
	child = fork();
	if (child < 0)
		return because("fork: %s", strerror(errno));
	if (!child) {
		verdict result = change_and_remove(&subject, far);

		if (result)
			printf("note far-page: %s\n", result);
		fflush(NULL);
		_exit(result ? 1 : 0);
	}
	/* The last who has it open is the child: the inode ends there. */
	close(subject.file);
	close(subject.direct);
	for (unsigned int ms = 0; waitpid(child, &status, WNOHANG) != child; ms += 100) {
		if (ms > SECONDS_MAX * 1000)
			return because("punch, truncate and unlink of a file with a page at %llu are not over in %u s",
				       (unsigned long long)far, SECONDS_MAX);
		usleep(100000);
	}
	printf("note far-page: at %llu\n", (unsigned long long)far);
	return status ? because("the other process ended with status %x", (unsigned int)status) : NULL;
}
