/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of swap-tester: areas of memory with their model, threads, options.
 *
 * An area has one owner, which changes it under the area's write lock; readers take any area under its read lock, so
 * several threads fault the same page at once. The model is a version for each page: its bytes are pattern_fill of
 * (area, version, place in it), zeros for version 0, which is what a page is at first. A page given back with MADV_FREE
 * may be its version or zeros until it is written again.
 */
#ifndef AREA_H
#define AREA_H

#include <pthread.h>
#include <stdbool.h>

#include "cgroup.h"
#include "verify.h"

#define RECORDS 256
#define OPERATIONS_MAX 40
#define HUGE_PAGES ((size_t)512)

enum { EXIT_MISMATCH = 1, EXIT_UNEXPECTED = 2, EXIT_USAGE = 4 };
enum kind { PLAIN, HUGE, SHARED, MEMFD, KINDS };

struct options {
	uint64_t seconds, operations, seed, bytes, memory, writers, readers;
	const char *swap;
	bool report, inject_stale, huge;
};

struct model_page {
	uint32_t version : 31, freed : 1;
};

struct record {
	uint64_t number;
	const char *what;
	size_t first, count;
	double at;
};

struct area {
	unsigned int number;
	enum kind kind;
	int file;			/* memfd, or -1 */
	unsigned char *memory;
	size_t pages;
	pthread_rwlock_t lock;		/* guards all of the area: to write for what changes it or moves it */
	struct model_page *model;
	uint32_t version;
	uint64_t begun;
	struct record records[RECORDS];
};

struct thread {
	unsigned int number;
	bool reader;
	pthread_t id;
	uint64_t random;
	unsigned char *page;		/* for the comparison */
	uint64_t counts[OPERATIONS_MAX], verified, freed_pages, children, unsupported, operations_left;
};

struct operation {
	const char *name;
	unsigned int weight;
	bool private_only, changes;	/* not for shared areas; under the write lock */
	void (*run)(struct thread *thread, struct area *area, size_t first, size_t count);
};

extern struct options options;
extern struct operation operations[];
extern size_t operations_count;
extern struct area *areas;
extern size_t areas_count;
extern struct thread *threads;
extern struct group group;
extern double started;
extern const char *const kind_names[KINDS];

/* main.c */
void print_report(uint64_t mismatches);
void __attribute__((noreturn, format(printf, 2, 3))) unexpected(struct area *area, const char *format, ...);
size_t threads_count(void);

/* area.c */
void area_make(struct area *area, unsigned int number, enum kind kind, size_t pages);
void area_record(struct area *area, const char *what, size_t first, size_t count);
/* A new version, or zeros, written to the page. */
void area_write(struct area *area, size_t page, bool zeros);
/* Compares; ends the program if they differ. */
void area_check(struct thread *thread, struct area *area, size_t first, size_t count, const char *how);
void area_expect(const struct area *area, size_t page, uint32_t version, void *to);

static inline bool one_in(struct thread *thread, size_t n)
{
	return random_below(&thread->random, n) == 0;
}

#endif
