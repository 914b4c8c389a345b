// SPDX-License-Identifier: GPL-2.0
/* Allocations that fail: one at a time, from some point on, and of one sort only. */
#include "scenarios.h"

/* A host, a PAM or a client that cannot be had leaves nothing behind. */
SCENARIO(host_that_cannot_be_made)
{
	struct tmem_client *client;
	struct tmem_host *host;
	int result, pool, failed;
	long long n;
	unsigned int forever;

	for (forever = 0; forever < 2; forever++)
		for (n = 0;; n++) {
			host = NULL;
			client = NULL;
			pool = -1;
			injector_fail(INJECT_ALL, n, forever ? -1 : 1);
			result = tmem_register_host_ops(injector_ops(1024), &host);
			if (!result)
				result = tmem_register_pam_ops(host, tmem_compressed_pam());
			if (!result)
				result = tmem_client_create(host, "thirsty", 1, TMEM_NO_LIMIT, &client);
			if (!result) {
				pool = tmem_new_pool(client, 0, NULL);
				if (pool < 0)
					result = pool;
			}
			failed = injector.failures > 0;
			EXPECT_EQUAL(env, result, failed ? TMEM_NO_MEMORY : TMEM_OK);
			injector_heal();
			if (client)
				tmem_client_destroy(client);
			if (host) {
				EXPECT_EQUAL(env, tmem_validate(host), 0);
				EXPECT_EQUAL(env, tmem_unregister_host(host), TMEM_OK);
			}
			injector_leaks(env, __FILE__, __LINE__);
			if (!failed)
				break;
			REQUIRE(env, n < 1000);
		}
}

#define SCRIPT_STEPS 40

/*
 * Forty puts over two pools, old pages replaced now and then. Whatever fails,
 * what a put said is what a get finds.
 */
static void run_script(struct scenario_env *env, int ephemeral, int persistent)
{
	unsigned int i, object, kind;
	int pool, result;

	for (i = 0; i < SCRIPT_STEPS; i++) {
		pool = i % 3 ? persistent : ephemeral;
		object = i % 5;
		kind = content_kind_of(i);
		result = put_data(env, pool, object, i * 7ULL, kind, i);
		EXPECT(env, result == TMEM_OK || result == TMEM_NO_MEMORY);
		EXPECT(env, result == TMEM_OK || injector.failures > 0);
		if (result) {
			EXPECT_EQUAL(env, get_data(env, pool, object, i * 7ULL, kind, i),
				     TMEM_NOT_FOUND);
		} else if (pool == persistent) {
			EXPECT_EQUAL(env, get_data(env, pool, object, i * 7ULL, kind, i), TMEM_OK);
			if (i % 4 == 0)
				EXPECT_EQUAL(env, flush_page(env, pool, object, i * 7ULL), TMEM_OK);
		}
		if (i % 6 == 5) {
			/* A duplicate of an older page. */
			result = put_data(env, pool, object, i * 7ULL, CONTENT_TEXT, i + 500);
			EXPECT(env, result == TMEM_OK || result == TMEM_NO_MEMORY);
			result = get_data(env, pool, object, i * 7ULL, CONTENT_TEXT, i + 500) - result;
			EXPECT(env, result == 0 || result == TMEM_NOT_FOUND - TMEM_NO_MEMORY);
		}
	}
}

