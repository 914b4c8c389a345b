// SPDX-License-Identifier: GPL-2.0
/*
 * block-model - direct writes, discards, flushes and reads that race, against a model in memory.
 *
 *   block-model DEVICE PAGES OPERATIONS SEED [BACKING]
 *
 * Two threads write, each its own half of the pages, and two read everywhere, some pages at a time. Each
 * page's bytes follow from (page, version). A read must find a version no older than the last write that was
 * complete when it began, and no newer than the last that had begun when it ended; with a write under way it
 * may find sectors of both. After a discard anything may be found until the next write.
 *
 * With BACKING, the device under DEVICE must hold all of it after fsync, and again after more writes and the
 * last close. Prints "N writes, N discards, N pages read, N torn, N wrong".
 *
 * Exit: 0 nothing wrong, 1 a wrong page (it is named on standard error), 4 set-up.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "verify.h"

#define PAGES_AT_ONCE 40
#define WRITERS 2
#define READERS 2
#define SECTOR_WORDS 64

static int device;
static size_t pages;
static uint64_t operations, seed;
/* Versions, of each page: of the last write that began, that ended, and of the last discard that began. */
static _Atomic uint32_t *started, *completed, *discarded;
static _Atomic uint32_t next_version = 1;
static _Atomic uint64_t writes, discards, compared, torn, wrong;
static _Atomic int writers_left = WRITERS;

static void make_page(uint64_t *words, size_t page, uint32_t version)
{
	uint64_t head = ((uint64_t)version << 32) | page, state = mix(head ^ HASH_SEED);
	size_t kind = state % 3;

	for (size_t i = 0; i < PAGE_BYTES / 8; i++) {
		if (i % SECTOR_WORDS == 0 || kind == 0)
			words[i] = head;
		else
			words[i] = kind == 1 ? random_next(&state) : 0x2020202000000000ULL + (state >> (i % 32) & 0xff);
	}
}

static void check_page(const uint64_t *words, size_t page, uint32_t oldest, uint32_t newest)
{
	uint64_t wanted[PAGE_BYTES / 8];

	compared++;
	if (discarded[page] && discarded[page] >= oldest)
		return;
	for (size_t i = 0; i < PAGE_BYTES / 8; i += SECTOR_WORDS) {
		uint32_t version = (uint32_t)(words[i] >> 32);

		if ((uint32_t)words[i] == page && version >= oldest && version <= newest)
			continue;
		if (wrong++ < 10)
			fprintf(stderr, "block-model: page %zu, sector %zu: found page %u, version %u; should be %u to %u\n",
				page, i / SECTOR_WORDS, (uint32_t)words[i], version, oldest, newest);
		return;
	}
	make_page(wanted, page, (uint32_t)(words[0] >> 32));
	if (!memcmp(wanted, words, PAGE_BYTES))
		return;
	if (oldest < newest) {
		torn++;
		return;
	}
	if (wrong++ < 10)
		fprintf(stderr, "block-model: page %zu: %s\n", page, "sectors of its version, but other bytes in them");
}

/* Some pages from @from, the memory 512 bytes off a page now and then if the device permits it. */
static void transfer(bool out, unsigned char *memory, size_t page, size_t count, bool shift)
{
	static _Atomic bool shift_refused;
	unsigned char *at = memory;
	ssize_t bytes = (ssize_t)(count * PAGE_BYTES), result;

	if (shift && !shift_refused) {
		at = memory + 512;
		if (out)
			memmove(at, memory, (size_t)bytes);
	}
	for (;;) {
		result = out ? pwrite(device, at, (size_t)bytes, (off_t)(page * PAGE_BYTES)) :
			       pread(device, at, (size_t)bytes, (off_t)(page * PAGE_BYTES));
		if (result == bytes)
			break;
		if (at == memory || errno != EINVAL)
			die("%s page %zu, %zu pages", out ? "write" : "read", page, count);
		shift_refused = true;
		if (out)
			memmove(memory, at, (size_t)bytes);
		at = memory;
	}
	if (!out && at != memory)
		memmove(memory, at, (size_t)bytes);
}

static unsigned char *buffer(void)
{
	void *memory;

	if (posix_memalign(&memory, PAGE_BYTES, (PAGES_AT_ONCE + 1) * PAGE_BYTES))
		die("no memory");
	return memory;
}

