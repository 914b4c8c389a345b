// SPDX-License-Identifier: GPL-2.0
/* One budget for both kinds of pages: who gives way to whom, and when nobody can. */
#include "scenarios.h"

static struct tmem_usage usage_of(struct scenario_env *env)
{
	struct tmem_host_stats stats;

	tmem_host_stats(env->host, &stats);
	return stats.usage;
}

/* Never more frames than the budget allows, however much is put. */
SCENARIO(budget_is_kept)
{
	enum { frames = 1280, limit = frames / 5 };
	struct tmem_usage usage;
	unsigned int i;
	int pools[POOL_FLAVOURS];

	if (!engine_start(env, NULL, frames))
		return;
	for (i = 0; i < POOL_FLAVOURS; i++)
		pools[i] = new_pool(env, pool_flavours[i]);
	for (i = 0; i < 4000; i++) {
		put_data(env, pools[i % POOL_FLAVOURS], i % 7, i, content_kind_of(i), i);
		EXPECT(env, injector.live_frames <= limit);
		if (i % 250 == 0) {
			usage = usage_of(env);
			EXPECT_EQUAL(env, usage.frames_limit, limit);
			EXPECT_EQUAL(env, usage.frames, injector.live_frames);
			EXPECT(env, usage.frames_ephemeral <= usage.frames);
			EXPECT_EQUAL(env, tmem_validate(env->host), 0);
		}
	}
	usage = usage_of(env);
	EXPECT(env, usage.frames > limit - 8);
	EXPECT(env, usage.frames_evicted > 0);
	EXPECT_EQUAL(env, usage.frames_evicted, injector.frames_evicted);
	engine_stop(env);
}

/* Of pages of one size, put in order, those that remain are the last ones. */
SCENARIO(oldest_pages_go_first)
{
	enum { frames = 1280, pages = 3000 };
	unsigned int i, first = pages, survivors = 0;
	struct tmem_stats stats;
	int pool;

	if (!engine_start(env, NULL, frames))
		return;
	pool = new_pool(env, TMEM_POOL_SHARED);
	for (i = 0; i < pages; i++)
		EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_HALF, i), TMEM_OK);
	for (i = 0; i < pages; i++)
		if (get_data(env, pool, 1, i, CONTENT_HALF, i) == TMEM_OK) {
			survivors++;
			if (first == pages)
				first = i;
		}
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.pages, survivors);
	EXPECT_EQUAL(env, stats.pages_evicted, pages - survivors);
	EXPECT(env, survivors > frames / 5);
	/* From the first survivor on, nearly all are there: the eviction had an order. */
	EXPECT(env, (pages - first) * 9 <= survivors * 10);
	EXPECT_EQUAL(env, get_data(env, pool, 1, pages - 1, CONTENT_HALF, pages - 1), TMEM_OK);
	engine_stop(env);
}

/* Where pages stay when they are read, those that are outlive many times the budget of others. */
SCENARIO(pages_that_are_read_stay)
{
	enum { frames = 1280, kept = 100, pages = 4000 };
	unsigned int i, hits = 0;
	int pool;

	if (!engine_start(env, NULL, frames))
		return;
	pool = new_pool(env, TMEM_POOL_SHARED);
	for (i = 0; i < pages; i++) {
		EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_HALF, i), TMEM_OK);
		if (i % 25 == 0)
			for (hits = 0; hits < kept; hits++)
				if (get_data(env, pool, 1, hits, CONTENT_HALF, hits) == TMEM_NOT_FOUND && hits <= i)
					break;
	}
	EXPECT_EQUAL(env, hits, kept);
	EXPECT_EQUAL(env, get_data(env, pool, 1, pages / 2, CONTENT_HALF, pages / 2), TMEM_NOT_FOUND);
	engine_stop(env);
}

SCENARIO(ephemeral_pages_go_before_persistent_puts_are_refused)
{
	enum { frames = 1280, limit = frames / 5 };
	struct tmem_usage usage;
	unsigned int i, stored;
	int ephemeral, persistent, result;

	if (!engine_start(env, NULL, frames))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < 1200; i++)
		EXPECT_EQUAL(env, put_data(env, ephemeral, 1, i, CONTENT_HALF, i), TMEM_OK);
	usage = usage_of(env);
	EXPECT(env, usage.frames > limit - 8);
	EXPECT_EQUAL(env, usage.frames_ephemeral, usage.frames);

	/* Persistent pages take every frame: seven to each run of eight frames, as they do not compress. */
	stored = fill_with_persistent_pages(env, persistent, 1, &result);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	EXPECT(env, stored >= limit / 8 * 7 && stored <= limit);
	EXPECT_EQUAL(env, usage_of(env).frames_ephemeral, 0);
	EXPECT_EQUAL(env, tmem_shrinkable(env->host), 0);
	for (i = 0; i < stored; i++)
		EXPECT_EQUAL(env, get_data(env, persistent, 1, i, CONTENT_RANDOM, i + 1), TMEM_OK);
	for (i = 0; i < 1200; i++)
		EXPECT_EQUAL(env, get_data(env, ephemeral, 1, i, CONTENT_HALF, i), TMEM_NOT_FOUND);
	engine_stop(env);
}

