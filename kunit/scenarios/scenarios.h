/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Scenarios: tests of the core in plain C, one source for the kernel and the host.
 *
 * A scenario is a function of one environment. It makes engines of its own
 * beside whatever else runs, works on them through core/abi.h alone, and says
 * what it expects:
 *
 *      kunit/kunit_main.c            core/test/scenario_test.cc
 *        KUnit, kthreads               GoogleTest, threads
 *          └───────────┬──────────────────┘
 *            platform_*  (declared here, each side has its own)
 *                      │
 *            scenarios, environment.c, content.c, test_pam.c
 *                      │
 *                 core/abi.h
 *
 * Between the engine and the platform's host ops sits the injector (below):
 * it counts every allocation, makes chosen ones fail, and breaks the codec on
 * request. Host ops carry no context, so one environment is in use at a time.
 *
 * Rules of these files: declarations at the head of a block and no libc (they
 * are compiled as the kernel's C of 5.10), no page on the stack (its kernel
 * stacks are small), no assertion that depends on time.
 */
#ifndef TMEM_SCENARIOS_H
#define TMEM_SCENARIOS_H

#ifdef __KERNEL__
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <stddef.h>
#include <string.h>
#endif

#include "../../core/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The list ------------------------------------------------------------ */

#define SCENARIOS_CONTRACT(X)                                                                      \
	X(every_page_comes_back)                                                                   \
	X(last_put_wins)                                                                           \
	X(refused_put_leaves_nothing)                                                              \
	X(put_refused_by_budget_leaves_nothing)                                                    \
	X(put_refused_by_limit_leaves_nothing)                                                     \
	X(miss_stays_a_miss)                                                                       \
	X(miss_leaves_the_page_alone)                                                              \
	X(private_ephemeral_get_is_exclusive)                                                      \
	X(shared_and_persistent_gets_leave_the_page)                                               \
	X(persistent_pages_survive_pressure)                                                       \
	X(corrupt_page_is_never_served)                                                            \
	X(corrupt_bit_is_found)                                                                    \
	X(flush_removes_one_page)                                                                  \
	X(flush_range_removes_the_range)                                                           \
	X(flush_range_of_any_width)                                                                \
	X(flush_object_removes_one_object)                                                         \
	X(flush_object_of_a_huge_object)                                                           \
	X(every_bit_of_an_oid_counts)                                                              \
	X(every_bit_of_an_index_counts)                                                            \
	X(interrupts_may_be_off)                                                                   \
	X(interrupt_in_the_middle_of_a_put)                                                        \
	X(bad_arguments_are_answered)                                                              \
	X(put_of_no_page_leaves_nothing)                                                           \
	X(counters_add_up)

#define SCENARIOS_PAM(X)                                                                           \
	X(pampd_is_any_value)                                                                      \
	X(references_balance)                                                                      \
	X(create_is_told_the_truth)                                                                \
	X(create_results_pass_through)                                                             \
	X(duplicate_is_built_first_and_freed_last)                                                 \
	X(unreadable_page_is_corrupt)                                                              \
	X(eviction_by_back_reference)                                                              \
	X(eviction_before_publication_fails)                                                       \
	X(policy_is_forwarded)                                                                     \
	X(registration_rules)                                                                      \
	X(plain_pam_keeps_pages)

#define SCENARIOS_STORE(X)                                                                         \
	X(every_size_comes_back)                                                                   \
	X(usage_adds_up)                                                                           \
	X(incompressible_pages)                                                                    \
	X(admission_thresholds)                                                                    \
	X(checksum_may_be_switched)                                                                \
	X(checksum_sees_every_change)                                                              \
	X(holes_are_used_again)                                                                    \
	X(packing_is_dense)                                                                        \
	X(compaction_loses_nothing)                                                                \
	X(holes_make_room_for_persistent_pages)                                                    \
	X(a_refusal_stands_until_there_is_room)

