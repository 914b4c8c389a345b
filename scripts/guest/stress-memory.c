// SPDX-License-Identifier: GPL-2.0
/*
 * stress-memory - a program's memory in every state it can be in while it is swapped, against a model.
 *
 *   stress-memory MIB SECONDS SEED
 *
 * Half of MIB is private anonymous memory, half shared (shmem). A page is generate_page(its key), the key
 * made of its number and a version that is never used twice, or zeros. Pages are rewritten, checked one by
 * one and in runs, pushed out (MADV_PAGEOUT), thrown away, moved (mremap), made huge, and shared with
 * children by fork, who check what they inherited and rewrite their copies. Last, every page is checked.
 *
 * The last line is "memory: done: operations=N ... wrong_pages=N".
 * Exit: 0 every byte was right, 1 not, 4 it could not be tried.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verify.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#define RUN_PAGES_MAX 64
#define WRONG_PAGES_MAX 20

struct area {
	const char *name;
	int shared;
	unsigned char *memory;
	size_t pages;
	uint32_t *versions;	/* 0: zeros */
};

static struct area areas[2] = { { .name = "private" }, { .name = "shared", .shared = 1 } };
static uint64_t seed, random_state;
static uint32_t version_last;
static uint64_t operations, pages_checked, pages_written, wrong_pages, forks;
static unsigned char expected[PAGE_BYTES] __attribute__((aligned(4096)));

static void expect(const struct area *area, size_t page)
{
	if (area->versions[page])
		generate_page(expected, mix(seed ^ ((uint64_t)area->shared << 63) ^
					    ((uint64_t)page << 32 | area->versions[page])));
	else
		memset(expected, 0, PAGE_BYTES);
}

static void check(const struct area *area, size_t page, const char *how)
{
	const unsigned char *found = area->memory + page * PAGE_BYTES;

	expect(area, page);
	pages_checked++;
	if (!memcmp(found, expected, PAGE_BYTES))
		return;
	printf("WRONG: %s page %zu version %u, %s: %zu bytes (operation %llu, seed %llu)\n", area->name, page,
	       area->versions[page], how, bytes_wrong(found, expected, PAGE_BYTES),
	       (unsigned long long)operations, (unsigned long long)seed);
	if (++wrong_pages >= WRONG_PAGES_MAX) {
		printf("memory: stopped after %d wrong pages\n", WRONG_PAGES_MAX);
		exit(1);
	}
}

static void rewrite(struct area *area, size_t page)
{
	area->versions[page] = ++version_last;
	expect(area, page);
	memcpy(area->memory + page * PAGE_BYTES, expected, PAGE_BYTES);
	pages_written++;
}

static void map(struct area *area, size_t pages)
{
	area->pages = pages;
	area->memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_ANONYMOUS | MAP_NORESERVE | (area->shared ? MAP_SHARED : MAP_PRIVATE), -1, 0);
	area->versions = calloc(pages, sizeof(*area->versions));
	if (area->memory == MAP_FAILED || !area->versions)
		die("cannot allocate %zu pages", pages);
}

/* What pages are left behind by a child must be unchanged for the parent; shared ones it only reads. */
static void fork_child(struct area *area, size_t first, size_t count)
{
	pid_t child;
	int status;

	fflush(stdout);
	child = fork();
	if (child < 0)
		return;	/* no memory for it: allowed */
	if (!child) {
		wrong_pages = 0;
		for (size_t page = first; page < first + count; page++) {
			check(area, page, "inherited");
			if (!area->shared) {
				rewrite(area, page);
				check(area, page, "rewritten by the child");
			}
		}
		fflush(stdout);
		_exit(wrong_pages != 0);
	}
	forks++;
	for (size_t page = first; page < first + count; page += 3)
		if (!area->shared)
			rewrite(area, page);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) == 4) {
		errno = 0;
		die("a child ended with status 0x%x", status);
	}
	wrong_pages += WEXITSTATUS(status) != 0;
}

static void discard(struct area *area, size_t first, size_t count)
{
	if (madvise(area->memory + first * PAGE_BYTES, count * PAGE_BYTES,
		    area->shared ? MADV_REMOVE : MADV_DONTNEED))
		die("cannot discard");
	memset(&area->versions[first], 0, count * sizeof(area->versions[0]));
}

/* Moves the whole area to another address: swapped-out pages move as entries of the page table. */
static void move(struct area *area)
{
	size_t bytes = area->pages * PAGE_BYTES;
	void *place = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	void *moved;

	if (place == MAP_FAILED)
		return;
	moved = mremap(area->memory, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	if (moved == MAP_FAILED)
		munmap(place, bytes);
	else
		area->memory = moved;
}

static void step(void)
{
	struct area *area = &areas[random_below(&random_state, 2)];
	size_t first = random_below(&random_state, area->pages);
	size_t count = 1 + random_below(&random_state, RUN_PAGES_MAX);

	if (first + count > area->pages)
		count = area->pages - first;
	operations++;
	switch (random_below(&random_state, 40)) {
	case 0: case 1: case 2:
		madvise(area->memory + first * PAGE_BYTES, count * PAGE_BYTES, MADV_PAGEOUT);
		break;
	case 3:
		discard(area, first, count);
		break;
	case 4:
		fork_child(area, first, count);
		break;
	case 5:
		if (random_below(&random_state, 20) == 0)
			move(area);
		break;
	case 6:
		madvise(area->memory + first * PAGE_BYTES, count * PAGE_BYTES,
			random_below(&random_state, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		break;
	case 7: case 8: case 9: case 10: case 11: case 12: case 13: case 14:
		for (size_t page = first; page < first + count; page++)
			rewrite(area, page);
		break;
	case 15: case 16: case 17: case 18: case 19: case 20: case 21: case 22:
		for (size_t page = first; page < first + count; page++)
			check(area, page, "run");
		break;
	default:
		check(area, first, "single");
		if (count % 4 == 0)
			rewrite(area, first);
	}
}

int main(int count, char **arguments)
{
	double end, fill_end;
	size_t pages;

	if (count != 4) {
		fprintf(stderr, "usage: stress-memory MIB SECONDS SEED\n");
		return 4;
	}
	pages = number(arguments[1], "MIB") * (MIB / PAGE_BYTES) / 2;
	end = seconds_now() + (double)number(arguments[2], "SECONDS");
	fill_end = seconds_now() + (end - seconds_now()) / 4;
	seed = mix(number(arguments[3], "SEED"));
	random_state = seed;
	for (size_t i = 0; i < 2; i++, fill_end += (end - fill_end) / 4) {
		size_t page;

		map(&areas[i], pages);
		/* On a slow machine the area is as large as what a quarter of the time was enough for. */
		for (page = 0; page == 0 || (page < pages && seconds_now() < fill_end); page++)
			rewrite(&areas[i], page);
		areas[i].pages = page;
	}
	while (seconds_now() < end)
		step();
	for (size_t i = 0; i < 2; i++)
		for (size_t page = 0; page < areas[i].pages; page++)
			check(&areas[i], page, "last");
	printf("memory: done: operations=%llu pages_written=%llu pages_checked=%llu forks=%llu wrong_pages=%llu\n",
	       (unsigned long long)operations, (unsigned long long)pages_written,
	       (unsigned long long)pages_checked, (unsigned long long)forks, (unsigned long long)wrong_pages);
	return wrong_pages ? 1 : 0;
}
