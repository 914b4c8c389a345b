// SPDX-License-Identifier: GPL-2.0
/* Hosts, clients and pools: coming, going, and going while something is under way. */
#include "scenarios.h"

SCENARIO(pools_come_and_go)
{
	unsigned int flavour, round;
	int pool, old = -1;

	if (!engine_start(env, NULL, 0))
		return;
	for (round = 0; round < 40; round++) {
		flavour = round % POOL_FLAVOURS;
		pool = new_pool(env, pool_flavours[flavour]);
		EXPECT(env, pool != old);
		/* Nothing of a former pool shows in the next, though its handles are the same. */
		EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 2, CONTENT_TEXT, 1), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, round), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 2, CONTENT_SAME_FILLED, round), TMEM_OK);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, flush_page(env, pool, 1, 1), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, flush_object(env, pool, 1), TMEM_BAD_ARGUMENT);
		ENGINE_CHECK(env);
		old = pool;
	}
	engine_stop(env);
}

SCENARIO(destroy_frees_every_page)
{
	struct tmem_host_stats before, after;
	unsigned int flavour, i, kind;
	long long breaths;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < 1500; i++)
			/* Many objects, or one large one. */
			EXPECT_EQUAL(env, put_data(env, pool, flavour % 2 ? 3 : i % 97, i * 17ULL,
						   i % 3 ? CONTENT_PATTERN : CONTENT_SAME_FILLED, i),
				     TMEM_OK);
		tmem_host_stats(env->host, &before);
		breaths = injector.breaths;
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
		/* Clause 9: long work comes up for air. */
		EXPECT(env, injector.breaths - breaths >= 90);
		tmem_host_stats(env->host, &after);
		EXPECT_EQUAL(env, after.pages.pages, 0);
		EXPECT_EQUAL(env, after.pages.objects, 0);
		EXPECT_EQUAL(env, after.index_bytes, 0);
		EXPECT_EQUAL(env, after.usage.entries, 0);
		EXPECT_EQUAL(env, after.pools, 0);
		/* The past stays counted. */
		EXPECT_EQUAL(env, after.pages.puts, before.pages.puts);
		EXPECT_EQUAL(env, after.pages.pages_flushed, before.pages.pages_flushed + 1500);
		for (kind = TMEM_KIND_LEAF; kind < TMEM_KIND_LEAF + TMEM_LEAF_CLASSES; kind++)
			EXPECT_EQUAL(env, injector.live_objects[kind], 0);
		EXPECT_EQUAL(env, injector.live_objects[TMEM_KIND_OBJECT], 0);
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

/* Somebody may still hold an id whose pool is gone: it must not come to mean another pool. */
SCENARIO(pool_ids_are_not_reused)
{
	enum { kept = 32, rounds = 20000 };
	int ids[kept], pool, reused = 0, negative = 0;
	unsigned int i, k;

	if (!engine_start(env, NULL, 1024))
		return;
	for (i = 0; i < kept; i++) {
		ids[i] = new_pool(env, 0);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, ids[i]), TMEM_OK);
	}
	for (i = 0; i < rounds; i++) {
		pool = tmem_new_pool(env->client, 0, NULL);
		negative += pool < 0;
		for (k = 0; k < kept; k++)
			reused += pool == ids[k];
		if (tmem_destroy_pool(env->client, pool) != TMEM_OK)
			negative++;
	}
	EXPECT_EQUAL(env, negative, 0);
	EXPECT_EQUAL(env, reused, 0);
	for (k = 0; k < kept; k++)
		EXPECT_EQUAL(env, flush_object(env, ids[k], 1), TMEM_BAD_ARGUMENT);
	engine_stop(env);
}

