// SPDX-License-Identifier: GPL-2.0
/*
 * file-tester - random operations on files against a model in memory, every byte verified; readers race.
 *
 *   file-tester --directory DIR [--seconds N | --operations N] [--seed N] [--files N] [--file-size BYTES]
 *               [--writers N] [--readers N] [--memory BYTES] [--no OP[,OP]] [--only OP[,OP]] [--report] [--list]
 *
 *   --operations  in all, shared out to the writers; without both limits 60 s
 *   --seed        all choices follow from it, each thread has its own stream; printed, drawn when not given
 *   --files, --file-size   8 and 8388608; sizes take K and M
 *   --writers, --readers   2 and 2; each file belongs to one writer, readers take any
 *   --memory      of a cgroup that the program enters once the model is in memory: by default a third of all
 *                 files' sizes, so that reclaim runs all the time; 0 for none
 *   --no, --only  by the names that --list prints (race-... are the readers')
 *   --report      "key value" lines at the end: operations of each kind, bytes verified, mismatches
 *
 * What the file system cannot do is left out after the first try. A full disk is no failure. Where the kernel itself
 * says that it could not drop a page under a direct write, the file is made anew and counted in "collisions"; bytes
 * found wrong in a file with such a report pending are "unjudged", status 2.
 * Exit: 0 no mismatch, 1 a mismatch (file, range, versions, history on standard error), 2 an operation failed, 4 usage.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sys/vfs.h>

#include "tester.h"
#include "tester-options.h"

struct options options = { .files = 8, .file_size = 8 * MIB, .writers = 2, .readers = 2, .memory = UINT64_MAX };
struct file *files;
struct thread *threads;
struct group group;
double started;
uint64_t block_bytes, direct_bytes;
volatile bool stop;

static pthread_barrier_t go;

size_t threads_count(void)
{
	return options.writers + options.readers;
}

/* A system call failed that must not, or gave what it must not. */
void unexpected(struct file *file, const char *format, ...)
{
	int error = errno;
	va_list list;

	fprintf(stderr, "file-tester: %s (size %llu): ", file->path, (unsigned long long)file->size);
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
		sum.in_flight += threads[i].in_flight;
		sum.no_space += threads[i].no_space;
		sum.unsupported += threads[i].unsupported;
		sum.inode_reused += threads[i].inode_reused;
		sum.page_faults_refused += threads[i].page_faults_refused;
		sum.collisions += threads[i].collisions;
		sum.direct_in_flight_reads += threads[i].direct_in_flight_reads;
	}
	if (options.report) {
		for (size_t kind = 0; kind < operations_count; kind++)
			if (counts[kind])
				printf("%s %llu\n", operations[kind].name, (unsigned long long)counts[kind]);
		printf("reads_during_direct_writes %llu\nbytes_in_flight %llu\nno_space %llu\nunsupported %llu\n"
		       "inode_reused %llu\nfaults_beyond_end %llu\ncollisions %llu\n",
		       (unsigned long long)sum.direct_in_flight_reads, (unsigned long long)sum.in_flight,
		       (unsigned long long)sum.no_space, (unsigned long long)sum.unsupported,
		       (unsigned long long)sum.inode_reused, (unsigned long long)sum.page_faults_refused,
		       (unsigned long long)sum.collisions);
	}
	printf("seconds %.1f\noperations %llu\nbytes_verified %llu\nmismatches %llu\n", seconds_now() - started,
	       (unsigned long long)all, (unsigned long long)sum.verified, (unsigned long long)mismatches);
}

static void usage(const char *what)
{
	fprintf(stderr, "file-tester: %s\nusage: file-tester --directory DIR [--seconds N | --operations N] [--seed N] [--files N]\n"
		"\t[--file-size BYTES] [--writers N] [--readers N] [--memory BYTES] [--no OP,..] [--only OP,..] [--report] [--list]\n",
		what);
	exit(EXIT_USAGE);
}

static const char *name_of_operation(size_t kind)
{
	return operations[kind].name;
}

