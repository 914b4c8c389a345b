// SPDX-License-Identifier: GPL-2.0
/* The engine seen from below: what a PAM may rely on, and what it may do. */
#include "scenarios.h"

static int start_with_test_pam(struct scenario_env *env, struct test_pam **pam)
{
	*pam = test_pam_create(env);
	if (!*pam)
		return 0;
	if (engine_start(env, test_pam_ops(), 0))
		return 1;
	test_pam_destroy(*pam);
	return 0;
}

static void stop_with_test_pam(struct scenario_env *env, struct test_pam *pam)
{
	engine_stop(env);
	EXPECT_EQUAL(env, pam->misuses, 0);
	EXPECT_EQUAL(env, pam->live, 0);
	EXPECT_EQUAL(env, pam->starts, 1);
	EXPECT_EQUAL(env, pam->stops, 1);
	test_pam_destroy(pam);
}

/* The engine may not keep tags of its own in a pampd: 0, all ones and any bit are data. */
SCENARIO(pampd_is_any_value)
{
	struct test_pam *pam;
	unsigned int encoding, flavour, i;
	int pool;

	for (encoding = 0; encoding < TEST_PAM_ENCODINGS; encoding++) {
		if (!start_with_test_pam(env, &pam))
			return;
		pam->encoding = encoding;
		for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
			pool = new_pool(env, pool_flavours[flavour]);
			for (i = 0; i < 20; i++)
				EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_RANDOM, i), TMEM_OK);
			/* Same-filled words that look like a pampd beside them. */
			EXPECT_EQUAL(env, put_data(env, pool, 1, 20, CONTENT_SAME_FILLED,
						   test_pam_pampd(pam, 0)), TMEM_OK);
			for (i = 0; i < 20; i++)
				EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_RANDOM, i), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, 20, CONTENT_SAME_FILLED,
						   test_pam_pampd(pam, 0)), TMEM_OK);
			ENGINE_CHECK(env);
		}
		stop_with_test_pam(env, pam);
	}
}

/* Every page that was created is freed, and the references of gets are given back. */
SCENARIO(references_balance)
{
	struct tmem_host_stats stats;
	struct test_pam *pam;
	unsigned int flavour, i;
	int pool;

	if (!start_with_test_pam(env, &pam))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < 40; i++) {
			/* Every other put is a duplicate, where gets leave the page. */
			EXPECT_EQUAL(env, put_data(env, pool, i % 3, i / 6, CONTENT_TEXT, i), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, i % 3, i / 6, CONTENT_TEXT, i), TMEM_OK);
			if (i % 7 == 0)
				flush_page(env, pool, i % 3, i / 6);
			EXPECT_EQUAL(env, pam->creates + pam->holds, pam->frees + pam->releases + pam->live);
		}
		flush_object(env, pool, 1);
		EXPECT_EQUAL(env, pam->creates + pam->holds, pam->frees + pam->releases + pam->live);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
		EXPECT_EQUAL(env, pam->live, 0);
	}
	EXPECT_EQUAL(env, pam->creates, pam->frees);
	EXPECT_EQUAL(env, pam->holds, pam->releases);
	EXPECT_EQUAL(env, pam->creates, 40 * POOL_FLAVOURS);
	tmem_host_stats(env->host, &stats);
	EXPECT(env, stats.pages.puts_replaced > 30);
	stop_with_test_pam(env, pam);
}