SCENARIO(too_many_pools)
{
	struct tmem_host_stats stats;
	unsigned int i;
	int *ids, pool;

	ids = platform_allocate(TMEM_POOLS_MAX * sizeof(*ids));
	REQUIRE(env, ids != NULL);
	if (!engine_start(env, NULL, 1024))
		goto out;
	for (i = 0; i < TMEM_POOLS_MAX; i++) {
		ids[i] = tmem_new_pool(env->client, i & 1, NULL);
		EXPECT(env, ids[i] >= 0);
	}
	EXPECT_EQUAL(env, tmem_new_pool(env->client, 0, NULL), TMEM_TOO_MANY);
	EXPECT_EQUAL(env, tmem_new_pool(env->client, 0, NULL), TMEM_TOO_MANY);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.pools, TMEM_POOLS_MAX);
	EXPECT_EQUAL(env, put_data(env, ids[700], 1, 1, CONTENT_TEXT, 7), TMEM_OK);
	EXPECT_EQUAL(env, get_data(env, ids[701], 1, 1, CONTENT_TEXT, 7), TMEM_NOT_FOUND);
	EXPECT_EQUAL(env, get_data(env, ids[700], 1, 1, CONTENT_TEXT, 7), TMEM_OK);
	EXPECT_EQUAL(env, tmem_destroy_pool(env->client, ids[500]), TMEM_OK);
	pool = tmem_new_pool(env->client, 0, NULL);
	EXPECT(env, pool >= 0 && pool != ids[500]);
	EXPECT_EQUAL(env, put_data(env, ids[500], 1, 1, CONTENT_TEXT, 7), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, 7), TMEM_OK);
	ENGINE_CHECK(env);
	engine_stop(env);
out:
	platform_release(ids);
}

SCENARIO(too_many_clients)
{
	struct tmem_client *clients[TMEM_CLIENTS_MAX], *more = NULL;
	struct tmem_host_stats stats;
	unsigned int i;

	if (!engine_start(env, NULL, 1024))
		return;
	for (i = 1; i < TMEM_CLIENTS_MAX; i++)
		EXPECT_EQUAL(env, tmem_client_create(env->host, "one of many", 1, TMEM_NO_LIMIT,
						     &clients[i]), TMEM_OK);
	EXPECT_EQUAL(env, tmem_client_create(env->host, "too many", 1, TMEM_NO_LIMIT, &more),
		     TMEM_TOO_MANY);
	EXPECT(env, more == NULL);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.clients, TMEM_CLIENTS_MAX);
	tmem_client_destroy(clients[5]);
	EXPECT_EQUAL(env, tmem_client_create(env->host, "now", 1, TMEM_NO_LIMIT, &clients[5]), TMEM_OK);
	for (i = 1; i < TMEM_CLIENTS_MAX; i++)
		tmem_client_destroy(clients[i]);
	engine_stop(env);
}

/* Clause 11: an id means nothing to another client, whatever number it has. */
SCENARIO(clients_are_isolated)
{
	struct tmem_client *other;
	struct tmem_oid oid = oid_of(1);
	int mine[3], theirs, i, result;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_client_create(env->host, "other", 1, TMEM_NO_LIMIT, &other), TMEM_OK);
	for (i = 0; i < 3; i++) {
		mine[i] = new_pool(env, TMEM_POOL_PERSISTENT);
		EXPECT_EQUAL(env, put_data(env, mine[i], 1, 1, CONTENT_TEXT, i), TMEM_OK);
	}
	/* The other has one pool; whatever its id, it is empty. */
	theirs = tmem_new_pool(other, TMEM_POOL_PERSISTENT, NULL);
	EXPECT(env, theirs >= 0);
	for (i = 0; i < 3; i++) {
		result = mine[i] == theirs ? TMEM_NOT_FOUND : TMEM_BAD_ARGUMENT;
		EXPECT_EQUAL(env, tmem_get(other, mine[i], &oid, 1, env->page), result);
		EXPECT_EQUAL(env, tmem_flush_page(other, mine[i], &oid, 1), result);
		EXPECT_EQUAL(env, tmem_flush_object(other, mine[i], &oid), result);
		if (mine[i] != theirs) {
			EXPECT_EQUAL(env, tmem_put(other, mine[i], &oid, 1, env->page),
				     TMEM_BAD_ARGUMENT);
			EXPECT_EQUAL(env, tmem_destroy_pool(other, mine[i]), TMEM_BAD_ARGUMENT);
		}
	}
	content_fill(env->page, CONTENT_TEXT, 99);
	EXPECT_EQUAL(env, tmem_put(other, theirs, &oid, 1, env->page), TMEM_OK);
	EXPECT_EQUAL(env, tmem_destroy_pool(other, theirs), TMEM_OK);
	tmem_client_destroy(other);
	for (i = 0; i < 3; i++)
		EXPECT_EQUAL(env, get_data(env, mine[i], 1, 1, CONTENT_TEXT, i), TMEM_OK);
	engine_stop(env);
}

