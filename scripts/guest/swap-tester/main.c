// SPDX-License-Identifier: GPL-2.0
/*
 * swap-tester - memory larger than what there is, moved, forked, dropped and paged out; every page verified.
 *
 *   swap-tester [--bytes BYTES] [--memory BYTES] [--seconds N | --operations N] [--seed N] [--writers N] [--readers N]
 *               [--swap DEVICE] [--huge] [--no OP[,OP]] [--only OP[,OP]] [--report] [--list]
 *
 *   --bytes       of all areas: private with small and with huge pages, shared anonymous, memfd (default 64M)
 *   --memory      of a cgroup that the program enters: by default a third of --bytes, 0 for none
 *   --operations  in all, shared out to the writers; without both limits 60 s
 *   --swap        a swap area that goes (swapoff) and comes back all the time; there must be another one
 *   --huge        switches all sizes of huge pages that the kernel has to madvise, for the whole machine and for
 *                 good: only for a machine made for the test
 *   --seed, --no, --only, --report as in file-tester
 *
 * To fill tmem's pool so that pages overflow to
 * the disk, make --bytes larger than the pool's limit. Children of fork are checked like the parent.
 * Exit: 0 no mismatch, 1 a mismatch (area, page, versions, history on standard error), 2 an operation failed, 4 usage.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <sys/swap.h>

#include "area.h"
#include "tester-options.h"

struct options options = { .bytes = 64 * MIB, .memory = UINT64_MAX, .writers = 2, .readers = 1 };
struct area *areas;
size_t areas_count;
struct thread *threads;
struct group group;
double started;

static volatile bool stop;
static pthread_barrier_t go;
static uint64_t swapoffs, swapoffs_refused;

size_t threads_count(void)
{
	return options.writers + options.readers;
}

void unexpected(struct area *area, const char *format, ...)
{
	int error = errno;
	va_list list;

	fprintf(stderr, "swap-tester: area %u (%s): ", area ? area->number : 0, area ? kind_names[area->kind] : "none");
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fprintf(stderr, ": %s; seed %llu\n", error ? strerror(error) : "no error", (unsigned long long)options.seed);
	fflush(NULL);
	_exit(EXIT_UNEXPECTED);
}

void print_report(uint64_t mismatches)
{
	uint64_t counts[OPERATIONS_MAX] = { 0 }, all = 0;
	struct thread sum = { 0 };

	for (size_t i = 0; i < threads_count(); i++) {
		for (size_t kind = 0; kind < operations_count; kind++) {
			counts[kind] += threads[i].counts[kind];
			all += threads[i].counts[kind];
		}
		sum.verified += threads[i].verified;
		sum.freed_pages += threads[i].freed_pages;
		sum.children += threads[i].children;
		sum.unsupported += threads[i].unsupported;
	}
	if (options.report) {
		for (size_t kind = 0; kind < operations_count; kind++)
			if (counts[kind])
				printf("%s %llu\n", operations[kind].name, (unsigned long long)counts[kind]);
		printf("children %llu\nfreed_pages_zero %llu\nadvice_refused %llu\nswapoffs %llu\nswapoffs_refused %llu\n",
		       (unsigned long long)sum.children, (unsigned long long)sum.freed_pages,
		       (unsigned long long)sum.unsupported, (unsigned long long)swapoffs,
		       (unsigned long long)swapoffs_refused);
	}
	printf("seconds %.1f\noperations %llu\nbytes_verified %llu\nmismatches %llu\n", seconds_now() - started,
	       (unsigned long long)all, (unsigned long long)sum.verified, (unsigned long long)mismatches);
}

static void usage(const char *what)
{
	fprintf(stderr, "swap-tester: %s\nusage: swap-tester [--bytes BYTES] [--memory BYTES] [--seconds N | --operations N] [--seed N]\n"
		"\t[--writers N] [--readers N] [--swap DEVICE] [--huge] [--no OP,..] [--only OP,..] [--report] [--list]\n", what);
	exit(EXIT_USAGE);
}

static const char *name_of_operation(size_t kind)
{
	return operations[kind].name;
}

static void choose(char *list, bool only)
{
	bool named[OPERATIONS_MAX] = { 0 };

	names_option(list, name_of_operation, operations_count, named);
	for (size_t kind = 0; kind < operations_count; kind++)
		if (named[kind] != only)
			operations[kind].weight = 0;
}

static void read_options(int count, char **arguments)
{
	static const struct option known[] = {
		{ "bytes", 1, NULL, 'b' }, { "memory", 1, NULL, 'm' }, { "seconds", 1, NULL, 's' },
		{ "operations", 1, NULL, 'o' }, { "seed", 1, NULL, 'S' }, { "writers", 1, NULL, 'w' },
		{ "readers", 1, NULL, 'r' }, { "swap", 1, NULL, 'd' }, { "no", 1, NULL, 'n' },
		{ "only", 1, NULL, 'y' }, { "report", 0, NULL, 'p' }, { "list", 0, NULL, 'l' },
		{ "inject", 1, NULL, 'i' }, { "huge", 0, NULL, 'h' }, { 0 },
	};
	int letter;

	options.seed = mix((uint64_t)time(NULL) ^ (uint64_t)getpid() << 32) >> 16;
	while ((letter = getopt_long(count, arguments, "", known, NULL)) != -1) {
		switch (letter) {
		case 'b': options.bytes = size_option(optarg); break;
		case 'm': options.memory = size_option(optarg); break;
		case 's': options.seconds = size_option(optarg); break;
		case 'o': options.operations = size_option(optarg); break;
		case 'S': options.seed = size_option(optarg); break;
		case 'w': options.writers = size_option(optarg); break;
		case 'r': options.readers = size_option(optarg); break;
		case 'd': options.swap = optarg; break;
		case 'n': choose(optarg, false); break;
		case 'y': choose(optarg, true); break;
		case 'p': options.report = true; break;
		case 'h': options.huge = true; break;
		case 'i':
			if (strcmp(optarg, "stale"))
				usage(optarg);
			options.inject_stale = true;
			break;
		case 'l':
			for (size_t kind = 0; kind < operations_count; kind++)
				puts(operations[kind].name);
			exit(0);
		default: usage("bad option");
		}
	}
	if (optind != count || !options.writers)
		usage("words left over, or no writer");
	if (options.bytes < options.writers * KINDS * HUGE_PAGES * PAGE_BYTES)
		usage("--bytes: 2M for each of a writer's four areas at least");
	if (!options.seconds && !options.operations)
		options.seconds = 60;
	if (options.memory == UINT64_MAX)
		options.memory = options.bytes / 3;
}

/* A page that swap cannot give back. */
static void on_sigbus(int number, siginfo_t *information, void *context)
{
	(void)number;
	(void)context;
	for (size_t i = 0; i < areas_count; i++) {
		unsigned char *at = information->si_addr;

		if (at >= areas[i].memory && at < areas[i].memory + areas[i].pages * PAGE_BYTES) {
			errno = EIO;
			unexpected(&areas[i], "SIGBUS at page %zu", (size_t)(at - areas[i].memory) / PAGE_BYTES);
		}
	}
	_exit(EXIT_UNEXPECTED);
}