/* Nothing can be evicted: puts are refused, and work again once there is room. */
SCENARIO(full_of_persistent_pages)
{
	int ephemeral, persistent, result;
	unsigned int stored, i;

	if (!engine_start(env, NULL, 640))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	stored = fill_with_persistent_pages(env, persistent, 1, &result);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 0, CONTENT_HALF, 1), TMEM_REFUSED_BUDGET);
	EXPECT_EQUAL(env, tmem_shrink(env->host, 100), 0);
	EXPECT_EQUAL(env, tmem_shrinkable(env->host), 0);
	for (i = 0; i < stored; i++)
		EXPECT_EQUAL(env, flush_page(env, persistent, 1, i), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 0, CONTENT_HALF, 1), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 0, CONTENT_RANDOM, 1), TMEM_OK);
	EXPECT_EQUAL(env, get_data(env, ephemeral, 1, 0, CONTENT_HALF, 1), TMEM_OK);
	engine_stop(env);
}

SCENARIO(shrink_gives_frames_back)
{
	unsigned long long freed, shrinkable;
	unsigned int i;
	long long before;
	int ephemeral, persistent;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_shrink(env->host, 100), 0);
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < 400; i++) {
		EXPECT_EQUAL(env, put_data(env, ephemeral, 1, i, CONTENT_HALF, i), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, persistent, 1, i, CONTENT_HALF, i), TMEM_OK);
	}
	shrinkable = tmem_shrinkable(env->host);
	EXPECT(env, shrinkable >= 200);
	EXPECT_EQUAL(env, tmem_shrink(env->host, 0), 0);
	EXPECT_EQUAL(env, tmem_shrinkable(env->host), shrinkable);
	for (i = 0; i < 5; i++) {
		before = injector.live_frames;
		freed = tmem_shrink(env->host, 10);
		/* What it says it freed is what the host got back. */
		EXPECT_EQUAL(env, before - injector.live_frames, freed);
		EXPECT(env, freed >= 10 && freed < 20);
		shrinkable -= freed;
		EXPECT_EQUAL(env, tmem_shrinkable(env->host), shrinkable);
		ENGINE_CHECK(env);
	}
	EXPECT_EQUAL(env, tmem_shrink(env->host, ~0ULL), shrinkable);
	EXPECT_EQUAL(env, tmem_shrinkable(env->host), 0);
	EXPECT_EQUAL(env, tmem_shrink(env->host, 1), 0);
	for (i = 0; i < 400; i++) {
		EXPECT_EQUAL(env, get_data(env, ephemeral, 1, i, CONTENT_HALF, i), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, get_data(env, persistent, 1, i, CONTENT_HALF, i), TMEM_OK);
	}
	engine_stop(env);
}

SCENARIO(smaller_budget_evicts)
{
	struct tmem_usage usage;
	unsigned int i, stored;
	int ephemeral, persistent, result;

	if (!engine_start(env, NULL, 2000))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < 50; i++)
		EXPECT_EQUAL(env, put_data(env, persistent, 1, i, CONTENT_HALF, i), TMEM_OK);
	for (i = 0; i < 500; i++)
		EXPECT_EQUAL(env, put_data(env, ephemeral, 1, i, CONTENT_HALF, i), TMEM_OK);
	EXPECT(env, usage_of(env).frames > 200);
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 5), 0);
	usage = usage_of(env);
	EXPECT_EQUAL(env, usage.frames_limit, 100);
	EXPECT(env, usage.frames <= 100);
	EXPECT_EQUAL(env, usage.frames, injector.live_frames);
	EXPECT_EQUAL(env, tmem_validate(env->host), 0);
	/* Below what persistent pages hold they stay, and nothing more comes in. */
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 1), 0);
	usage = usage_of(env);
	EXPECT_EQUAL(env, usage.frames_limit, 20);
	EXPECT_EQUAL(env, usage.frames_ephemeral, 0);
	stored = fill_with_persistent_pages(env, persistent, 2, &result);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	EXPECT(env, stored < 8);
	for (i = 0; i < 50; i++)
		EXPECT_EQUAL(env, get_data(env, persistent, 1, i, CONTENT_HALF, i), TMEM_OK);
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 20), 0);
	EXPECT_EQUAL(env, put_data(env, persistent, 3, 0, CONTENT_RANDOM, 1), TMEM_OK);
	engine_stop(env);
}