/* Clause 11. */
SCENARIO(shared_pools_are_joined_by_uuid)
{
	static const unsigned long long uuid[2] = { 1, 2 }, swapped[2] = { 2, 1 }, near[2] = { 1, 3 };
	unsigned int persistent, flags, cursor = 0, listed = 0;
	struct tmem_host_stats stats;
	struct tmem_pool_info info;
	struct tmem_client *other;
	struct tmem_oid oid = oid_of(1);
	int mine, theirs, apart[4], again, i;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_client_create(env->host, "other", 1, TMEM_NO_LIMIT, &other), TMEM_OK);
	for (persistent = 0; persistent < 2; persistent++) {
		flags = TMEM_POOL_SHARED | (persistent ? TMEM_POOL_PERSISTENT : 0);
		mine = tmem_new_pool(env->client, flags, uuid);
		apart[0] = tmem_new_pool(other, flags, swapped);
		apart[1] = tmem_new_pool(other, flags, near);
		apart[2] = tmem_new_pool(other, flags ^ TMEM_POOL_PERSISTENT, uuid);
		apart[3] = tmem_new_pool(other, flags & ~TMEM_POOL_SHARED, uuid);
		theirs = tmem_new_pool(other, flags, uuid);
		EXPECT(env, mine >= 0 && theirs >= 0);

		EXPECT_EQUAL(env, put_data(env, mine, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
		for (i = 0; i < 4; i++)
			EXPECT_EQUAL(env, tmem_get(other, apart[i], &oid, 1, env->page),
				     TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_get(other, theirs, &oid, 1, env->page), TMEM_OK);
		EXPECT(env, content_matches(env->page, CONTENT_TEXT, 1));
		EXPECT_EQUAL(env, get_data(env, mine, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
		content_fill(env->page, CONTENT_HALF, 2);
		EXPECT_EQUAL(env, tmem_put(other, theirs, &oid, 1, env->page), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, mine, 1, 1, CONTENT_HALF, 2), TMEM_OK);
		cursor = 0;
		listed = 0;
		while (!tmem_next_pool(env->host, &cursor, &info))
			if (info.sharers == 2) {
				EXPECT_EQUAL(env, info.uuid[0], uuid[0]);
				EXPECT_EQUAL(env, info.uuid[1], uuid[1]);
				EXPECT_EQUAL(env, info.flags, flags);
				listed++;
			}
		EXPECT(env, listed >= 1);
		tmem_host_stats(env->host, &stats);
		EXPECT_EQUAL(env, stats.pages.pages, 1);

		/* The first to leave leaves it whole; its id is dead at once. */
		EXPECT_EQUAL(env, tmem_destroy_pool(other, theirs), TMEM_OK);
		EXPECT_EQUAL(env, tmem_get(other, theirs, &oid, 1, env->page), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, get_data(env, mine, 1, 1, CONTENT_HALF, 2), TMEM_OK);
		/* Joined again, under another id; flushed by the one, gone for the other. */
		again = tmem_new_pool(other, flags, uuid);
		EXPECT(env, again >= 0 && again != theirs);
		EXPECT_EQUAL(env, tmem_flush_page(other, again, &oid, 1), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, mine, 1, 1, CONTENT_HALF, 2), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, put_data(env, mine, 1, 1, CONTENT_TEXT, 3), TMEM_OK);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, mine), TMEM_OK);
		EXPECT_EQUAL(env, tmem_get(other, again, &oid, 1, env->page), TMEM_OK);
		EXPECT_EQUAL(env, tmem_destroy_pool(other, again), TMEM_OK);
		/* The last has left: a pool of this uuid begins empty. */
		mine = tmem_new_pool(env->client, flags, uuid);
		EXPECT_EQUAL(env, get_data(env, mine, 1, 1, CONTENT_TEXT, 3), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, mine), TMEM_OK);
		for (i = 0; i < 4; i++)
			EXPECT_EQUAL(env, tmem_destroy_pool(other, apart[i]), TMEM_OK);
		ENGINE_CHECK(env);
	}
	tmem_client_destroy(other);
	engine_stop(env);
}