/* Before the kernel kills another. */
static void be_the_victim(void)
{
	int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (file < 0 || write(file, "500", 3) < 0)
		fprintf(stderr, "swap-tester: no oom_score_adj\n");
	close(file);
}

static void huge_pages_on_demand(void)
{
	glob_t found;

	if (glob("/sys/kernel/mm/transparent_hugepage/*/enabled", 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++) {
			int file = open(found.gl_pathv[i], O_WRONLY | O_CLOEXEC);

			if (file >= 0 && write(file, "madvise", 7) < 0)
				fprintf(stderr, "swap-tester: %s does not take madvise\n", found.gl_pathv[i]);
			close(file);
		}
}

static void run_operation(struct thread *thread, struct area *area, size_t kind)
{
	const struct operation *operation = &operations[kind];
	static const size_t scales[] = { 1, 4, 16, 64 };
	size_t count = 1 + random_below(&thread->random, scales[random_below(&thread->random, 4)]);
	size_t first = random_below(&thread->random, area->pages - count + 1);

	if (operation->private_only && area->kind != PLAIN && area->kind != HUGE)
		return;
	errno = 0;
	/* Only the owner has records, also of what does not change anything. */
	if (!thread->reader) {
		pthread_rwlock_wrlock(&area->lock);
		area_record(area, operation->name, first, count);
		if (!operation->changes) {
			pthread_rwlock_unlock(&area->lock);
			pthread_rwlock_rdlock(&area->lock);
		}
	} else {
		pthread_rwlock_rdlock(&area->lock);
	}
	operation->run(thread, area, first, count);
	pthread_rwlock_unlock(&area->lock);
	thread->counts[kind]++;
}

static size_t pick_operation(struct thread *thread)
{
	unsigned int all = 0, left;
	size_t kind;

	for (kind = 0; kind < operations_count; kind++)
		all += thread->reader && operations[kind].changes ? 0 : operations[kind].weight;
	if (!all)
		return operations_count;
	left = (unsigned int)random_below(&thread->random, all);
	for (kind = 0;; kind++) {
		unsigned int weight = thread->reader && operations[kind].changes ? 0 : operations[kind].weight;

		if (left < weight)
			return kind;
		left -= weight;
	}
}

static void *run_thread(void *argument)
{
	struct thread *thread = argument;

	for (size_t number = thread->number; !thread->reader && number < areas_count; number += options.writers)
		for (size_t page = 0; page < areas[number].pages; page++)
			if (!one_in(thread, 4))
				area_write(&areas[number], page, false);
	pthread_barrier_wait(&go);
	while (!stop) {
		size_t kind = pick_operation(thread), number;

		if (kind == operations_count || (!thread->reader && options.operations && !thread->operations_left--))
			break;
		number = random_below(&thread->random, areas_count);
		if (!thread->reader)
			number = number / options.writers * options.writers + thread->number;
		run_operation(thread, &areas[number], kind);
	}
	return NULL;
}

static void *swap_cycle(void *unused)
{
	while (!stop) {
		usleep(300000);
		if (swapoff(options.swap)) {
			swapoffs_refused++;
			continue;
		}
		swapoffs++;
		usleep(100000);
		if (swapon(options.swap, 0))
			unexpected(NULL, "swapon %s", options.swap);
	}
	return unused;
}

static void set_up(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
	if (options.huge)
		huge_pages_on_demand();
	areas_count = options.writers * KINDS;
	areas = calloc(areas_count, sizeof(*areas));
	threads = calloc(threads_count(), sizeof(*threads));
	if (!areas || !threads)
		die("no memory");
	for (size_t i = 0; i < areas_count; i++)
		area_make(&areas[i], (unsigned int)i, (enum kind)(i / options.writers),
			  options.bytes / areas_count / PAGE_BYTES);
	for (size_t i = 0; i < threads_count(); i++) {
		threads[i].reader = i >= options.writers;
		threads[i].number = (unsigned int)(threads[i].reader ? i - options.writers : i);
		threads[i].random = mix(options.seed * 1000003 + i);
		threads[i].page = locked_memory(PAGE_BYTES);
		threads[i].operations_left = options.operations / options.writers + (i < options.operations % options.writers);
	}
	if (options.memory && (!group_create(&group, "swap-tester", options.memory) || !group_enter(&group)))
		fprintf(stderr, "swap-tester: no memory cgroup; going on without\n");
	be_the_victim();
}

int main(int count, char **arguments)
{
	pthread_t cycle = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(count, arguments);
	printf("seed %llu\n", (unsigned long long)options.seed);
	started = seconds_now();
	set_up();
	pthread_barrier_init(&go, NULL, (unsigned int)threads_count() + 1);
	for (size_t i = 0; i < threads_count(); i++)
		if (pthread_create(&threads[i].id, NULL, run_thread, &threads[i]))
			die("no thread");
	pthread_barrier_wait(&go);
	started = seconds_now();
	if (options.swap && pthread_create(&cycle, NULL, swap_cycle, NULL))
		die("no thread");
	if (!options.operations) {
		while (seconds_now() < started + (double)options.seconds)
			usleep(50000);
		stop = true;
	}
	for (size_t i = 0; i < options.writers; i++)
		pthread_join(threads[i].id, NULL);
	stop = true;
	for (size_t i = options.writers; i < threads_count(); i++)
		pthread_join(threads[i].id, NULL);
	if (cycle)
		pthread_join(cycle, NULL);
	for (size_t i = 0; i < areas_count; i++)
		area_check(&threads[0], &areas[i], 0, areas[i].pages, "last read");
	group_remove(&group);
	print_report(0);
	return 0;
}
