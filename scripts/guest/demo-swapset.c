// SPDX-License-Identifier: GPL-2.0
/*
 * demo-swapset - a program whose working set of real data is larger than memory, every page verified.
 *
 *   demo-swapset DEVICE MIB ROUNDS TOUCHES SEED MARK
 *
 * Fills MIB of anonymous memory with the first blocks of DEVICE (read with O_DIRECT: nothing of it stays
 * in the page cache), then ROUNDS times: walks all of it in order, then touches TOUCHES pages at random.
 * Every page looked at is checked against its hash; each eighth in a walk and each fourth touched is then
 * rewritten. MARK is run with a stage's name ("fill", "walk1", "touch1", ...) at the end of each stage.
 *
 * A page is its block of the device with the first and the last word replaced by a stamp made of its
 * number and version: no two pages are equal, an old version is noticed, and a page with a wrong hash can
 * be compared with the device to count its wrong bytes.
 *
 * Exit: 0 every byte is right, 1 a byte is wrong, 4 it could not be tried.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "verify.h"

#define PROGRESS_SECONDS 3.0
#define WORDS (PAGE_BYTES / sizeof(uint64_t))

extern char **environ;

static int device;
static const char *mark_program;
static unsigned char *memory;
static size_t page_count;
static uint64_t *hashes;	/* what each page must be now */
static uint32_t *versions;
static uint64_t random_state;
static uint64_t pages_checked, pages_wrong, wrong_bytes, pages_rewritten;
static double begin, shown;

static void stamp(void *page, size_t number)
{
	uint64_t *words = page;
	uint64_t value = mix(((uint64_t)versions[number] << 40) ^ number ^ HASH_SEED);

	words[0] = value;
	words[WORDS - 1] = ~value;
}

static void mark(const char *stage)
{
	char *const arguments[] = { (char *)mark_program, (char *)stage, NULL };
	pid_t child;
	int status;

	/* Not fork: the child would get a copy of every page table. */
	errno = posix_spawn(&child, mark_program, NULL, NULL, arguments, environ);
	if (errno)
		die("cannot run %s", mark_program);
	if (waitpid(child, &status, 0) != child || status)
		die("%s %s", mark_program, stage);
}

static void progress(const char *stage, size_t done, size_t total)
{
	double now = seconds_now();

	if (now - shown < PROGRESS_SECONDS)
		return;
	shown = now;
	printf("swap %s: %zu of %zu pages, %.0f s, %llu wrong\n", stage, done, total, now - begin,
	       (unsigned long long)wrong_bytes);
	fflush(stdout);
}

static void fill(void)
{
	for (size_t at = 0; at < page_count * PAGE_BYTES; at += MIB) {
		if (pread(device, memory + at, MIB, (off_t)at) != (ssize_t)MIB)
			die("cannot read the data of page %zu", at / PAGE_BYTES);
		for (size_t number = at / PAGE_BYTES; number < (at + MIB) / PAGE_BYTES; number++) {
			unsigned char *page = memory + number * PAGE_BYTES;

			stamp(page, number);
			hashes[number] = hash_bytes(HASH_SEED, page, PAGE_BYTES);
		}
		progress("fill", (at + MIB) / PAGE_BYTES, page_count);
	}
}

/* Counts the wrong bytes of a page whose hash is wrong. */
static void explain(size_t number)
{
	static unsigned char expected[PAGE_BYTES] __attribute__((aligned(4096)));
	size_t wrong = 0;

	if (pread(device, expected, PAGE_BYTES, (off_t)(number * PAGE_BYTES)) == (ssize_t)PAGE_BYTES) {
		stamp(expected, number);
		wrong = bytes_wrong(memory + number * PAGE_BYTES, expected, PAGE_BYTES);
	}
	printf("WRONG: swap page %zu, version %u: %zu bytes\n", number, versions[number], wrong);
	pages_wrong++;
	wrong_bytes += wrong ? wrong : 1;
}

static void visit(size_t number, int rewrite)
{
	unsigned char *page = memory + number * PAGE_BYTES;

	pages_checked++;
	if (hash_bytes(HASH_SEED, page, PAGE_BYTES) != hashes[number])
		explain(number);
	if (!rewrite)
		return;
	pages_rewritten++;
	versions[number]++;
	stamp(page, number);
	hashes[number] = hash_bytes(HASH_SEED, page, PAGE_BYTES);
}

int main(int count, char **arguments)
{
	char stage[32];
	size_t rounds, touches;

	if (count != 7) {
		fprintf(stderr, "usage: demo-swapset DEVICE MIB ROUNDS TOUCHES SEED MARK\n");
		return 4;
	}
	page_count = number(arguments[2], "MIB") * (MIB / PAGE_BYTES);
	rounds = number(arguments[3], "ROUNDS");
	touches = number(arguments[4], "TOUCHES");
	random_state = number(arguments[5], "SEED");
	mark_program = arguments[6];
	device = open(arguments[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (device < 0)
		die("cannot open %s", arguments[1]);
	memory = mmap(NULL, page_count * PAGE_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	hashes = calloc(page_count, sizeof(*hashes));
	versions = calloc(page_count, sizeof(*versions));
	if (memory == MAP_FAILED || !hashes || !versions)
		die("cannot allocate %zu pages", page_count);

	begin = shown = seconds_now();
	fill();
	mark("fill");
	for (size_t round = 1; round <= rounds; round++) {
		snprintf(stage, sizeof(stage), "walk%zu", round);
		for (size_t number = 0; number < page_count; number++) {
			visit(number, number % 8 == round % 8);
			progress(stage, number + 1, page_count);
		}
		mark(stage);
		snprintf(stage, sizeof(stage), "touch%zu", round);
		for (size_t i = 0; i < touches; i++) {
			visit(random_below(&random_state, page_count), i % 4 == 0);
			progress(stage, i + 1, touches);
		}
		mark(stage);
	}
	printf("swap: done: pages=%zu pages_checked=%llu pages_rewritten=%llu pages_wrong=%llu wrong_bytes=%llu seconds=%.2f\n",
	       page_count, (unsigned long long)pages_checked, (unsigned long long)pages_rewritten,
	       (unsigned long long)pages_wrong, (unsigned long long)wrong_bytes,
	       seconds_now() - begin);
	return pages_wrong ? 1 : 0;
}