/* Its pages are accounted to a client that is gone: nothing may depend on that client. */
SCENARIO(shared_pool_survives_its_maker)
{
	static const unsigned long long uuid[2] = { 5, 6 };
	struct tmem_client *maker, *next;
	struct tmem_oid oid = oid_of(1);
	unsigned int i;
	int pool, mine, nexts;

	if (!engine_start(env, NULL, 1280))
		return;
	EXPECT_EQUAL(env, tmem_client_create(env->host, "maker", 1, TMEM_NO_LIMIT, &maker), TMEM_OK);
	pool = tmem_new_pool(maker, TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT, uuid);
	mine = tmem_new_pool(env->client, TMEM_POOL_SHARED | TMEM_POOL_PERSISTENT, uuid);
	for (i = 0; i < 50; i++) {
		content_fill(env->page, CONTENT_HALF, i);
		EXPECT_EQUAL(env, tmem_put(maker, pool, &oid, i, env->page), TMEM_OK);
	}
	tmem_client_destroy(maker);
	for (i = 0; i < 50; i++)
		EXPECT_EQUAL(env, get_data(env, mine, 1, i, CONTENT_HALF, i), TMEM_OK);
	for (i = 50; i < 100; i++)
		EXPECT_EQUAL(env, put_data(env, mine, 1, i, CONTENT_HALF, i), TMEM_OK);
	/* Somebody new takes the maker's place and is as poor as can be. */
	EXPECT_EQUAL(env, tmem_client_create(env->host, "next", 1, TMEM_NO_LIMIT, &next), TMEM_OK);
	nexts = tmem_new_pool(next, 0, NULL);
	content_fill(env->page, CONTENT_HALF, 7);
	EXPECT_EQUAL(env, tmem_put(next, nexts, &oid, 1, env->page), TMEM_OK);
	for (i = 0; i < 100; i++)
		EXPECT_EQUAL(env, get_data(env, mine, 1, i, CONTENT_HALF, i), TMEM_OK);
	tmem_client_destroy(next);
	ENGINE_CHECK(env);
	EXPECT_EQUAL(env, tmem_destroy_pool(env->client, mine), TMEM_OK);
	engine_stop(env);
}

SCENARIO(client_destroy_takes_its_pools)
{
	struct tmem_host_stats stats;
	struct tmem_client *client;
	struct tmem_oid oid = oid_of(1);
	unsigned int flavour, i;
	unsigned long long uuid[2] = { 9, 9 };
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_client_create(env->host, "leaver", 1, TMEM_NO_LIMIT, &client), TMEM_OK);
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = tmem_new_pool(client, pool_flavours[flavour], uuid);
		for (i = 0; i < 30; i++) {
			content_fill(env->page, content_kind_of(i), i);
			EXPECT_EQUAL(env, tmem_put(client, pool, &oid, i, env->page), TMEM_OK);
		}
	}
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.pages.pages, 30 * POOL_FLAVOURS);
	EXPECT_EQUAL(env, stats.clients, 2);
	tmem_client_destroy(client);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.pages.pages, 0);
	EXPECT_EQUAL(env, stats.pools, 0);
	EXPECT_EQUAL(env, stats.clients, 1);
	EXPECT_EQUAL(env, stats.usage.entries, 0);
	engine_stop(env);
}

