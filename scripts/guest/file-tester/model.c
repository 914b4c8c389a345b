// SPDX-License-Identifier: GPL-2.0
/* The model of a file, the records of what happened to it, and the comparison (the rule is in tester.h). */
#define _GNU_SOURCE
#include "tester.h"

static pthread_mutex_t serials_lock = PTHREAD_MUTEX_INITIALIZER;
uint32_t *versions_of_serial;
uint32_t serials_count = 1;
static uint32_t serials_room;

uint32_t serial_new(void)
{
	uint32_t serial;

	pthread_mutex_lock(&serials_lock);
	if (serials_count >= serials_room) {
		serials_room = serials_room * 2 + 1024;
		versions_of_serial = realloc(versions_of_serial, serials_room * sizeof(*versions_of_serial));
		if (!versions_of_serial)
			die("no memory for serials");
	}
	serial = serials_count++;
	versions_of_serial[serial] = 0;
	pthread_mutex_unlock(&serials_lock);
	return serial;
}

uint32_t version_new(struct file *file)
{
	uint32_t version = ++file->version;

	pthread_mutex_lock(&serials_lock);
	versions_of_serial[file->serial] = version;
	pthread_mutex_unlock(&serials_lock);
	return version;
}

void file_open(struct file *file, int flags)
{
	file->buffered = open(file->path, O_RDWR | O_CLOEXEC | flags, 0600);
	if (file->buffered < 0)
		unexpected(file, "open");
	file->direct = open(file->path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (file->direct < 0)
		unexpected(file, "open with O_DIRECT");
}

void file_close(struct file *file)
{
	close(file->buffered);
	close(file->direct);
}

static void record_add(struct file *file, const char *what, uint64_t start, uint64_t end, uint32_t version,
		       bool changes)
{
	uint64_t number = file->begun + 1;

	file->records[number % RECORDS] = (struct record){
		number, start, end, what, version, changes, seconds_now() - started
	};
	file->begun = number;
}

/* The owner, before the first system call; several ranges may be begun before one commit. */
void record_begin(struct file *file, const char *what, uint64_t start, uint64_t end, uint32_t version)
{
	pthread_rwlock_wrlock(&file->model);
	record_add(file, what, start, end, version, true);
	file->hot_start = start;
	file->hot_end = smaller(end, larger(file->size, start + PAGE_BYTES));
	pthread_rwlock_unlock(&file->model);
}

/* A read or an advice of the owner: for the history only. */
void record_read(struct file *file, const char *what, uint64_t start, uint64_t end)
{
	pthread_rwlock_wrlock(&file->model);
	record_add(file, what, start, end, 0, false);
	/* An asynchronous write may be in flight: done stays, then. */
	if (file->done + 1 == file->begun)
		file->done = file->begun;
	pthread_rwlock_unlock(&file->model);
}

/* Between these two the owner changes the model. */
void record_lock(struct file *file)
{
	pthread_rwlock_wrlock(&file->model);
}

void record_commit(struct file *file)
{
	file->done = file->begun;
	pthread_rwlock_unlock(&file->model);
}

void model_resize(struct file *file, uint64_t size)
{
	if (size < file->size)
		memset(file->bytes + size, 0, file->size - size);
	file->size = size;
}

/*
 * After an operation that failed half way: the range may hold, byte by byte, what it held, what was to be written
 * (NULL: zeros) or zeros; it is read and the model takes what is there. Model locked.
 */
void model_adopt(struct thread *thread, struct file *file, uint64_t start, uint64_t end, const unsigned char *wanted)
{
	static unsigned char found[LENGTH_MAX];
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	ssize_t got;

	end = smaller(end, file->size);
	if (start >= end)
		return;
	pthread_mutex_lock(&lock);
	got = pread(file->buffered, found, end - start, (off_t)start);
	if (got != (ssize_t)(end - start))
		unexpected(file, "read of %llu bytes at %llu after a failed write gave %zd",
			   (unsigned long long)(end - start), (unsigned long long)start, got);
	for (size_t i = 0; i < end - start; i++) {
		if (found[i] && found[i] != file->bytes[start + i] && !(wanted && found[i] == wanted[i]))
			report_mismatch(thread, file, file->begun, start, found, end - start,
					"read after a write that had failed");
		file->bytes[start + i] = found[i];
	}
	pthread_mutex_unlock(&lock);
}

uint64_t reading_since(struct file *file)
{
	uint64_t done;

	pthread_rwlock_rdlock(&file->model);
	done = file->done;
	pthread_rwlock_unlock(&file->model);
	return done;
}

/* The range in flight after @since that starts first at or after @position, or holds it. Model locked. */
static bool next_in_flight(const struct file *file, uint64_t since, uint64_t position, uint64_t *start, uint64_t *end)
{
	bool found = false;

	if (file->begun - since >= RECORDS) {
		*start = 0;
		*end = TO_THE_END;
		return true;
	}
	for (uint64_t number = since + 1; number <= file->begun; number++) {
		const struct record *record = &file->records[number % RECORDS];

		if (!record->changes || record->end <= position || (found && record->start >= *start))
			continue;
		*start = record->start;
		*end = record->end;
		found = true;
	}
	return found;
}

bool excluded(const struct file *file, uint64_t since, uint64_t start, uint64_t end)
{
	uint64_t first, last;

	return next_in_flight(file, since, start, &first, &last) && first < end;
}

/* From where on nothing is sure, the size included. */
static uint64_t sure_until(const struct file *file, uint64_t since)
{
	uint64_t until = TO_THE_END;

	if (file->begun - since >= RECORDS)
		return 0;
	for (uint64_t number = since + 1; number <= file->begun; number++) {
		const struct record *record = &file->records[number % RECORDS];

		if (record->changes && record->end == TO_THE_END)
			until = smaller(until, record->start);
	}
	return until;
}

/*
 * Compares what a read at @offset of @length bytes gave: @got bytes in @found. @since is what reading_since said
 * before the read. The caller holds no lock of the file.
 */
void verify_read(struct thread *thread, struct file *file, uint64_t since, uint64_t offset, const void *found,
		 size_t length, ssize_t got, const char *how)
{
	const unsigned char *at = found;
	uint64_t position = offset, end, sure, start, stop_at;

	/* A direct read first has dirty pages written, and is told of a collision (see collision()) that awaits its report. */
	if (got < 0 && errno == EIO && strstr(how, "direct")) {
		thread->collisions++;
		return;
	}
	if (got < 0)
		unexpected(file, "%s of %zu bytes at %llu", how, length, (unsigned long long)offset);
	pthread_rwlock_rdlock(&file->model);
	sure = sure_until(file, since);
	end = smaller(offset + length, smaller(sure, larger(file->size, offset)));
	if ((sure == TO_THE_END && offset + (uint64_t)got != larger(end, offset)) || offset + (uint64_t)got < end) {
		fprintf(stderr, "file-tester: %s at %llu of %zu bytes gave %zd, the size is %llu\n", how,
			(unsigned long long)offset, length, got, (unsigned long long)file->size);
		report_mismatch(thread, file, since, offset, found, 0, how);
	}
	end = offset + (uint64_t)got;
	while (position < end) {
		if (!next_in_flight(file, since, position, &start, &stop_at) || start >= end)
			start = stop_at = end;
		if (start > position) {
			if (memcmp(at + (position - offset), file->bytes + position, start - position))
				report_mismatch(thread, file, since, position, at + (position - offset),
						start - position, how);
			thread->verified += start - position;
			position = start;
		}
		stop_at = smaller(stop_at, end);
		thread->in_flight += stop_at - position;
		position = stop_at;
	}
	pthread_rwlock_unlock(&file->model);
}