#define SCENARIOS_SAME_FILLED(X)                                                                   \
	X(same_filled_persistent_pages_use_no_frame)                                               \
	X(same_filled_pages_keep_to_a_limit)                                                       \
	X(same_filled_ephemeral_pages_can_be_evicted)                                              \
	X(nearly_same_filled_pages_are_kept_apart)                                                 \
	X(same_filled_may_be_switched)                                                             \
	X(same_filled_replaces_and_is_replaced)

#define SCENARIOS_EVICTION(X)                                                                      \
	X(budget_is_kept)                                                                          \
	X(oldest_pages_go_first)                                                                   \
	X(pages_that_are_read_stay)                                                                \
	X(ephemeral_pages_go_before_persistent_puts_are_refused)                                   \
	X(full_of_persistent_pages)                                                                \
	X(shrink_gives_frames_back)                                                                \
	X(smaller_budget_evicts)                                                                   \
	X(limit_of_a_client)                                                                       \
	X(weights_share_the_budget)                                                                \
	X(frozen_refuses_puts_only)

#define SCENARIOS_FAILURES(X)                                                                      \
	X(host_that_cannot_be_made)                                                                \
	X(each_allocation_fails_once)                                                              \
	X(each_allocation_fails_from_then_on)                                                      \
	X(failed_duplicate_leaves_nothing)                                                         \
	X(failed_insertion_leaves_no_trace)                                                        \
	X(ephemeral_put_recycles_when_memory_is_out)                                               \
	X(reserves_are_for_persistent_pages)

#define SCENARIOS_LIFE_CYCLE(X)                                                                    \
	X(pools_come_and_go)                                                                       \
	X(destroy_frees_every_page)                                                                \
	X(pool_ids_are_not_reused)                                                                 \
	X(too_many_pools)                                                                          \
	X(too_many_clients)                                                                        \
	X(clients_are_isolated)                                                                    \
	X(shared_pools_are_joined_by_uuid)                                                         \
	X(shared_pool_survives_its_maker)                                                          \
	X(client_destroy_takes_its_pools)                                                          \
	X(destroy_waits_for_a_get)                                                                 \
	X(destroy_waits_for_a_put)                                                                 \
	X(eviction_meets_destroy)                                                                  \
	X(pools_can_be_listed)                                                                     \
	X(clients_can_be_listed)                                                                   \
	X(many_hosts_at_once)

#define SCENARIOS_CONCURRENT(X)                                                                    \
	X(mixed_operations)                                                                        \
	X(mixed_operations_on_plain_pages)                                                         \
	X(exclusive_gets_race)                                                                     \
	X(puts_of_one_handle_race)                                                                 \
	X(flush_object_races_with_puts)                                                            \
	X(destroy_races_with_everything)                                                           \
	X(eviction_races_with_gets)                                                                \
	X(clients_come_and_go)

/* Y(group, GROUP): one suite each. */
#define SCENARIO_GROUPS(Y)                                                                         \
	Y(contract, CONTRACT)                                                                      \
	Y(pam, PAM)                                                                                \
	Y(store, STORE)                                                                            \
	Y(same_filled, SAME_FILLED)                                                                \
	Y(eviction, EVICTION)                                                                      \
	Y(failures, FAILURES)                                                                      \
	Y(life_cycle, LIFE_CYCLE)                                                                  \
	Y(concurrent, CONCURRENT)

struct scenario_env;

#define SCENARIO(name) void scenario_##name(struct scenario_env *env)
#define DECLARE_SCENARIO(name) SCENARIO(name);
#define DECLARE_SCENARIO_GROUP(group, GROUP) SCENARIOS_##GROUP(DECLARE_SCENARIO)
SCENARIO_GROUPS(DECLARE_SCENARIO_GROUP)

/* ---- What the platform provides ------------------------------------------ */

/* The host ops that engines are made with, before the injector is put in front. */
const struct tmem_host_ops *platform_host_ops(void);