/* One operation held up inside the PAM, and somebody who destroys its pool meanwhile. */
struct hold_up {
	struct scenario_env *env;
	struct test_pam *pam;
	struct gate gate;
	int pool;
	int operation_result;
	int destroy_result;
	int destroyed;
	unsigned char *page;
};

static void wait_in_create(struct test_pam *pam, const struct tmem_pam_page *page)
{
	struct hold_up *hold_up = pam->argument;

	(void)page;
	gate_pass(&hold_up->gate);
}

static void wait_in_get(struct test_pam *pam, unsigned long long pampd)
{
	struct hold_up *hold_up = pam->argument;

	(void)pampd;
	gate_pass(&hold_up->gate);
}

static void held_up_get(void *argument)
{
	struct hold_up *hold_up = argument;
	struct tmem_oid oid = oid_of(1);

	hold_up->operation_result =
		tmem_get(hold_up->env->client, hold_up->pool, &oid, 1, hold_up->page);
}

static void held_up_put(void *argument)
{
	struct hold_up *hold_up = argument;
	struct tmem_oid oid = oid_of(1);

	content_fill(hold_up->page, CONTENT_TEXT, 2);
	hold_up->operation_result =
		tmem_put(hold_up->env->client, hold_up->pool, &oid, 1, hold_up->page);
}

static void destroy_held_up(void *argument)
{
	struct hold_up *hold_up = argument;

	hold_up->destroy_result = tmem_destroy_pool(hold_up->env->client, hold_up->pool);
	store_shared(&hold_up->destroyed, 1);
}

/* Clause 10: destroy sleeps until the operation is through, and nobody new gets in. */
static void expect_destroy_waits(struct scenario_env *env, struct hold_up *hold_up,
				 void (*operation)(void *))
{
	struct platform_thread *operator, *destroyer;
	struct tmem_host_stats host_stats;
	struct tmem_oid oid = oid_of(1);
	struct tmem_stats stats;
	int pool = hold_up->pool, second, result;
	unsigned int tries;

	operator = platform_thread_start(operation, hold_up);
	REQUIRE(env, operator != NULL);
	gate_await(&hold_up->gate);
	destroyer = platform_thread_start(destroy_held_up, hold_up);
	if (!destroyer) {
		gate_open(&hold_up->gate);
		platform_thread_join(operator);
	}
	REQUIRE(env, destroyer != NULL);
	do {
		platform_pause();
		result = tmem_flush_page(env->client, pool, &oid, 99);
	} while (result == TMEM_NOT_FOUND);
	EXPECT_EQUAL(env, result, TMEM_GOING_AWAY);
	if (platform_events_waiting() >= 0) {
		for (tries = 0; tries < 100000 && platform_events_waiting() == 0; tries++)
			platform_pause();
		EXPECT_EQUAL(env, platform_events_waiting(), 1);
	}
	EXPECT_EQUAL(env, load_shared(&hold_up->destroyed), 0);

	EXPECT_EQUAL(env, put_data(env, pool, 1, 2, CONTENT_TEXT, 1), TMEM_GOING_AWAY);
	EXPECT_EQUAL(env, get_data(env, pool, 1, 2, CONTENT_TEXT, 1), TMEM_GOING_AWAY);
	EXPECT_EQUAL(env, flush_object(env, pool, 1), TMEM_GOING_AWAY);
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_GOING_AWAY);
	EXPECT(env, tmem_destroy_pool(env->client, pool) != TMEM_OK);
	/* Others come and go meanwhile. */
	second = new_pool(env, TMEM_POOL_PERSISTENT);
	EXPECT(env, second != pool);
	tmem_host_stats(env->host, &host_stats);
	EXPECT(env, host_stats.going_away >= 4);
	EXPECT_EQUAL(env, tmem_destroy_pool(env->client, second), TMEM_OK);
	EXPECT_EQUAL(env, load_shared(&hold_up->destroyed), 0);

	gate_open(&hold_up->gate);
	platform_thread_join(operator);
	platform_thread_join(destroyer);
	EXPECT_EQUAL(env, hold_up->destroyed, 1);
	EXPECT_EQUAL(env, hold_up->destroy_result, TMEM_OK);
	EXPECT_EQUAL(env, hold_up->operation_result, TMEM_OK);
	EXPECT_EQUAL(env, hold_up->pam->live, 0);
	EXPECT_EQUAL(env, flush_page(env, pool, 1, 1), TMEM_BAD_ARGUMENT);
}

