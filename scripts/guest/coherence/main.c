// SPDX-License-Identifier: GPL-2.0
/*
 * coherence - one test for each way in which a page kept outside of the page cache could become stale.
 *
 *   coherence --directory DIR [--rounds N] [--only NAME] [--device DEVICE --type FILE-SYSTEM] [--list]
 *             [--module PATH [--words "WORD..."]]
 *
 * Each builds one order of events and compares every byte; a comment at each says which hooks and which rule make it
 * pass, so that a module without them must fail it. Pages are sent out of the page cache by reclaim in a cgroup of
 * the program's own, and it is checked that they are out. The races (direct-async, end-of-file) want a slow disk.
 *
 *   --rounds   of those tests that need more than one (default 10)
 *   --device   what DIR is mounted from, for the tests that mount it elsewhere or otherwise, or write to it
 *   --module   the module that is loaded, for the test that loads it anew, with --words
 *
 * Prints "ok NAME", "not ok NAME: why", "skip NAME: why" and "note NAME: what was seen".
 * Exit: 0 no test failed, 1 one did, 4 usage or set-up.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "subject.h"

struct group group;
const char *directory, *device, *type_name;
unsigned int rounds = 10;
uint64_t block_bytes;
unsigned char *buffer;

static const struct {
	const char *name;
	verdict (*run)(void);
} tests[] = {
	{ "truncate", test_truncate },
	{ "truncate-in-page", test_truncate_in_page },
	{ "punch", test_punch },
	{ "punch-in-page", test_punch_in_page },
	{ "zero", test_zero },
	{ "collapse", test_collapse },
	{ "insert", test_insert },
	{ "clone-over", test_clone_over },
	{ "copy-over", test_copy_over },
	{ "write-over", test_write_over },
	{ "write-part", test_write_part },
	{ "write-dropped", test_write_dropped },
	{ "map-write", test_map_write },
	{ "move-extents", test_move_extents },
	{ "move-extents-resident", test_move_extents_resident },
	{ "direct-write", test_direct_write },
	{ "direct-write-blocks", test_direct_write_other_descriptor },
	{ "direct-async", test_direct_async },
	{ "direct-fault", test_direct_fault },
	{ "direct-full", test_direct_full },
	{ "clone-killed", test_clone_killed },
	{ "clone-keeps", test_clone_keeps },
	{ "rename-keeps", test_rename_keeps },
	{ "suspect-once", test_suspect_once },
	{ "looked-again", test_looked_again },
	{ "before-load", test_before_load },
	{ "walked", test_walked },
	{ "dont-need", test_dont_need },
	{ "dont-need-resident", test_dont_need_resident },
	{ "drop-caches", test_drop_caches },
	{ "drop-caches-resident", test_drop_caches_resident },
	{ "put-in-flight", test_put_in_flight },
	{ "mapped-out", test_mapped_out },
	{ "quota", test_quota },
	{ "inline-data", test_inline_data },
	{ "inode-reuse", test_inode_reuse },
	{ "rename-over", test_rename_over },
	{ "remount", test_remount },
	{ "end-of-file", test_end_of_file },
	{ "end-of-file-grown", test_end_of_file_grown },
	{ "swap-file", test_swap_file },
	{ "swap-file-resident", test_swap_file_resident },
	{ "swap-file-active", test_swap_file_active },
	{ "charge", test_charge },
	{ "far-page", test_far_page },
};

static void usage(void)
{
	fprintf(stderr, "usage: coherence --directory DIR [--rounds N] [--only NAME] [--device DEVICE --type FILE-SYSTEM] [--module PATH [--words WORDS]] [--list]\n");
	exit(4);
}

/* In a process of its own: whatever a test leaves open or running goes with it. True unless it failed. */
static bool run_test(const char *name, verdict (*run)(void))
{
	int status = 1;
	verdict result;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child) {
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFSIGNALED(status))
			printf("not ok %s: died of signal %d\n", name, WTERMSIG(status));
		return status == 0;
	}
	result = run();
	if (!result)
		printf("ok %s\n", name);
	else if (!strncmp(result, "skip: ", 6))
		printf("skip %s: %s\n", name, result + 6);
	else
		printf("not ok %s: %s\n", name, result);
	fflush(NULL);
	_exit(result && strncmp(result, "skip: ", 6));
}

int main(int count, char **arguments)
{
	static const struct option known[] = {
		{ "directory", 1, NULL, 'd' }, { "rounds", 1, NULL, 'r' }, { "only", 1, NULL, 'o' },
		{ "device", 1, NULL, 'D' }, { "type", 1, NULL, 't' }, { "list", 0, NULL, 'l' },
		{ "module", 1, NULL, 'm' }, { "words", 1, NULL, 'w' }, { 0 },
	};
	const char *only = NULL;
	struct statfs file_system;
	int letter, failed = 0, ran = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((letter = getopt_long(count, arguments, "", known, NULL)) != -1) {
		switch (letter) {
		case 'd': directory = optarg; break;
		case 'r': rounds = (unsigned int)number(optarg, "--rounds"); break;
		case 'o': only = optarg; break;
		case 'D': device = optarg; break;
		case 't': type_name = optarg; break;
		case 'm': module_path = optarg; break;
		case 'w': module_words = optarg; break;
		case 'l':
			for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
				puts(tests[i].name);
			return 0;
		default: usage();
		}
	}
	if (!directory || optind != count || !rounds)
		usage();
	if (statfs(directory, &file_system))
		die("%s", directory);
	block_bytes = (uint64_t)file_system.f_bsize;
	buffer = mmap(NULL, SUBJECT_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (buffer == MAP_FAILED)
		die("no memory");
	if (!group_create(&group, "coherence", 0) || !group_enter(&group))
		die("no memory cgroup: pages cannot be reclaimed");
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (only && strcmp(only, tests[i].name))
			continue;
		ran++;
		failed += !run_test(tests[i].name, tests[i].run);
	}
	group_remove(&group);
	if (!ran)
		die("no test %s", only ? only : "");
	return failed ? 1 : 0;
}