/* Zeroed memory, page aligned if it is a page or more; NULL if there is none. May sleep. */
void *platform_allocate(unsigned long bytes);
void platform_release(void *memory);

/* Records a failure of the running scenario; any context. */
void platform_fail(struct scenario_env *env, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* NULL if no thread can be had. */
struct platform_thread;
struct platform_thread *platform_thread_start(void (*run)(void *argument), void *argument);
void platform_thread_join(struct platform_thread *thread);

/* Sleeps a little, so that others run. */
void platform_pause(void);
/* Lets others run if they are waiting for this processor; long loops of threads call it. */
void platform_yield(void);

/* How many threads sleep in tmem_gate_close now, or -1 if the platform cannot tell. */
int platform_events_waiting(void);

unsigned long platform_interrupts_off(void);
void platform_interrupts_on(unsigned long state);
/* Runs @run as an interrupt of the code that calls this would. */
void platform_interrupt(void (*run)(void *argument), void *argument);

/* ---- The environment ------------------------------------------------------ */

struct scenario_env {
	void *platform;			/* the platform's own */
	unsigned int effort;		/* 1: loops as written; more: that many times as long */
	unsigned int failures;
	unsigned long long random;	/* state of scenario_random */
	struct tmem_host *host;		/* between engine_start and engine_stop */
	struct tmem_client *client;	/* its first client */
	unsigned char *page;		/* scratch pages of the scenario's own thread */
	unsigned char *page_back;
};

/* Runs one scenario: prepares @env (platform and effort set by the caller), and cleans up. */
void scenario_run(struct scenario_env *env, void (*scenario)(struct scenario_env *env),
		  unsigned long long seed);

#define EXPECT(env, condition)                                                                     \
	do {                                                                                       \
		if (!(condition))                                                                  \
			scenario_fail(env, __FILE__, __LINE__, "expected: " #condition);           \
	} while (0)

#define EXPECT_EQUAL(env, actual, expected)                                                        \
	scenario_expect_equal(env, __FILE__, __LINE__, #actual, (long long)(actual),               \
			      (long long)(expected))

/* Leaves the function too. */
#define REQUIRE(env, condition)                                                                    \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			scenario_fail(env, __FILE__, __LINE__, "required: " #condition);           \
			return;                                                                    \
		}                                                                                  \
	} while (0)

void scenario_fail(struct scenario_env *env, const char *file, int line, const char *text);
void scenario_expect_equal(struct scenario_env *env, const char *file, int line, const char *text,
			   long long actual, long long expected);

unsigned long long scenario_hash(unsigned long long value);
unsigned long long scenario_random(unsigned long long *state);
/* Below @bound, which is not 0. */
unsigned int scenario_below(unsigned long long *state, unsigned int bound);

/* ---- Engines --------------------------------------------------------------- */

#define ENGINE_FRAMES_DEFAULT 16384

/*
 * Makes env->host with the injector's ops, @pam (NULL: the compressed store)
 * and env->client. @memory_frames 0 stands for ENGINE_FRAMES_DEFAULT.
 * 1, or 0 with a failure recorded and nothing to stop.
 */
int engine_start(struct scenario_env *env, const struct tmem_pam_ops *pam,
		 unsigned long long memory_frames);
/* Checks all there is to check, takes the engine apart, and looks for leaks. */
void engine_stop(struct scenario_env *env);
/* tmem_validate and the identities of abi.h, host and pools; nothing may be under way. */
void engine_check(struct scenario_env *env, const char *file, int line);
#define ENGINE_CHECK(env) engine_check(env, __FILE__, __LINE__)

/* The first identity of abi.h that @stats breaks, or NULL. */
const char *stats_broken_identity(const struct tmem_stats *stats);

/* Oids by number. */
struct tmem_oid oid_of(unsigned long long number);

/* Shorthands over env->client; the page is content @kind, @tag. */
int put_data(struct scenario_env *env, int pool, unsigned long long object,
	     unsigned long long index, unsigned int kind, unsigned long long tag);
