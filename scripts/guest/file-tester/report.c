// SPDX-License-Identifier: GPL-2.0
/* What is said of a mismatch: where, what was found, what happened there before, what the disk says. */
#define _GNU_SOURCE
#include "pattern.h"
#include "tester.h"

#define HISTORY 20

static pthread_mutex_t one_report = PTHREAD_MUTEX_INITIALIZER;

/* Names the writer of a word at @offset, if ever there was one that wrote it. */
static void print_origin(const char *label, uint64_t offset, const unsigned char *bytes)
{
	uint64_t word, tail = bytes[0];

	memcpy(&word, bytes, sizeof(word));
	for (size_t i = 1; i < 8; i++)
		tail |= bytes[i];
	fprintf(stderr, "  at %llu %s", (unsigned long long)offset, label);
	for (size_t i = 0; i < 8; i++)
		fprintf(stderr, " %02x", bytes[i]);
	if (!tail) {
		fprintf(stderr, ": zeros\n");
		return;
	}
	for (uint32_t serial = 1; serial < serials_count; serial++)
		for (uint32_t version = 1; version <= versions_of_serial[serial]; version++) {
			if (pattern_word(serial, version, offset / 8) == word) {
				fprintf(stderr, ": serial %u, version %u\n", serial, version);
				return;
			}
			/* Shifted, cloned, copied: the offset that it was written at is in the word. */
			if ((version & 3) == 2 && pattern_word(serial, version, word & 0xfffffff) == word) {
				fprintf(stderr, ": serial %u, version %u, written at %llu\n", serial, version,
					(unsigned long long)(word & 0xfffffff) * 8);
				return;
			}
		}
	fprintf(stderr, ": no version of this offset\n");
}

static void print_history(const struct file *file, uint64_t since, uint64_t start, uint64_t end)
{
	uint64_t chosen[HISTORY], oldest = file->begun > RECORDS ? file->begun - RECORDS : 0;
	size_t count = 0;

	for (uint64_t number = file->begun; number > oldest && count < HISTORY; number--) {
		const struct record *record = &file->records[number % RECORDS];

		if (record->start < end && record->end > start)
			chosen[count++] = number;
	}
	fprintf(stderr, "  the last operations there, of %llu (the read began after number %llu, %llu are complete):\n",
		(unsigned long long)file->begun, (unsigned long long)since, (unsigned long long)file->done);
	while (count) {
		const struct record *record = &file->records[chosen[--count] % RECORDS];

		fprintf(stderr, "    %8llu %8.3f s %-14s", (unsigned long long)record->number, record->at, record->what);
		if (record->end == TO_THE_END)
			fprintf(stderr, " [%llu, end)", (unsigned long long)record->start);
		else
			fprintf(stderr, " [%llu, %llu)", (unsigned long long)record->start,
				(unsigned long long)record->end);
		if (record->version)
			fprintf(stderr, " version %u", record->version);
		fprintf(stderr, "%s\n", record->number > file->done ? " in flight" : "");
	}
}

/* Reads the pages around the bytes once more, and says whether the model is what comes. */
static void print_second_read(const struct file *file, int descriptor, const char *how, uint64_t start, uint64_t end)
{
	uint64_t from = start & ~(PAGE_BYTES - 1), until = smaller((end + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1), from + LENGTH_MAX);
	unsigned char *again = NULL;
	ssize_t got;

	if (posix_memalign((void **)&again, PAGE_BYTES, LENGTH_MAX))
		return;
	got = pread(descriptor, again, until - from, (off_t)from);
	if (got < 0 || from + (uint64_t)got < end)
		fprintf(stderr, "  %s again: %zd bytes (%s)\n", how, got, got < 0 ? strerror(errno) : "short");
	else
		fprintf(stderr, "  %s again: %s\n", how,
			memcmp(again + (start - from), file->bytes + start, end - start) ? "NOT as it should be" :
			"as it should be");
	free(again);
}

/* Ends the program. @found holds @length bytes from @offset; length 0: the length of the read was wrong. */
void report_mismatch(struct thread *thread, struct file *file, uint64_t since, uint64_t offset,
		     const unsigned char *found, size_t length, const char *how)
{
	const unsigned char *wanted = file->bytes + offset;
	size_t first = 0, last = length, differing = 0, word;
	uint64_t start, end;

	/* Never unlocked: one report, and the program ends. */
	pthread_mutex_lock(&one_report);
	while (first < length && found[first] == wanted[first])
		first++;
	while (last > first && found[last - 1] == wanted[last - 1])
		last--;
	for (size_t i = first; i < last; i++)
		differing += found[i] != wanted[i];
	start = offset + first;
	end = larger(offset + last, start + 1);
	fprintf(stderr, "MISMATCH: file %u (%s, serial %u, size %llu, version %u) by %s of %s %u after %.3f s, seed %llu\n",
		file->slot, file->path, file->serial, (unsigned long long)file->size, file->version, how,
		thread->reader ? "racing reader" : "owner", thread->number, seconds_now() - started,
		(unsigned long long)options.seed);
	fprintf(stderr, "  offset %llu, length %llu: %zu bytes differ\n", (unsigned long long)start,
		(unsigned long long)(end - start), differing);
	/* The first whole word, and the last. */
	word = (8 - offset % 8) % 8;
	while (word + 8 <= length && word + 8 <= first)
		word += 8;
	if (first < last && word + 8 <= length) {
		print_origin("expected", offset + word, wanted + word);
		print_origin("found   ", offset + word, found + word);
		while (word + 16 <= last)
			word += 8;
		print_origin("expected", offset + word, wanted + word);
		print_origin("found   ", offset + word, found + word);
	}
	print_second_read(file, file->buffered, "buffered", start, end);
	print_second_read(file, file->direct, "O_DIRECT", start, end);
	print_history(file, since, start, end);
	if (fsync(file->buffered) && errno == EIO) {
		fprintf(stderr, "  UNJUDGED: a direct write met a page that the kernel could not drop (see its log), or the disk failed\n");
		print_report(0);
		fflush(NULL);
		_exit(EXIT_UNEXPECTED);
	}
	print_report(1);
	fflush(NULL);
	_exit(EXIT_MISMATCH);
}