SCENARIO(create_is_told_the_truth)
{
	struct tmem_client *second;
	struct test_pam *pam;
	struct tmem_oid oid = oid_of(1);
	unsigned int slot;
	int pool;

	if (!start_with_test_pam(env, &pam))
		return;
	EXPECT_EQUAL(env, tmem_client_create(env->host, "second", 7, 99, &second), TMEM_OK);
	pool = tmem_new_pool(second, TMEM_POOL_PERSISTENT, NULL);
	content_fill(env->page, CONTENT_RANDOM, 5);
	EXPECT_EQUAL(env, tmem_put(second, pool, &oid, 0, env->page), TMEM_OK);
	slot = test_pam_first_live(pam);
	REQUIRE(env, slot < TEST_PAM_SLOTS);
	EXPECT_EQUAL(env, pam->slots[slot].persistent, 1);
	EXPECT_EQUAL(env, pam->weight[pam->slots[slot].client], 7);
	EXPECT_EQUAL(env, pam->client_limit[pam->slots[slot].client], 99);
	EXPECT(env, content_matches(pam->slots[slot].data, CONTENT_RANDOM, 5));
	EXPECT_EQUAL(env, tmem_destroy_pool(second, pool), TMEM_OK);
	tmem_client_destroy(second);

	pool = new_pool(env, 0);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_TEXT, 6), TMEM_OK);
	slot = test_pam_first_live(pam);
	REQUIRE(env, slot < TEST_PAM_SLOTS);
	EXPECT_EQUAL(env, pam->slots[slot].persistent, 0);
	EXPECT_EQUAL(env, pam->weight[pam->slots[slot].client], TMEM_WEIGHT_DEFAULT);
	stop_with_test_pam(env, pam);
}

/* Clauses 1 and 8: whatever create refuses with reaches the caller, and nothing is left. */
SCENARIO(create_results_pass_through)
{
	static const int results[] = { TMEM_NO_MEMORY, TMEM_REFUSED_POOR, TMEM_REFUSED_BUDGET,
				       TMEM_REFUSED_LIMIT, TMEM_REFUSED_NESTED };
	struct test_pam *pam;
	struct tmem_stats stats;
	unsigned int flavour, i;
	int pool;

	if (!start_with_test_pam(env, &pam))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < sizeof(results) / sizeof(*results); i++) {
			EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_TEXT, 1), TMEM_OK);
			pam->create_result = results[i];
			EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_TEXT, 2), results[i]);
			EXPECT_EQUAL(env, put_data(env, pool, 9, i, CONTENT_TEXT, 2), results[i]);
			pam->create_result = 0;
			EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_TEXT, 1), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, get_data(env, pool, 9, i, CONTENT_TEXT, 2), TMEM_NOT_FOUND);
		}
		EXPECT_EQUAL(env, pam->live, 0);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.puts_no_memory, 2);
		EXPECT_EQUAL(env, stats.puts_refused_poor, 2);
		EXPECT_EQUAL(env, stats.puts_refused_budget, 2);
		EXPECT_EQUAL(env, stats.puts_refused_limit, 2);
		EXPECT_EQUAL(env, stats.puts_refused_nested, 2);
		EXPECT_EQUAL(env, stats.puts_dropped, 5);
		EXPECT_EQUAL(env, stats.pages, 0);
		ENGINE_CHECK(env);
	}
	stop_with_test_pam(env, pam);
}

struct duplicate {
	struct scenario_env *env;
	int pool;
	unsigned int creates_seen, frees_seen;
	unsigned char *page;
};

static void see_old_page_during_create(struct test_pam *pam, const struct tmem_pam_page *told)
{
	struct duplicate *duplicate = pam->argument;
	struct scenario_env *env = duplicate->env;
	struct tmem_oid oid = oid_of(1);

	EXPECT(env, content_matches(told->data, CONTENT_TEXT, 2));
	EXPECT_EQUAL(env, tmem_get(env->client, duplicate->pool, &oid, 1, duplicate->page), TMEM_OK);
	EXPECT(env, content_matches(duplicate->page, CONTENT_TEXT, 1));
	duplicate->creates_seen++;
}

static void see_new_page_during_free(struct test_pam *pam, unsigned long long pampd)
{
	struct duplicate *duplicate = pam->argument;
	struct scenario_env *env = duplicate->env;
	struct tmem_oid oid = oid_of(1);

	/* The get below frees its reference: no further. The create's gets free too: not yet. */
	if (pampd != test_pam_pampd(pam, 0) || pam->creates < 2)
		return;
	pam->on_free = NULL;
	EXPECT_EQUAL(env, tmem_get(env->client, duplicate->pool, &oid, 1, duplicate->page), TMEM_OK);
	EXPECT(env, content_matches(duplicate->page, CONTENT_TEXT, 2));
	duplicate->frees_seen++;
}