/* One engine for all rounds: making one takes long on a kernel that checks every lock. */
static void fail_each(struct scenario_env *env, unsigned int what, int forever)
{
	int ephemeral, persistent;
	long long n, failures = 1;
	unsigned int kind;

	if (!engine_start(env, NULL, 2048))
		return;
	for (n = 0; failures; n++) {
		ephemeral = new_pool(env, 0);
		persistent = new_pool(env, TMEM_POOL_PERSISTENT);
		injector_fail(what, n, forever ? -1 : 1);
		run_script(env, ephemeral, persistent);
		failures = injector.failures;
		injector_heal();
		/* Nothing is half there, and everything works again. */
		ENGINE_CHECK(env);
		EXPECT_EQUAL(env, put_data(env, persistent, 77, 7, CONTENT_RANDOM, 77), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, persistent, 77, 7, CONTENT_RANDOM, 77), TMEM_OK);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, ephemeral), TMEM_OK);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, persistent), TMEM_OK);
		for (kind = 0; kind < TMEM_KINDS; kind++)
			EXPECT_EQUAL(env, injector.live_objects[kind], 0);
		EXPECT_EQUAL(env, injector.live_frames, 0);
		if (n > 10 * SCRIPT_STEPS) {
			scenario_fail(env, __FILE__, __LINE__, "the script never gets by");
			break;
		}
	}
	engine_stop(env);
}

SCENARIO(each_allocation_fails_once)
{
	fail_each(env, INJECT_OBJECTS | INJECT_FRAMES, 0);
}

SCENARIO(each_allocation_fails_from_then_on)
{
	fail_each(env, INJECT_OBJECTS, 1);
	fail_each(env, INJECT_FRAMES, 1);
}

/* Clause 1, and what three predecessors did wrong: a duplicate that finds no memory. */
SCENARIO(failed_duplicate_leaves_nothing)
{
	struct tmem_stats stats;
	unsigned int flavour;
	int pool;

	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		if (!(pool_flavours[flavour] & TMEM_POOL_PERSISTENT))
			continue;	/* would recycle the older page's frames; see pam.c */
		if (!engine_start(env, NULL, 0))
			return;
		pool = new_pool(env, pool_flavours[flavour]);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_SAME_FILLED, 1), TMEM_OK);
		injector_fail(INJECT_OBJECTS | INJECT_FRAMES, 0, -1);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_HALF, 2), TMEM_NO_MEMORY);
		EXPECT(env, injector.failures > 0);
		injector_heal();
		EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_SAME_FILLED, 1), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.puts_no_memory, 1);
		EXPECT_EQUAL(env, stats.puts_dropped, 1);
		EXPECT_EQUAL(env, stats.pages, 0);
		EXPECT_EQUAL(env, stats.objects, 0);
		engine_stop(env);
	}
}

/* Clause 7, and seed faults 7 and 8: a failed insertion costs no memory, in an old object too. */
SCENARIO(failed_insertion_leaves_no_trace)
{
	static const unsigned long long indexes[] = { 1, 16, 4711, 1ULL << 40, ~0ULL };
	long long live[TMEM_KINDS], failures;
	struct tmem_host_stats before, after;
	unsigned int i, kind, object;
	long long n;
	int pool, result;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_SAME_FILLED, 1), TMEM_OK);
	for (object = 1; object < 3; object++)	/* an old object, a new one */
		for (i = 0; i < sizeof(indexes) / sizeof(*indexes); i++)
			for (n = 0;; n++) {
				tmem_host_stats(env->host, &before);
				memcpy(live, injector.live_objects, sizeof(live));
				injector_fail(INJECT_OBJECTS, n, -1);
				result = put_data(env, pool, object, indexes[i], CONTENT_SAME_FILLED, 9);
				failures = injector.failures;
				injector_heal();
				if (!failures) {
					EXPECT_EQUAL(env, result, TMEM_OK);
					EXPECT_EQUAL(env, flush_page(env, pool, object, indexes[i]),
						     TMEM_OK);
					break;
				}
				EXPECT_EQUAL(env, result, TMEM_NO_MEMORY);
				tmem_host_stats(env->host, &after);
				EXPECT_EQUAL(env, after.index_bytes, before.index_bytes);
				EXPECT_EQUAL(env, after.pages.objects, before.pages.objects);
				EXPECT_EQUAL(env, after.pages.pages, before.pages.pages);
				for (kind = 0; kind < TMEM_KINDS; kind++)
					EXPECT_EQUAL(env, injector.live_objects[kind], live[kind]);
				ENGINE_CHECK(env);
				REQUIRE(env, n < 100);
			}
	EXPECT_EQUAL(env, get_data(env, pool, 1, 0, CONTENT_SAME_FILLED, 1), TMEM_OK);
	engine_stop(env);
}

