/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the verifying programs of the demo and of the stress share: a hash, a clock, progress, failure.
 *
 * The hash reads 8 bytes a step, as the programs run under emulation. Each step is a bijection of the
 * state for a given word and of the word for a given state: a single wrong word is always noticed.
 */
#ifndef VERIFY_H
#define VERIFY_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE_BYTES ((size_t)4096)
#define MIB ((size_t)1 << 20)

/* Ends the program with status 4 (it could not do its work; 1 is for wrong bytes). */
static inline void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	int error = errno;
	va_list list;

	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fprintf(stderr, ": %s\n", error ? strerror(error) : "failed");
	exit(4);
}

/* In a group's shortage the model must not be what is reclaimed. */
static inline void *locked_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory for %zu bytes", bytes);
	if (mlock(memory, bytes))
		die("cannot lock %zu bytes", bytes);
	return memory;
}

static inline double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A number from the command line. */
static inline uint64_t number(const char *text, const char *name)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end) {
		errno = EINVAL;
		die("%s \"%s\"", name, text);
	}
	return value;
}

/* A 64-bit finaliser: spreads every bit of the input over the output. */
static inline uint64_t mix(uint64_t value)
{
	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9ULL;
	value ^= value >> 27;
	value *= 0x94d049bb133111ebULL;
	return value ^ (value >> 31);
}

#define HASH_SEED 0x9e3779b97f4a7c15ULL

/* Goes on with @hash over @bytes of @data; a tail shorter than a word counts as padded with zeros. */
static inline uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
	const unsigned char *at = data;
	uint64_t word;

	for (; bytes >= sizeof(word); at += sizeof(word), bytes -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
		hash ^= hash >> 29;
	}
	if (bytes) {
		word = 0;
		memcpy(&word, at, bytes);
		hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
		hash ^= hash >> 29;
	}
	return hash;
}

/* A small generator; the whole state is one word, so that a run repeats from its seed. */
static inline uint64_t random_next(uint64_t *state)
{
	*state += HASH_SEED;
	return mix(*state);
}

static inline size_t random_below(uint64_t *state, size_t limit)
{
	return (size_t)(random_next(state) % limit);
}

/*
 * Fills @page with data that is a function of @key alone and looks like what machines keep in memory: text,
 * tables of small numbers, half-empty buffers, one repeated word, and now and then what no codec can shrink.
 */
static inline void generate_page(void *page, uint64_t key)
{
	static const char *const syllables[16] = {
		"re", "turn ", "page", "struct ", "in", "dex", " = ", ";\n\t", "the ", "lock", "(", ")", "put_", "get_", "of ", "0x",
	};
	uint64_t *words = page;
	unsigned char *bytes = page;
	uint64_t state = mix(key), bits = 0;
	size_t at = 0, kind = (size_t)(state % 8);

	memset(page, 0, PAGE_BYTES);
	switch (kind) {
	case 0:
		for (at = 0; at < PAGE_BYTES / 8; at++)
			words[at] = state;
		return;
	case 1:
	case 2:
		/* Incompressible whole, or in its first half. */
		for (at = 0; at < PAGE_BYTES / 8 / kind; at++)
			words[at] = random_next(&state);
		return;
	case 3:
	case 4:
		for (at = 0; at < PAGE_BYTES / 8; at += 2) {
			bits = random_next(&state);
			words[at] = (bits & 0xffff) << 12;
			words[at + 1] = bits >> 60;
		}
		return;
	default:
		for (at = 0; at < PAGE_BYTES;) {
			const char *syllable;

			if (!bits)
				bits = random_next(&state);
			for (syllable = syllables[bits & 15]; *syllable && at < PAGE_BYTES;)
				bytes[at++] = (unsigned char)*syllable++;
			bits >>= 4;
		}
		return;
	}
}

/* Bytes of @found that differ from @expected. */
static inline size_t bytes_wrong(const void *found, const void *expected, size_t bytes)
{
	const unsigned char *a = found, *b = expected;
	size_t wrong = 0;

	for (size_t i = 0; i < bytes; i++)
		wrong += a[i] != b[i];
	return wrong;
}

#endif