/* Clause 5, watched from both ends: until the swap the old page answers, after it the new one. */
SCENARIO(duplicate_is_built_first_and_freed_last)
{
	struct duplicate duplicate;
	struct test_pam *pam;
	unsigned int flavour;

	for (flavour = 1; flavour < POOL_FLAVOURS; flavour++) {
		if (!start_with_test_pam(env, &pam))
			return;
		memset(&duplicate, 0, sizeof(duplicate));
		duplicate.env = env;
		duplicate.page = env->page_back;
		duplicate.pool = new_pool(env, pool_flavours[flavour]);
		EXPECT_EQUAL(env, put_data(env, duplicate.pool, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
		pam->argument = &duplicate;
		pam->on_create = see_old_page_during_create;
		pam->on_free = see_new_page_during_free;
		EXPECT_EQUAL(env, put_data(env, duplicate.pool, 1, 1, CONTENT_TEXT, 2), TMEM_OK);
		pam->on_create = NULL;
		pam->on_free = NULL;
		EXPECT_EQUAL(env, duplicate.creates_seen, 1);
		EXPECT_EQUAL(env, duplicate.frees_seen, 1);
		EXPECT_EQUAL(env, pam->live, 1);
		stop_with_test_pam(env, pam);
	}
}

/* Clause 6: a PAM that cannot read a page back. */
SCENARIO(unreadable_page_is_corrupt)
{
	struct test_pam *pam;
	struct tmem_stats stats;
	unsigned int flavour;
	int pool, persistent;

	if (!start_with_test_pam(env, &pam))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		persistent = !!(pool_flavours[flavour] & TMEM_POOL_PERSISTENT);
		pool = new_pool(env, pool_flavours[flavour]);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
		pam->get_result = TMEM_CORRUPT;
		EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_CORRUPT);
		pam->get_result = 0;
		/* Gone from an ephemeral pool: it does not come back when it could be read. */
		EXPECT_EQUAL(env, pam->live, persistent);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_TEXT, 1),
			     persistent ? TMEM_OK : TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.gets_corrupt, 1);
		EXPECT_EQUAL(env, stats.gets_hit, persistent);
		EXPECT_EQUAL(env, stats.pages_corrupt, !persistent);
		EXPECT_EQUAL(env, flush_page(env, pool, 1, 1), persistent ? TMEM_OK : TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, pam->live, 0);
		ENGINE_CHECK(env);
	}
	stop_with_test_pam(env, pam);
}

/* Bottom-up eviction, with references that are good, used twice, or long stale. */
SCENARIO(eviction_by_back_reference)
{
	unsigned long long back_reference, pampd;
	struct test_pam *pam;
	struct tmem_stats stats;
	unsigned int flavour, i, slot;
	int pool;

	if (!start_with_test_pam(env, &pam))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < 20; i++)
			EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_TEXT, i), TMEM_OK);
		slot = test_pam_first_live(pam);
		REQUIRE(env, slot < TEST_PAM_SLOTS);
		back_reference = pam->slots[slot].back_reference;
		pampd = test_pam_pampd(pam, slot);
		/* Another pampd at this place is not this page. */
		EXPECT_EQUAL(env, tmem_pam_evict(env->host, back_reference, pampd + 1000),
			     TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, test_pam_evict_slot(pam, slot), TMEM_OK);
		EXPECT_EQUAL(env, tmem_pam_evict(env->host, back_reference, pampd), TMEM_NOT_FOUND);
		ENGINE_CHECK(env);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 0, CONTENT_TEXT, 0), TMEM_NOT_FOUND);
		for (i = 1; i < 20; i++)
			EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_TEXT, i), TMEM_OK);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.pages_evicted, 1);

		/* Of a page flushed, an object gone, a pool destroyed. */
		EXPECT_EQUAL(env, put_data(env, pool, 2, 0, CONTENT_TEXT, 1), TMEM_OK);
		slot = test_pam_first_live(pam);
		REQUIRE(env, slot < TEST_PAM_SLOTS);
		back_reference = pam->slots[slot].back_reference;
		pampd = test_pam_pampd(pam, slot);
		flush_page(env, pool, 2, 0);
		EXPECT_EQUAL(env, flush_page(env, pool, 2, 0), TMEM_NOT_FOUND);
		if (pool_flavours[flavour] == 0)
			EXPECT_EQUAL(env, tmem_pam_evict(env->host, back_reference, pampd),
				     TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
		EXPECT_EQUAL(env, tmem_pam_evict(env->host, back_reference, pampd), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, pam->live, 0);
	}
	stop_with_test_pam(env, pam);
}