static void write_some(unsigned char *memory, uint64_t *random_state, size_t first, size_t end)
{
	size_t page = first + random_below(random_state, end - first);
	size_t count = 1 + random_below(random_state, random_next(random_state) % 4 ? 3 : PAGES_AT_ONCE);
	uint32_t version = next_version++;
	size_t what = random_below(random_state, 64);

	if (count > end - page)
		count = end - page;
	for (size_t i = 0; i < count; i++)
		started[page + i] = version;
	if (what < 4) {
		uint64_t range[2] = { page * PAGE_BYTES, count * PAGE_BYTES };

		for (size_t i = 0; i < count; i++)
			discarded[page + i] = version;
		if (ioctl(device, BLKDISCARD, range))
			die("discard page %zu, %zu pages", page, count);
		discards++;
	} else {
		for (size_t i = 0; i < count; i++)
			make_page((uint64_t *)(memory + i * PAGE_BYTES), page + i, version);
		transfer(true, memory, page, count, what < 10);
		writes++;
	}
	for (size_t i = 0; i < count; i++)
		completed[page + i] = version;
	if (what == 63 && fsync(device))
		die("fsync");
}

static void read_some(int from, unsigned char *memory, size_t page, size_t count, bool shift)
{
	uint32_t oldest[PAGES_AT_ONCE];

	for (size_t i = 0; i < count; i++)
		oldest[i] = completed[page + i];
	if (from == device)
		transfer(false, memory, page, count, shift);
	else if (pread(from, memory, count * PAGE_BYTES, (off_t)(page * PAGE_BYTES)) != (ssize_t)(count * PAGE_BYTES))
		die("read page %zu of the backing device", page);
	for (size_t i = 0; i < count; i++)
		check_page((uint64_t *)(memory + i * PAGE_BYTES), page + i, oldest[i], started[page + i]);
}

static void *writer(void *which)
{
	size_t half = pages / WRITERS, n = (size_t)which;
	uint64_t random_state = seed * 16 + n;
	unsigned char *memory = buffer();

	for (uint64_t i = 0; i < operations; i++)
		write_some(memory, &random_state, n * half, (n + 1) * half);
	writers_left--;
	free(memory);
	return NULL;
}

static void *reader(void *which)
{
	uint64_t random_state = seed * 16 + WRITERS + (size_t)which;
	unsigned char *memory = buffer();

	while (writers_left) {
		size_t page = random_below(&random_state, pages);
		size_t count = 1 + random_below(&random_state, random_next(&random_state) % 4 ? 2 : PAGES_AT_ONCE);

		read_some(device, memory, page, count > pages - page ? pages - page : count, random_next(&random_state) % 8 == 0);
	}
	free(memory);
	return NULL;
}

static void read_all(int from)
{
	unsigned char *memory = buffer();

	for (size_t page = 0; page < pages; page += PAGES_AT_ONCE)
		read_some(from, memory, page, pages - page < PAGES_AT_ONCE ? pages - page : PAGES_AT_ONCE, false);
	free(memory);
}

int main(int argc, char **argv)
{
	pthread_t threads[WRITERS + READERS];
	unsigned char *memory;
	int backing = -1;

	if (argc != 5 && argc != 6) {
		fprintf(stderr, "usage: block-model DEVICE PAGES OPERATIONS SEED [BACKING]\n");
		return 4;
	}
	pages = number(argv[2], "PAGES") / WRITERS * WRITERS;
	operations = number(argv[3], "OPERATIONS");
	seed = number(argv[4], "SEED");
	device = open(argv[1], O_RDWR | O_DIRECT);
	if (device < 0)
		die("%s", argv[1]);
	if (argc == 6 && (backing = open(argv[5], O_RDONLY | O_DIRECT)) < 0)
		die("%s", argv[5]);
	started = calloc(pages, sizeof(*started));
	completed = calloc(pages, sizeof(*completed));
	discarded = calloc(pages, sizeof(*discarded));
	if (!started || !completed || !discarded || !pages)
		die("no memory for %zu pages", pages);
	memory = buffer();
	for (size_t page = 0; page < pages; page++) {
		started[page] = completed[page] = next_version;
		make_page((uint64_t *)memory, page, next_version);
		transfer(true, memory, page, 1, false);
	}
	next_version++;

	for (size_t n = 0; n < WRITERS + READERS; n++) {
		if (pthread_create(&threads[n], NULL, n < WRITERS ? writer : reader, (void *)(n < WRITERS ? n : n - WRITERS)))
			die("no thread");
	}
	for (size_t n = 0; n < WRITERS + READERS; n++)
		pthread_join(threads[n], NULL);
	read_all(device);
	if (backing >= 0) {
		uint64_t random_state = seed;

		if (fsync(device))
			die("fsync");
		read_all(backing);
		for (size_t i = 0; i < pages; i++)
			write_some(memory, &random_state, 0, pages);
		read_all(device);
		if (close(device))
			die("close");
		device = -1;
		read_all(backing);
	}
	printf("%llu writes, %llu discards, %llu pages read, %llu torn, %llu wrong\n", (unsigned long long)writes,
	       (unsigned long long)discards, (unsigned long long)compared, (unsigned long long)torn,
	       (unsigned long long)wrong);
	return wrong ? 1 : 0;
}