/* What get answers; a hit with other content than @kind, @tag is a failure. */
int get_data(struct scenario_env *env, int pool, unsigned long long object,
	     unsigned long long index, unsigned int kind, unsigned long long tag);
int flush_page(struct scenario_env *env, int pool, unsigned long long object,
	       unsigned long long index);
int flush_object(struct scenario_env *env, int pool, unsigned long long object);

/* Puts incompressible persistent pages until one is refused; how many were stored. */
unsigned int fill_with_persistent_pages(struct scenario_env *env, int pool,
					unsigned long long object, int *refusal);

/* The four flavours of a pool. */
#define POOL_FLAVOURS 4
extern const unsigned int pool_flavours[POOL_FLAVOURS];
/* A pool of @flags; shared ones get a uuid of their own. A bad result is a failure. */
int new_pool(struct scenario_env *env, unsigned int flags);

/* ---- The injector ------------------------------------------------------------ */

#define INJECT_OBJECTS 1
#define INJECT_FRAMES 2
#define INJECT_TABLES 4
#define INJECT_ALL 7

struct injector {
	/* Set by tests, with nothing under way or atomically. */
	unsigned int fail_what;		/* INJECT_*: which allocations count and fail */
	long long fail_after;		/* that many succeed, then ... */
	long long fail_count;		/* ... that many fail; negative: no end */
	int fail_ordinary;		/* objects and frames fail without TMEM_ALLOC_RESERVES */
	int every_cpu;			/* before an engine starts: its store has a part for each CPU, not one for all */
	int no_workspace;		/* codec_begin lends a bounce page only */
	int compress_fails;
	int decompress_fails;
	unsigned int checksum_twist;	/* xored into checksums */
	void (*on_compress)(void *argument);	/* called once, inside the next compress */
	void *on_compress_argument;

	/* Seen so far. */
	long long allocations;		/* that fail_what counts */
	long long failures;		/* allocations failed on purpose */
	long long reserves_used;	/* allocations with TMEM_ALLOC_RESERVES */
	long long live_objects[TMEM_KINDS];
	long long live_frames;
	long long frames_evicted;	/* as the core told the host */
	long long live_tables;
	long long live_table_bytes;
	long long breaths;
	long long compressions;
	long long decompressions;
	long long codec_open;
};

extern struct injector injector;

/* Forgets settings and counts; nothing may be live. */
void injector_reset(void);
/* Allocation number @after + 1 of @what fails, and @count in all (negative: no end). */
void injector_fail(unsigned int what, long long after, long long count);
/* Nothing fails any more. */
void injector_heal(void);
/* A table in front of the platform's, with @memory_frames; one for all engines. */
const struct tmem_host_ops *injector_ops(unsigned long long memory_frames);
/* 0 if nothing is live; otherwise a failure was recorded. */
int injector_leaks(struct scenario_env *env, const char *file, int line);

/* ---- Content of pages --------------------------------------------------------- */

/*
 * A page's content follows from its kind and a tag, so that what comes back
 * can be verified without a copy. Except for zero pages, the first word is
 * the tag itself: a page says what it is.
 */
enum content {
	CONTENT_ZERO,		/* all zero, whatever the tag */
	CONTENT_SAME_FILLED,	/* the tag over and over */
	CONTENT_NEAR_SAME,	/* the same, but for one bit of one word */
	CONTENT_PATTERN,	/* repeats every 128 bytes: compresses to a tenth */
	CONTENT_TEXT,		/* words of a small vocabulary: to about a third */
	CONTENT_HALF,		/* half noise, half zero */
	CONTENT_POOR,		/* seven eighths noise: a persistent page, not an ephemeral one */
	CONTENT_RANDOM,		/* noise */
	CONTENT_KINDS
};

#define CONTENT_FIRST_POOR CONTENT_POOR	/* from here on, ephemeral pages are refused */

