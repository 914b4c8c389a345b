// SPDX-License-Identifier: GPL-2.0
/* The file that a test works on; see subject.h. */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mman.h>

#include "subject.h"

static uint32_t serials;

verdict because(const char *format, ...)
{
	static char text[400];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	return text;
}

verdict subject_make(struct subject *subject, const char *name)
{
	*subject = (struct subject){ .serial = ++serials, .size = SUBJECT_BYTES };
	snprintf(subject->path, sizeof(subject->path), "%s/%s", directory, name);
	subject->bytes = calloc(1, SUBJECT_ROOM);
	subject->file = open(subject->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	subject->direct = open(subject->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (!subject->bytes || subject->file < 0 || subject->direct < 0)
		return because("cannot open %s: %s", subject->path, strerror(errno));
	subject_renew(subject, 0, SUBJECT_BYTES);
	if (pwrite(subject->file, buffer, SUBJECT_BYTES, 0) != (ssize_t)SUBJECT_BYTES || fsync(subject->file))
		return because("cannot write: %s", strerror(errno));
	return NULL;
}

void subject_end(struct subject *subject)
{
	close(subject->file);
	close(subject->direct);
	unlink(subject->path);
	free(subject->bytes);
}

void subject_renew(struct subject *subject, uint64_t offset, size_t length)
{
	pattern_fill(buffer, subject->serial, ++subject->version, offset, length);
	memcpy(subject->bytes + offset, buffer, length);
}

/* Beyond the end of the file too: mincore asks the page cache, not the file. */
size_t resident_pages(int file, uint64_t offset, size_t bytes)
{
	static unsigned char vector[SUBJECT_ROOM / PAGE_BYTES];
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, (off_t)offset);
	size_t count = 0;

	if (map == MAP_FAILED || mincore(map, bytes, vector))
		return SIZE_MAX;
	for (size_t i = 0; i < bytes / PAGE_BYTES; i++)
		count += vector[i] & 1;
	munmap(map, bytes);
	return count;
}

/* Pages new to the lists of one processor are out of reach for reclaim that runs on another. */
void reclaim_everywhere(void)
{
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (int processor = 0; processor < CPU_SETSIZE; processor++)
		if (CPU_ISSET(processor, &all)) {
			CPU_ZERO(&one);
			CPU_SET(processor, &one);
			sched_setaffinity(0, sizeof(one), &one);
			group_reclaim(&group, group_read(&group, "memory.current"));
		}
	sched_setaffinity(0, sizeof(all), &all);
}

verdict subject_put(struct subject *subject)
{
	size_t left = 0;

	if (fsync(subject->file))
		return because("fsync: %s", strerror(errno));
	for (unsigned int tries = 0; tries < 40; tries++) {
		left = resident_pages(subject->file, 0, SUBJECT_ROOM);
		if (!left)
			return NULL;
		reclaim_everywhere();
	}
	return because("%zu pages could not be reclaimed", left);
}

static verdict compare(struct subject *subject, const unsigned char *found, const char *when)
{
	size_t first = 0, last = subject->size, wrong;

	if (!memcmp(found, subject->bytes, subject->size))
		return NULL;
	while (found[first] == subject->bytes[first])
		first++;
	while (found[last - 1] == subject->bytes[last - 1])
		last--;
	wrong = bytes_wrong(found + first, subject->bytes + first, last - first);
	return because("%s: %zu wrong bytes in [%zu, %zu), first page %zu", when, wrong, first, last, first / PAGE_BYTES);
}

verdict subject_compare(struct subject *subject, const char *when)
{
	ssize_t got = pread(subject->file, buffer, SUBJECT_ROOM, 0);

	if (got != (ssize_t)subject->size)
		return because("%s: read %zd bytes of %llu", when, got, (unsigned long long)subject->size);
	return compare(subject, buffer, when);
}

verdict subject_compare_all(struct subject *subject)
{
	unsigned char *map;
	verdict result;
	ssize_t got;

	TRY(subject_compare(subject, "read"));
	TRY(subject_put(subject));
	TRY(subject_compare(subject, "read after reclaim"));
	TRY(subject_put(subject));
	if (subject->size) {
		map = mmap(NULL, subject->size, PROT_READ, MAP_SHARED, subject->file, 0);
		if (map == MAP_FAILED)
			return because("mmap: %s", strerror(errno));
		madvise(map, subject->size, MADV_RANDOM);
		result = compare(subject, map, "mapping");
		munmap(map, subject->size);
		TRY(result);
	}
	got = pread(subject->direct, buffer, SUBJECT_ROOM, 0);
	if (got != (ssize_t)subject->size)
		return because("direct read of %zd bytes", got);
	return compare(subject, buffer, "direct read");
}