static void destroy_waits(struct scenario_env *env, void (*operation)(void *))
{
	struct hold_up hold_up;
	struct test_pam *pam;
	unsigned int flavour;
	unsigned char *page = platform_allocate(TMEM_PAGE_BYTES);

	REQUIRE(env, page != NULL);
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pam = test_pam_create(env);
		if (!pam)
			break;
		if (!engine_start(env, test_pam_ops(), 0)) {
			test_pam_destroy(pam);
			break;
		}
		memset(&hold_up, 0, sizeof(hold_up));
		hold_up.env = env;
		hold_up.pam = pam;
		hold_up.page = page;
		hold_up.pool = new_pool(env, pool_flavours[flavour]);
		EXPECT_EQUAL(env, put_data(env, hold_up.pool, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
		pam->argument = &hold_up;
		if (operation == held_up_get)
			pam->on_get = wait_in_get;
		else
			pam->on_create = wait_in_create;
		expect_destroy_waits(env, &hold_up, operation);
		pam->on_get = NULL;
		pam->on_create = NULL;
		if (operation == held_up_get)
			EXPECT(env, content_matches(page, CONTENT_TEXT, 1));
		engine_stop(env);
		EXPECT_EQUAL(env, pam->misuses, 0);
		test_pam_destroy(pam);
	}
	platform_release(page);
}

SCENARIO(destroy_waits_for_a_get)
{
	destroy_waits(env, held_up_get);
}

SCENARIO(destroy_waits_for_a_put)
{
	destroy_waits(env, held_up_put);
}

struct meeting {
	struct scenario_env *env;
	struct gate gate;
	int pool;
	int result;
};

static void wait_in_free(struct test_pam *pam, unsigned long long pampd)
{
	struct meeting *meeting = pam->argument;

	(void)pampd;
	gate_pass(&meeting->gate);
}

static void destroy_at_meeting(void *argument)
{
	struct meeting *meeting = argument;

	meeting->result = tmem_destroy_pool(meeting->env->client, meeting->pool);
}

/* Clause 10, and seed fault 3: the evictor works on a pool in the middle of its destruction. */
SCENARIO(eviction_meets_destroy)
{
	unsigned int i, evicted = 0, live;
	struct platform_thread *destroyer;
	struct meeting meeting;
	struct test_pam *pam;

	pam = test_pam_create(env);
	if (!pam)
		return;
	if (!engine_start(env, test_pam_ops(), 0))
		goto out;
	memset(&meeting, 0, sizeof(meeting));
	meeting.env = env;
	meeting.pool = new_pool(env, 0);
	for (i = 0; i < 64; i++)
		EXPECT_EQUAL(env, put_data(env, meeting.pool, i / 20, i * 5, CONTENT_TEXT, i), TMEM_OK);
	pam->argument = &meeting;
	pam->on_free = wait_in_free;
	destroyer = platform_thread_start(destroy_at_meeting, &meeting);
	if (destroyer) {
		gate_await(&meeting.gate);
		/* Some pages the destroyer has taken already, the rest is still there. */
		live = (unsigned int)pam->live;
		EXPECT_EQUAL(env, live, 64);
		for (i = 0; i < 64; i++)
			evicted += test_pam_evict_slot(pam, i) == TMEM_OK;
		EXPECT(env, evicted > 0 && evicted < 64);
		gate_open(&meeting.gate);
		platform_thread_join(destroyer);
		EXPECT_EQUAL(env, meeting.result, TMEM_OK);
	}
	EXPECT(env, destroyer != NULL);
	pam->on_free = NULL;
	EXPECT_EQUAL(env, pam->live, 0);
	EXPECT_EQUAL(env, pam->misuses, 0);
	engine_stop(env);
out:
	test_pam_destroy(pam);
}

static int name_is(const char name[16], const char *expected)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		if (name[i] != expected[i])
			return 0;
		if (!name[i])
			return 1;
	}
	return 0;
}

