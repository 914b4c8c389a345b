// SPDX-License-Identifier: GPL-2.0
/* An area: made, written, compared, and what is said of a page that is not as it should be. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "area.h"
#include "pattern.h"

const char *const kind_names[KINDS] = { "plain", "huge", "shared", "memfd" };
static pthread_mutex_t one_report = PTHREAD_MUTEX_INITIALIZER;

void area_make(struct area *area, unsigned int number, enum kind kind, size_t pages)
{
	pthread_rwlockattr_t attributes;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&area->lock, &attributes);
	area->number = number;
	area->kind = kind;
	area->pages = pages;
	area->model = locked_memory(pages * sizeof(*area->model));
	area->file = -1;
	if (kind == MEMFD) {
		area->file = memfd_create("swap-tester", MFD_CLOEXEC);
		if (area->file < 0 || ftruncate(area->file, (off_t)(pages * PAGE_BYTES)))
			die("memfd");
		flags = MAP_SHARED;
	} else if (kind == SHARED) {
		flags = MAP_SHARED | MAP_ANONYMOUS;
	}
	/* With room to align: a huge page wants its own boundary. */
	area->memory = mmap(NULL, (pages + HUGE_PAGES) * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area->memory == MAP_FAILED)
		die("no address space");
	area->memory += -(uintptr_t)area->memory % (HUGE_PAGES * PAGE_BYTES);
	if (mmap(area->memory, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, flags | MAP_FIXED, area->file, 0) == MAP_FAILED)
		die("no address space");
	/* Fails for a kernel without huge pages. */
	if (kind == HUGE || number % 2)
		madvise(area->memory, pages * PAGE_BYTES, MADV_HUGEPAGE);
}

void area_record(struct area *area, const char *what, size_t first, size_t count)
{
	uint64_t number = ++area->begun;

	area->records[number % RECORDS] = (struct record){ number, what, first, count, seconds_now() - started };
}

void area_expect(const struct area *area, size_t page, uint32_t version, void *to)
{
	if (version)
		pattern_fill(to, area->number + 1, version, page * PAGE_BYTES, PAGE_BYTES);
	else
		memset(to, 0, PAGE_BYTES);
}

void area_write(struct area *area, size_t page, bool zeros)
{
	static int writes;
	uint32_t old = area->model[page].version;

	area->model[page].version = zeros ? 0 : ++area->version & 0x7fffffff;
	area->model[page].freed = 0;
	area_expect(area, page, area->model[page].version, area->memory + page * PAGE_BYTES);
	/* Again and again: one that is given back or written unread is not found, and rightly. */
	if (options.inject_stale && !zeros && old && __atomic_add_fetch(&writes, 1, __ATOMIC_RELAXED) % 200 == 0) {
		fprintf(stderr, "swap-tester: injected: version %u of page %zu of area %u\n", old, page, area->number);
		area_expect(area, page, old, area->memory + page * PAGE_BYTES);
	}
}

/* Where the kernel has the page now: bits of /proc/self/pagemap. */
static void print_place(const void *page)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (file < 0 || pread(file, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE_BYTES * 8)) != sizeof(entry))
		fprintf(stderr, "  no pagemap\n");
	else
		fprintf(stderr, "  pagemap %016llx:%s%s\n", (unsigned long long)entry, entry >> 63 & 1 ? " present" : "",
			entry >> 62 & 1 ? " swapped" : "");
	if (file >= 0)
		close(file);
}

static void __attribute__((noreturn)) report(struct thread *thread, struct area *area, size_t page, const char *how)
{
	const unsigned char *found = area->memory + page * PAGE_BYTES;
	uint32_t version = area->model[page].version;
	size_t shown = 0;

	/* Never unlocked: one report, and the program ends. */
	pthread_mutex_lock(&one_report);
	area_expect(area, page, version, thread->page);
	fprintf(stderr, "MISMATCH: area %u (%s, %zu pages) page %zu at %p by %s of %s %u after %.3f s, seed %llu\n",
		area->number, kind_names[area->kind], area->pages, page, found, how,
		thread->reader ? "reader" : "owner", thread->number, seconds_now() - started,
		(unsigned long long)options.seed);
	fprintf(stderr, "  %zu bytes differ from version %u%s\n", bytes_wrong(found, thread->page, PAGE_BYTES), version,
		area->model[page].freed ? " (given back with MADV_FREE)" : "");
	for (uint32_t old = 0; old <= area->version; old++) {
		area_expect(area, page, old, thread->page);
		if (!memcmp(found, thread->page, PAGE_BYTES))
			fprintf(stderr, "  found is version %u of this page\n", old);
	}
	for (size_t other = 0; other < areas_count; other++)
		for (size_t at = 0; at < areas[other].pages; at++) {
			area_expect(&areas[other], at, areas[other].model[at].version, thread->page);
			if (areas[other].model[at].version && !memcmp(found, thread->page, PAGE_BYTES))
				fprintf(stderr, "  found is page %zu of area %zu\n", at, other);
		}
	print_place(found);
	fprintf(stderr, "  the last operations there:\n");
	for (uint64_t number = area->begun; number && area->begun - number < RECORDS && shown < 20; number--) {
		const struct record *record = &area->records[number % RECORDS];

		if (record->first > page || record->first + record->count <= page)
			continue;
		fprintf(stderr, "    %8llu %8.3f s %-12s pages [%zu, %zu)\n", (unsigned long long)number, record->at,
			record->what, record->first, record->first + record->count);
		shown++;
	}
	print_report(1);
	fflush(NULL);
	_exit(EXIT_MISMATCH);
}

void area_check(struct thread *thread, struct area *area, size_t first, size_t count, const char *how)
{
	for (size_t page = first; page < first + count; page++) {
		const unsigned char *found = area->memory + page * PAGE_BYTES;

		thread->verified += PAGE_BYTES;
		area_expect(area, page, area->model[page].version, thread->page);
		if (!memcmp(found, thread->page, PAGE_BYTES))
			continue;
		/* Given back with MADV_FREE: a page is zeros whole, or not at all. */
		memset(thread->page, 0, PAGE_BYTES);
		if (!area->model[page].freed || memcmp(found, thread->page, PAGE_BYTES))
			report(thread, area, page, how);
		thread->freed_pages++;
	}
}