#define PAGE_WORDS (TMEM_PAGE_BYTES / sizeof(unsigned long long))

void content_fill(void *page, unsigned int kind, unsigned long long tag);
int content_matches(const void *page, unsigned int kind, unsigned long long tag);
/* The first @noise words are noise, the rest zero: any compressed size. */
void content_fill_mixed(void *page, unsigned int noise, unsigned long long tag);
int content_matches_mixed(const void *page, unsigned int noise, unsigned long long tag);
/* A kind that any pool admits, chosen by the tag; not CONTENT_ZERO. */
unsigned int content_kind_of(unsigned long long tag);
unsigned long long content_tag(const void *page);

/* ---- A PAM for tests ------------------------------------------------------------ */

/*
 * Keeps whole pages in a table of slots, and does what it is told to. A pampd
 * is its slot's number in one of several encodings: any value is a pampd.
 */
#define TEST_PAM_SLOTS 192
#define TEST_PAM_ENCODINGS 6

struct test_pam_slot {
	int references;		/* 0: free */
	unsigned int client;
	unsigned int persistent;
	unsigned long long back_reference;
	unsigned char *data;
};

struct test_pam {
	struct tmem_host *host;
	unsigned int encoding;
	int start_result;	/* answered by start, if not 0 */
	int create_result;	/* answered by create, if not 0 */
	int get_result;		/* answered by get_data, if not 0 */

	/* Called at the beginning of each; NULL: not. */
	void (*on_create)(struct test_pam *pam, const struct tmem_pam_page *page);
	void (*on_get)(struct test_pam *pam, unsigned long long pampd);
	void (*on_free)(struct test_pam *pam, unsigned long long pampd);
	void *argument;

	long long starts, stops, creates, holds, releases, gets, frees;
	long long live;				/* slots taken */
	long long misuses;			/* calls with a pampd that is not live */
	unsigned long long shrink_asked;	/* frames, last call */
	unsigned long long compact_asked;
	unsigned long long shrink_answer;
	unsigned long long limit_frames;	/* of set_limit, last call */
	long long limits_set;
	unsigned int weight[TMEM_CLIENTS_MAX];
	unsigned long long client_limit[TMEM_CLIENTS_MAX];
	struct test_pam_slot slots[TEST_PAM_SLOTS];
	unsigned char *memory;
};

/* Makes the one test PAM there can be; NULL with a failure recorded. */
struct test_pam *test_pam_create(struct scenario_env *env);
void test_pam_destroy(struct test_pam *pam);
const struct tmem_pam_ops *test_pam_ops(void);
/* Takes the oldest slot's page back from the engine; what tmem_pam_evict answered. */
int test_pam_evict_slot(struct test_pam *pam, unsigned int slot);
unsigned long long test_pam_pampd(struct test_pam *pam, unsigned int slot);
/* The slot taken first whose back reference and data are live, or TEST_PAM_SLOTS. */
unsigned int test_pam_first_live(struct test_pam *pam);

/* ---- Gates: a thread waits inside a callback until it is let through --------------- */

struct gate {
	int waiting;
	int open;
};

void gate_pass(struct gate *gate);		/* waits until open */
void gate_await(struct gate *gate);		/* until somebody waits */
void gate_open(struct gate *gate);

/* ---- Small things shared with other threads ------------------------------------------ */

#define load_shared(pointer) __atomic_load_n(pointer, __ATOMIC_SEQ_CST)
#define store_shared(pointer, value) __atomic_store_n(pointer, value, __ATOMIC_SEQ_CST)
#define add_shared(pointer, value) __atomic_add_fetch(pointer, value, __ATOMIC_SEQ_CST)
/* Only counts: orders nothing, so that it hides no race of what is counted. */
#define count_shared(pointer, value) __atomic_add_fetch(pointer, value, __ATOMIC_RELAXED)

#ifdef __cplusplus
}
#endif

#endif /* TMEM_SCENARIOS_H */