SCENARIO(pools_can_be_listed)
{
	unsigned int cursor = 0, flavour, seen = 0, of_other = 0;
	struct tmem_pool_info info;
	struct tmem_client *other;
	int pools[POOL_FLAVOURS], theirs;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_next_pool(env->host, &cursor, &info), TMEM_NOT_FOUND);
	EXPECT_EQUAL(env, tmem_client_create(env->host, "a name that is far too long", 1,
					     TMEM_NO_LIMIT, &other), TMEM_OK);
	theirs = tmem_new_pool(other, 0, NULL);
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pools[flavour] = new_pool(env, pool_flavours[flavour]);
		EXPECT_EQUAL(env, put_data(env, pools[flavour], flavour, 0, CONTENT_TEXT, 0), TMEM_OK);
	}
	cursor = 0;
	while (tmem_next_pool(env->host, &cursor, &info) == TMEM_OK) {
		EXPECT_EQUAL(env, info.sharers, 1);
		if (name_is(info.client_name, "a name that is ")) {
			EXPECT_EQUAL(env, info.pool, theirs);
			EXPECT_EQUAL(env, info.stats.pages, 0);
			of_other++;
			continue;
		}
		EXPECT(env, name_is(info.client_name, "scenario"));
		for (flavour = 0; flavour < POOL_FLAVOURS; flavour++)
			if (info.pool == pools[flavour]) {
				EXPECT_EQUAL(env, info.flags, pool_flavours[flavour]);
				EXPECT_EQUAL(env, info.stats.pages, 1);
				seen |= 1U << flavour;
			}
	}
	EXPECT_EQUAL(env, of_other, 1);
	EXPECT_EQUAL(env, seen, (1 << POOL_FLAVOURS) - 1);
	EXPECT_EQUAL(env, tmem_next_pool(env->host, &cursor, &info), TMEM_NOT_FOUND);
	tmem_client_destroy(other);
	engine_stop(env);
}