static void evict_what_is_being_created(struct test_pam *pam, const struct tmem_pam_page *page)
{
	struct scenario_env *env = pam->argument;
	unsigned int slot;

	/* Whichever pampd it is about to get, no page has it yet. */
	for (slot = 0; slot < 4; slot++)
		if (load_shared(&pam->slots[slot].references) == 0)
			EXPECT_EQUAL(env, tmem_pam_evict(pam->host, page->back_reference,
							 test_pam_pampd(pam, slot)),
				     TMEM_NOT_FOUND);
}

SCENARIO(eviction_before_publication_fails)
{
	struct test_pam *pam;
	unsigned int i;
	int pool;

	if (!start_with_test_pam(env, &pam))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	pam->argument = env;
	pam->on_create = evict_what_is_being_created;
	for (i = 0; i < 4; i++)
		EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_TEXT, i), TMEM_OK);
	pam->on_create = NULL;
	for (i = 0; i < 4; i++)
		EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_TEXT, i), TMEM_OK);
	stop_with_test_pam(env, pam);
}

SCENARIO(policy_is_forwarded)
{
	struct tmem_client *client;
	struct tmem_host_stats stats;
	struct test_pam *pam;
	unsigned int i, found = 0;

	if (!start_with_test_pam(env, &pam))
		return;
	EXPECT_EQUAL(env, pam->limit_frames, ENGINE_FRAMES_DEFAULT * 20ULL / 100);
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 50), TMEM_OK);
	EXPECT_EQUAL(env, pam->limit_frames, ENGINE_FRAMES_DEFAULT / 2);

	EXPECT_EQUAL(env, tmem_client_create(env->host, "weighty", 1234, 5678, &client), TMEM_OK);
	EXPECT_EQUAL(env, tmem_client_configure(client, 4321, 8765), TMEM_OK);
	for (i = 0; i < TMEM_CLIENTS_MAX; i++)
		found += pam->weight[i] == 4321 && pam->client_limit[i] == 8765;
	EXPECT_EQUAL(env, found, 1);
	tmem_client_destroy(client);

	pam->shrink_answer = 3;
	EXPECT_EQUAL(env, tmem_shrink(env->host, 17), 3);
	EXPECT_EQUAL(env, pam->shrink_asked, 17);
	EXPECT_EQUAL(env, tmem_compact(env->host, 23), 0);
	EXPECT_EQUAL(env, pam->compact_asked, 23);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.frames_limit, ENGINE_FRAMES_DEFAULT / 2);
	EXPECT_EQUAL(env, stats.clients, 1);
	stop_with_test_pam(env, pam);
}