/* Clause 11: a client at its limit pays itself; others do not notice. */
SCENARIO(limit_of_a_client)
{
	enum { limit = 40 };
	struct tmem_client *other;
	struct tmem_stats stats;
	struct tmem_oid oid = oid_of(1);
	unsigned int i;
	int pool, others_pool, persistent;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_client_create(env->host, "other", 1, TMEM_NO_LIMIT, &other), TMEM_OK);
	others_pool = tmem_new_pool(other, 0, NULL);
	for (i = 0; i < 100; i++) {
		content_fill(env->page, CONTENT_HALF, i);
		EXPECT_EQUAL(env, tmem_put(other, others_pool, &oid, i, env->page), TMEM_OK);
	}
	EXPECT_EQUAL(env, tmem_client_configure(env->client, 1, limit), TMEM_OK);
	pool = new_pool(env, 0);
	for (i = 0; i < 500; i++)
		EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_HALF, i), TMEM_OK);
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT(env, stats.pages_evicted >= 500 - 2 * limit);
	EXPECT(env, stats.pages >= limit && stats.pages <= 2 * limit);
	EXPECT_EQUAL(env, get_data(env, pool, 1, 499, CONTENT_HALF, 499), TMEM_OK);
	EXPECT_EQUAL(env, tmem_pool_stats(other, others_pool, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.pages_evicted, 0);
	EXPECT_EQUAL(env, stats.pages, 100);
	/* Lowering it evicts at once; a limit of nothing refuses whatever needs a frame. */
	EXPECT_EQUAL(env, tmem_client_configure(env->client, 1, 8), TMEM_OK);
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT(env, stats.pages <= 16);
	EXPECT_EQUAL(env, tmem_client_configure(env->client, 1, 0), TMEM_OK);
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.pages, 0);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_HALF, 1), TMEM_REFUSED_LIMIT);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 0, CONTENT_HALF, 1), TMEM_REFUSED_LIMIT);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 0, CONTENT_SAME_FILLED, 1), TMEM_OK);
	EXPECT_EQUAL(env, tmem_client_configure(env->client, 1, TMEM_NO_LIMIT), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_HALF, 1), TMEM_OK);
	ENGINE_CHECK(env);
	tmem_client_destroy(other);
	engine_stop(env);
}

/* Clause 11: who holds most for its weight loses first. */
SCENARIO(weights_share_the_budget)
{
	enum { clients = 3, rounds = 2000 };
	static const unsigned int weights[clients] = { 100, 200, 500 };
	struct tmem_client *client[clients];
	unsigned long long pages[clients], all = 0, frames_evicted = 0;
	struct tmem_oid oid = oid_of(1);
	struct tmem_host_stats host_stats;
	struct tmem_client_info info;
	struct tmem_stats stats;
	unsigned int i, c, cursor = 0;
	int pool[clients];

	if (!engine_start(env, NULL, 3200))
		return;
	for (c = 0; c < clients; c++) {
		EXPECT_EQUAL(env, tmem_client_create(env->host, "weighty", weights[c], TMEM_NO_LIMIT,
						     &client[c]), TMEM_OK);
		pool[c] = tmem_new_pool(client[c], 0, NULL);
	}
	for (i = 0; i < rounds; i++)
		for (c = 0; c < clients; c++) {
			content_fill(env->page, CONTENT_HALF, i);
			EXPECT_EQUAL(env, tmem_put(client[c], pool[c], &oid, i, env->page), TMEM_OK);
		}
	for (c = 0; c < clients; c++) {
		EXPECT_EQUAL(env, tmem_pool_stats(client[c], pool[c], &stats), TMEM_OK);
		pages[c] = stats.pages;
		all += stats.pages;
	}
	EXPECT_EQUAL(env, tmem_next_client(env->host, &cursor, &info), TMEM_OK);
	for (c = 0; c < clients; c++) {
		EXPECT_EQUAL(env, tmem_next_client(env->host, &cursor, &info), TMEM_OK);
		EXPECT_EQUAL(env, info.usage.weight, weights[c]);
		EXPECT_EQUAL(env, info.usage.pages_evicted, rounds - pages[c]);
		frames_evicted += info.usage.frames_evicted;
	}
	tmem_host_stats(env->host, &host_stats);
	EXPECT_EQUAL(env, frames_evicted, host_stats.usage.frames_evicted);
	/* Shares of 1/8, 2/8 and 5/8, give or take a few runs. */
	EXPECT(env, all >= 640);
	EXPECT(env, pages[0] * 8 >= all * 7 / 10 && pages[0] * 8 <= all * 13 / 10);
	EXPECT(env, pages[1] * 8 >= all * 17 / 10 && pages[1] * 8 <= all * 23 / 10);
	EXPECT(env, pages[2] * 8 >= all * 45 / 10 && pages[2] * 8 <= all * 55 / 10);
	for (c = 0; c < clients; c++)
		tmem_client_destroy(client[c]);
	engine_stop(env);
}

SCENARIO(frozen_refuses_puts_only)
{
	unsigned int flavour, i;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < 4; i++)
			EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_TEXT, i), TMEM_OK);
		EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, 1), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 0, CONTENT_TEXT, 0), TMEM_OK);
		EXPECT_EQUAL(env, flush_page(env, pool, 1, 1), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 2, CONTENT_TEXT, 9), TMEM_REFUSED_FROZEN);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 9, CONTENT_ZERO, 9), TMEM_REFUSED_FROZEN);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 2, CONTENT_TEXT, 2), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 3, CONTENT_TEXT, 3), TMEM_OK);
		flush_object(env, pool, 1);
		EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, 0), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 2, CONTENT_TEXT, 9), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 2, CONTENT_TEXT, 9), TMEM_OK);
	}
	engine_stop(env);
}