/* Each with what it holds and has lost; who gets the number of one that is gone begins anew. */
SCENARIO(clients_can_be_listed)
{
	enum { limit = 40, round = 200 };
	struct tmem_client *other;
	struct tmem_client_info info;
	struct tmem_host_stats stats;
	struct tmem_oid oid = oid_of(1);
	unsigned int cursor = 0, i, times, number = TMEM_CLIENTS_MAX;
	unsigned long long evicted = 0;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_next_client(env->host, NULL, &info), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_next_client(env->host, &cursor, NULL), TMEM_BAD_ARGUMENT);
	for (times = 1; times <= 2; times++) {
		EXPECT_EQUAL(env, tmem_client_create(env->host, "a name that is far too long", 7, limit, &other),
			     TMEM_OK);
		pool = tmem_new_pool(other, 0, NULL);
		for (i = 0; i < times * round; i++) {
			content_fill(env->page, CONTENT_HALF, i);
			EXPECT_EQUAL(env, tmem_put(other, pool, &oid, i, env->page), TMEM_OK);
		}
		cursor = 0;
		EXPECT_EQUAL(env, tmem_next_client(env->host, &cursor, &info), TMEM_OK);
		EXPECT(env, name_is(info.name, "scenario"));
		EXPECT_EQUAL(env, info.usage.weight, TMEM_WEIGHT_DEFAULT);
		EXPECT(env, info.usage.limit_frames == TMEM_NO_LIMIT);
		EXPECT_EQUAL(env, info.usage.frames, 0);
		EXPECT_EQUAL(env, info.usage.frames_evicted, 0);
		EXPECT_EQUAL(env, tmem_next_client(env->host, &cursor, &info), TMEM_OK);
		EXPECT(env, name_is(info.name, "a name that is "));
		EXPECT(env, number == TMEM_CLIENTS_MAX || number == info.number);
		number = info.number;
		EXPECT_EQUAL(env, info.usage.weight, 7);
		EXPECT_EQUAL(env, info.usage.limit_frames, limit);
		tmem_host_stats(env->host, &stats);
		EXPECT_EQUAL(env, stats.clients, 2);
		EXPECT_EQUAL(env, info.usage.frames, stats.usage.frames);
		EXPECT_EQUAL(env, info.usage.frames_ephemeral, stats.usage.frames);
		EXPECT_EQUAL(env, info.usage.pages_evicted, stats.pages.pages_evicted - evicted);
		EXPECT_EQUAL(env, info.usage.pages_evicted, times * round - stats.pages.pages);
		EXPECT(env, info.usage.frames_evicted * 2 >= info.usage.pages_evicted);
		EXPECT(env, info.usage.frames_evicted <= info.usage.pages_evicted);
		evicted = stats.pages.pages_evicted;
		EXPECT_EQUAL(env, tmem_next_client(env->host, &cursor, &info), TMEM_NOT_FOUND);
		tmem_client_destroy(other);
	}
	engine_stop(env);
}

/* Engines know nothing of each other. */
SCENARIO(many_hosts_at_once)
{
	enum { hosts = 4 };
	struct tmem_host *host[hosts];
	struct tmem_client *client[hosts];
	struct tmem_host_stats stats;
	struct tmem_oid oid = oid_of(1);
	int pool[hosts], i;

	for (i = 0; i < hosts; i++) {
		REQUIRE(env, tmem_register_host_ops(injector_ops(1024), &host[i]) == TMEM_OK);
		EXPECT_EQUAL(env, tmem_register_pam_ops(host[i], i & 1 ? tmem_plain_pam()
								   : tmem_compressed_pam()), TMEM_OK);
		EXPECT_EQUAL(env, tmem_client_create(host[i], "same", 1, TMEM_NO_LIMIT, &client[i]),
			     TMEM_OK);
		pool[i] = tmem_new_pool(client[i], TMEM_POOL_PERSISTENT, NULL);
		EXPECT_EQUAL(env, pool[i], pool[0]);
	}
	for (i = 0; i < hosts; i++) {
		content_fill(env->page, CONTENT_TEXT, i + 1);
		EXPECT_EQUAL(env, tmem_put(client[i], pool[i], &oid, 1, env->page), TMEM_OK);
	}
	EXPECT_EQUAL(env, tmem_tunable_set(host[0], TMEM_TUNABLE_FROZEN, 1), TMEM_OK);
	for (i = 0; i < hosts; i++) {
		EXPECT_EQUAL(env, tmem_tunable_get(host[i], TMEM_TUNABLE_FROZEN), i == 0);
		EXPECT_EQUAL(env, tmem_get(client[i], pool[i], &oid, 1, env->page), TMEM_OK);
		EXPECT(env, content_matches(env->page, CONTENT_TEXT, i + 1));
		tmem_host_stats(host[i], &stats);
		EXPECT_EQUAL(env, stats.pages.puts, 1);
		EXPECT_EQUAL(env, stats.pages.gets, 1);
		tmem_client_destroy(client[i]);
		EXPECT_EQUAL(env, tmem_unregister_host(host[i]), TMEM_OK);
	}
	injector_leaks(env, __FILE__, __LINE__);
}