/* Keeps only, or leaves out, the operations named in a list with commas. */
static void choose(char *list, bool only)
{
	bool named[OPERATIONS_MAX] = { 0 };

	names_option(list, name_of_operation, operations_count, named);
	for (size_t kind = 0; kind < operations_count; kind++)
		if (named[kind] != only)
			operations[kind].weight = operations[kind].reader_weight = 0;
}

static void read_options(int count, char **arguments)
{
	static const struct option known[] = {
		{ "directory", 1, NULL, 'd' }, { "seconds", 1, NULL, 's' }, { "operations", 1, NULL, 'o' },
		{ "seed", 1, NULL, 'S' }, { "files", 1, NULL, 'f' }, { "file-size", 1, NULL, 'z' },
		{ "writers", 1, NULL, 'w' }, { "readers", 1, NULL, 'r' }, { "memory", 1, NULL, 'm' },
		{ "no", 1, NULL, 'n' }, { "only", 1, NULL, 'y' }, { "report", 0, NULL, 'p' },
		{ "list", 0, NULL, 'l' }, { "inject", 1, NULL, 'i' }, { 0 },
	};
	int letter;

	options.seed = mix((uint64_t)time(NULL) ^ (uint64_t)getpid() << 32) >> 16;
	while ((letter = getopt_long(count, arguments, "", known, NULL)) != -1) {
		switch (letter) {
		case 'd': snprintf(options.directory, sizeof(options.directory), "%s", optarg); break;
		case 's': options.seconds = size_option(optarg); break;
		case 'o': options.operations = size_option(optarg); break;
		case 'S': options.seed = size_option(optarg); break;
		case 'f': options.files = size_option(optarg); break;
		case 'z': options.file_size = size_option(optarg); break;
		case 'w': options.writers = size_option(optarg); break;
		case 'r': options.readers = size_option(optarg); break;
		case 'm': options.memory = size_option(optarg); break;
		case 'n': choose(optarg, false); break;
		case 'y': choose(optarg, true); break;
		case 'p': options.report = true; break;
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
	if (!options.directory[0] || optind != count)
		usage("no --directory, or words left over");
	if (!options.writers || options.files < options.writers || options.files > 4096)
		usage("each writer needs a file of its own");
	if (options.file_size < 16 * PAGE_BYTES || options.file_size % PAGE_BYTES)
		usage("--file-size: whole pages, 64K or more");
	if (!options.seconds && !options.operations)
		options.seconds = 60;
	if (options.memory == UINT64_MAX)
		options.memory = larger(options.files * options.file_size / 3, 4 * MIB);
}

static size_t pick_operation(struct thread *thread, unsigned int all)
{
	unsigned int left = (unsigned int)random_below(&thread->random, all);
	size_t kind = 0;

	for (;; kind++) {
		unsigned int weight = thread->reader ? operations[kind].reader_weight : operations[kind].weight;

		if (left < weight)
			return kind;
		left -= weight;
	}
}

static void *run_thread(void *argument)
{
	struct thread *thread = argument;
	unsigned int all = 0;

	for (size_t kind = 0; kind < operations_count; kind++)
		all += thread->reader ? operations[kind].reader_weight : operations[kind].weight;
	if (!thread->reader)
		for (size_t number = thread->number; number < options.files; number += options.writers)
			fill(thread, &files[number]);
	pthread_barrier_wait(&go);
	while (all && !stop) {
		size_t kind = pick_operation(thread, all), number;

		if (!thread->reader && options.operations && !thread->operations_left--)
			break;
		if (thread->reader)
			number = random_below(&thread->random, options.files);
		else
			number = thread->number + options.writers *
				random_below(&thread->random, (options.files - thread->number + options.writers - 1) / options.writers);
		errno = 0;
		operations[kind].run(thread, &files[number]);
		thread->counts[kind]++;
	}
	return NULL;
}

/* Every byte of every file: as it is cached, after that from wherever it is kept, and from the disk. */
static void check_all(struct thread *thread)
{
	static const char *const how[] = { "last read", "last read after dropping", "last direct read" };

	for (size_t round = 0; round < 3; round++)
		for (struct file *file = files; file < files + options.files; file++) {
			if (round == 1)
				cache_advise_dontneed(thread, file);
			for (uint64_t at = 0; at < options.file_size; at += LENGTH_MAX) {
				size_t length = smaller(LENGTH_MAX, options.file_size - at);
				uint64_t since = reading_since(file);
				ssize_t got = pread(round == 2 ? file->direct : file->buffered, thread->data, length, (off_t)at);

				verify_read(thread, file, since, at, thread->data, length, got, how[round]);
			}
		}
}

static void make_files(void)
{
	struct statfs file_system;

	files = calloc(options.files, sizeof(*files));
	if (!files)
		die("no memory for files");
	for (size_t slot = 0; slot < options.files; slot++) {
		struct file *file = &files[slot];
		pthread_rwlockattr_t attributes;

		/* Readers never end: an owner must not wait for ever. */
		pthread_rwlockattr_init(&attributes);
		pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
		pthread_rwlock_init(&file->handles, &attributes);
		pthread_rwlock_init(&file->model, &attributes);
		file->slot = (unsigned int)slot;
		snprintf(file->path, sizeof(file->path), "%s/file%zu", options.directory, slot);
		file->bytes = locked_memory(options.file_size);
		file->serial = serial_new();
		file_open(file, O_CREAT | O_TRUNC);
	}
	if (fstatfs(files[0].buffered, &file_system))
		die("fstatfs");
	block_bytes = (uint64_t)file_system.f_bsize;
	/* What direct I/O needs: the smallest that a read takes. */
	if (pwrite(files[0].buffered, files[0].bytes, PAGE_BYTES, 0) != (ssize_t)PAGE_BYTES)
		die("write");
	for (direct_bytes = 512; direct_bytes < PAGE_BYTES; direct_bytes *= 2)
		if (pread(files[0].direct, files[0].bytes, direct_bytes, (off_t)direct_bytes) == (ssize_t)direct_bytes)
			break;
	if (ftruncate(files[0].buffered, 0))
		die("truncate");
}

static void make_threads(void)
{
	threads = calloc(threads_count(), sizeof(*threads));
	if (!threads)
		die("no memory for threads");
	for (size_t i = 0; i < threads_count(); i++) {
		struct thread *thread = &threads[i];

		thread->reader = i >= options.writers;
		thread->number = (unsigned int)(thread->reader ? i - options.writers : i);
		thread->random = mix(options.seed * 1000003 + i);
		thread->data = locked_memory(LENGTH_MAX);
		thread->pattern = locked_memory(LENGTH_MAX);
		thread->operations_left = options.operations / options.writers + (i < options.operations % options.writers);
	}
}

int main(int count, char **arguments)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(count, arguments);
	printf("seed %llu\n", (unsigned long long)options.seed);
	started = seconds_now();
	make_files();
	make_threads();
	map_catch_faults();
	if (options.memory && (!group_create(&group, "file-tester", options.memory) || !group_enter(&group)))
		fprintf(stderr, "file-tester: no memory cgroup; going on without\n");
	pthread_barrier_init(&go, NULL, (unsigned int)threads_count() + 1);
	for (size_t i = 0; i < threads_count(); i++)
		if (pthread_create(&threads[i].id, NULL, run_thread, &threads[i]))
			die("no thread");
	pthread_barrier_wait(&go);
	started = seconds_now();
	if (!options.operations) {
		double end = started + (double)options.seconds;

		while (seconds_now() < end)
			usleep(50000);
		stop = true;
	}
	for (size_t i = 0; i < options.writers; i++)
		pthread_join(threads[i].id, NULL);
	stop = true;
	for (size_t i = options.writers; i < threads_count(); i++)
		pthread_join(threads[i].id, NULL);
	check_all(&threads[0]);
	group_remove(&group);
	print_report(0);
	return 0;
}