SCENARIO(registration_rules)
{
	struct tmem_host_ops host_ops;
	struct tmem_pam_ops pam_ops = *test_pam_ops();
	struct tmem_client *client = NULL;
	struct tmem_host *host = NULL;
	struct test_pam *pam;
	unsigned long offset;

	/* A host: each member must be there, and of this age. */
	host_ops = *injector_ops(1024);
	EXPECT_EQUAL(env, tmem_register_host_ops(NULL, &host), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_register_host_ops(&host_ops, NULL), TMEM_BAD_ARGUMENT);
	host_ops.abi_size--;
	EXPECT_EQUAL(env, tmem_register_host_ops(&host_ops, &host), TMEM_BAD_ARGUMENT);
	host_ops.abi_size = 0;
	EXPECT_EQUAL(env, tmem_register_host_ops(&host_ops, &host), TMEM_BAD_ARGUMENT);
	host_ops = *injector_ops(1024);
	host_ops.cpu_count = 0;
	EXPECT_EQUAL(env, tmem_register_host_ops(&host_ops, &host), TMEM_BAD_ARGUMENT);
	for (offset = offsetof(struct tmem_host_ops, object_alloc);
	     offset < sizeof(host_ops); offset += sizeof(void *)) {
		host_ops = *injector_ops(1024);
		memset((char *)&host_ops + offset, 0, sizeof(void *));
		EXPECT_EQUAL(env, tmem_register_host_ops(&host_ops, &host), TMEM_BAD_ARGUMENT);
	}
	EXPECT(env, host == NULL);

	/* A PAM, likewise; and once, and before the first client. */
	pam = test_pam_create(env);
	if (!pam)
		return;
	REQUIRE(env, tmem_register_host_ops(injector_ops(1024), &host) == TMEM_OK);
	EXPECT_EQUAL(env, tmem_client_create(host, "early", 1, 1, &client), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_register_pam_ops(NULL, &pam_ops), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, NULL), TMEM_BAD_ARGUMENT);
	pam_ops.abi_size++;
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, &pam_ops), TMEM_BAD_ARGUMENT);
	pam_ops = *test_pam_ops();
	pam_ops.reserved = 1;
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, &pam_ops), TMEM_BAD_ARGUMENT);
	for (offset = offsetof(struct tmem_pam_ops, start); offset < sizeof(pam_ops);
	     offset += sizeof(void *)) {
		pam_ops = *test_pam_ops();
		memset((char *)&pam_ops + offset, 0, sizeof(void *));
		EXPECT_EQUAL(env, tmem_register_pam_ops(host, &pam_ops), TMEM_BAD_ARGUMENT);
	}
	pam->start_result = TMEM_NO_MEMORY;
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, test_pam_ops()), TMEM_NO_MEMORY);
	pam->start_result = TMEM_TOO_MANY;
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, test_pam_ops()), TMEM_TOO_MANY);
	pam->start_result = 0;
	EXPECT_EQUAL(env, pam->starts, 0);
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, test_pam_ops()), TMEM_OK);
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, test_pam_ops()), TMEM_IN_USE);
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, tmem_plain_pam()), TMEM_IN_USE);
	EXPECT_EQUAL(env, tmem_client_create(host, "first", 1, 1, &client), TMEM_OK);
	EXPECT_EQUAL(env, tmem_register_pam_ops(host, tmem_plain_pam()), TMEM_IN_USE);
	EXPECT_EQUAL(env, tmem_unregister_host(host), TMEM_IN_USE);
	tmem_client_destroy(client);
	EXPECT_EQUAL(env, tmem_unregister_host(host), TMEM_OK);
	EXPECT_EQUAL(env, pam->stops, 1);
	test_pam_destroy(pam);

	/* A host without a PAM can be taken down again, too. */
	REQUIRE(env, tmem_register_host_ops(injector_ops(1024), &host) == TMEM_OK);
	EXPECT_EQUAL(env, tmem_shrink(host, 5), 0);
	EXPECT_EQUAL(env, tmem_shrinkable(host), 0);
	EXPECT_EQUAL(env, tmem_validate(host), 0);
	EXPECT_EQUAL(env, tmem_unregister_host(host), TMEM_OK);
	injector_leaks(env, __FILE__, __LINE__);
}

/* The example store: everything fits, nothing is compressed. */
SCENARIO(plain_pam_keeps_pages)
{
	struct tmem_host_stats stats;
	unsigned int flavour, kind, stored = 0;
	int pool, result;

	if (!engine_start(env, tmem_plain_pam(), 640))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (kind = 0; kind < CONTENT_KINDS; kind++) {
			EXPECT_EQUAL(env, put_data(env, pool, 1, kind, kind, 1), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 1, kind, kind, 2), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, 2), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, 2),
				     pool_flavours[flavour] ? TMEM_OK : TMEM_NOT_FOUND);
		}
		ENGINE_CHECK(env);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
	}
	/* It keeps the budget like any other. */
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	stored = fill_with_persistent_pages(env, pool, 1, &result);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.frames_limit, 128);
	EXPECT(env, stats.usage.frames <= stats.usage.frames_limit);
	EXPECT(env, stored > 100 && stored <= 128);
	EXPECT_EQUAL(env, injector.compressions, 0);
	engine_stop(env);
}