/* With no frame to be had, ephemeral puts use the oldest ephemeral frames again. */
SCENARIO(ephemeral_put_recycles_when_memory_is_out)
{
	struct tmem_stats stats;
	int ephemeral, persistent;
	unsigned int i;

	if (!engine_start(env, NULL, 0))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < 100; i++)
		EXPECT_EQUAL(env, put_data(env, ephemeral, 1, i, CONTENT_HALF, i), TMEM_OK);
	injector_fail(INJECT_FRAMES, 0, -1);
	for (i = 100; i < 300; i++)
		EXPECT_EQUAL(env, put_data(env, ephemeral, 1, i, CONTENT_HALF, i), TMEM_OK);
	EXPECT_EQUAL(env, get_data(env, ephemeral, 1, 299, CONTENT_HALF, 299), TMEM_OK);
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, ephemeral, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.puts_no_memory, 0);
	EXPECT(env, stats.pages_evicted >= 190);
	/* A persistent put too, until none is left. */
	for (i = 0; i < 20; i++)
		EXPECT_EQUAL(env, put_data(env, persistent, 1, i, CONTENT_HALF, i), TMEM_OK);
	tmem_shrink(env->host, ~0ULL);
	for (i = 20; i < 28; i++)
		put_data(env, persistent, 1, i, CONTENT_RANDOM, i);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 28, CONTENT_RANDOM, 28), TMEM_NO_MEMORY);
	injector_heal();
	for (i = 0; i < 20; i++)
		EXPECT_EQUAL(env, get_data(env, persistent, 1, i, CONTENT_HALF, i), TMEM_OK);
	engine_stop(env);
}

/* The reclaim reserves come last, and only for what gives back more memory than it takes. */
SCENARIO(reserves_are_for_persistent_pages)
{
	struct tmem_host_stats stats;
	int ephemeral, persistent;
	unsigned int i;

	if (!engine_start(env, NULL, 0))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < 100; i++)
		EXPECT_EQUAL(env, put_data(env, ephemeral, i, i, CONTENT_HALF, i), TMEM_OK);
	EXPECT_EQUAL(env, injector.reserves_used, 0);
	tmem_shrink(env->host, ~0ULL);

	injector.fail_ordinary = 1;
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 0, CONTENT_HALF, 1), TMEM_NO_MEMORY);
	EXPECT_EQUAL(env, injector.reserves_used, 0);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 0, CONTENT_RANDOM, 1), TMEM_NO_MEMORY);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 1, CONTENT_HALF, 1), TMEM_OK);
	EXPECT(env, injector.reserves_used > 0);
	injector.fail_ordinary = 0;
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.frames_from_reserves, 8);
	EXPECT_EQUAL(env, get_data(env, persistent, 1, 1, CONTENT_HALF, 1), TMEM_OK);
	EXPECT_EQUAL(env, get_data(env, persistent, 1, 0, CONTENT_RANDOM, 1), TMEM_NOT_FOUND);

	/* While there are ephemeral frames to be had, those are used instead. */
	for (i = 0; i < 100; i++)
		EXPECT_EQUAL(env, put_data(env, ephemeral, i, i, CONTENT_HALF, i), TMEM_OK);
	injector.fail_ordinary = 1;
	for (i = 2; i < 40; i++)
		EXPECT_EQUAL(env, put_data(env, persistent, 1, i, CONTENT_HALF, i), TMEM_OK);
	EXPECT(env, injector.live_objects[TMEM_KIND_RUN] <= 16);
	injector.fail_ordinary = 0;
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.frames_from_reserves, 8);
	engine_stop(env);
}
