// SPDX-License-Identifier: GPL-2.0
/*
 * anonymous-model - anonymous memory larger than what there is, rewritten and checked at random.
 *
 *   anonymous-model PAGES TOUCHES SEED
 *
 * Each page's bytes follow from (page, version); pages are text-like, random, or one repeated word. A page
 * that cannot be read back (SIGBUS) is counted as lost, which is right for a page that was corrupted on
 * purpose; wrong bytes never are. Prints "N checked, N lost, N wrong".
 *
 * Exit: 0 no wrong byte and nothing lost, 1 wrong bytes, 2 pages lost but nothing wrong, 4 set-up.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verify.h"

static unsigned char wanted[4096] __attribute__((aligned(4096)));
static sigjmp_buf lost_page;

static void on_sigbus(int signal)
{
	(void)signal;
	siglongjmp(lost_page, 1);
}

static void make_page(void *to, size_t page, uint32_t version)
{
	uint64_t *words = to, state = mix(page ^ ((uint64_t)version << 32) ^ HASH_SEED);

	for (size_t i = 0; i < PAGE_BYTES / 8; i++) {
		switch (state % 4) {
		case 0: words[i] = state; break;
		case 1: words[i] = random_next(&state) & ~3ULL; state = (state & ~3ULL) | 1; break;
		default: words[i] = 0x6161616161616161ULL + (state >> (i % 29) & 0x0f0f0f0f0f0f0f0fULL); break;
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t random_state, touches;
	volatile uint64_t checked = 0, lost = 0, wrong = 0;	/* kept over siglongjmp */
	unsigned char *memory;
	uint32_t *versions;
	size_t pages;

	if (argc != 4) {
		fprintf(stderr, "usage: anonymous-model PAGES TOUCHES SEED\n");
		return 4;
	}
	pages = number(argv[1], "PAGES");
	touches = number(argv[2], "TOUCHES");
	random_state = number(argv[3], "SEED");
	versions = calloc(pages, sizeof(*versions));
	/* All of us but the model's memory stays in RAM: what keeps count of lost pages must not be lost. */
	if (!versions || mlockall(MCL_CURRENT))
		die("cannot lock %zu versions", pages);
	memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("no address space for %zu pages", pages);
	signal(SIGBUS, on_sigbus);
	for (size_t page = 0; page < pages; page++)
		make_page(memory + page * PAGE_BYTES, page, 0);
	for (uint64_t i = 0; i < touches + pages; i++) {
		/* At random, and last all of it in order. */
		volatile size_t page = i < touches ? random_below(&random_state, pages) : (size_t)(i - touches);

		checked++;
		if (versions[page] == UINT32_MAX)	/* lost before: the address stays poisoned */
			continue;
		if (sigsetjmp(lost_page, 1)) {
			lost++;
			versions[page] = UINT32_MAX;
			continue;
		}
		make_page(wanted, page, versions[page]);
		if (memcmp(memory + page * PAGE_BYTES, wanted, PAGE_BYTES)) {
			if (wrong++ < 10)
				fprintf(stderr, "anonymous-model: page %zu: %zu bytes are wrong\n", page,
					bytes_wrong(memory + page * PAGE_BYTES, wanted, PAGE_BYTES));
		}
		if (i < touches && random_below(&random_state, 3) == 0) {
			versions[page]++;
			make_page(memory + page * PAGE_BYTES, page, versions[page]);
		}
	}
	printf("%llu checked, %llu lost, %llu wrong\n", (unsigned long long)checked, (unsigned long long)lost,
	       (unsigned long long)wrong);
	return wrong ? 1 : lost ? 2 : 0;
}
