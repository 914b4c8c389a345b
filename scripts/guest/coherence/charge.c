// SPDX-License-Identifier: GPL-2.0
/* A page that one group had put, read by another: right, and charged to the reader. */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "subject.h"

/* In a child of its own in @reader: reads all of the file; its verdict comes back through a pipe. */
static verdict read_in(const struct group *reader, struct subject *subject)
{
	static char text[300];
	int ends[2], status;
	ssize_t got;
	pid_t child;

	if (pipe(ends) || (child = fork()) < 0)
		return because("fork: %s", strerror(errno));
	if (!child) {
		verdict result = group_enter(reader) ? subject_compare(subject, "read in the other group") :
			because("cannot enter a group");

		if (result && write(ends[1], result, strlen(result)) < 0)
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	got = read(ends[0], text, sizeof(text) - 1);
	close(ends[0]);
	waitpid(child, &status, 0);
	text[got > 0 ? got : 0] = 0;
	return got > 0 ? text : NULL;
}

/*
 * W2 and W3: the page was charged when it was added to the page cache, before it was filled from the store. It is
 * charged once: what the reader has, the putter has not; the putter's own sum moves with the file system's doings.
 */
verdict test_charge(void)
{
	struct group reader = { "" };
	struct subject subject;
	unsigned long long before, own_before, own_after, after;

	TRY(subject_make(&subject, "charge"));
	TRY(subject_put(&subject));
	if (!group_create(&reader, "coherence-reader", 0))
		return because("skip: no memory cgroup");
	own_before = group_read(&group, "memory.current");
	before = group_read(&reader, "memory.current");
	TRY(read_in(&reader, &subject));
	after = group_read(&reader, "memory.current");
	own_after = group_read(&group, "memory.current");
	printf("note charge: the reader's group went from %llu to %llu bytes, the putter's from %llu to %llu\n", before,
	       after, own_before, own_after);
	rmdir(reader.path);
	if (after < before + SUBJECT_BYTES / 8 * 7)
		return because("the reader was charged %lld bytes for %zu", (long long)(after - before), SUBJECT_BYTES);
	/* Not reclaimed and compared again: the pages are the other group's now. */
	subject_end(&subject);
	return NULL;
}
