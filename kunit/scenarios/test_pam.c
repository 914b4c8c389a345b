// SPDX-License-Identifier: GPL-2.0
/* The PAM for tests: keeps whole pages in slots, counts every call and does what it is told to. */
#include "scenarios.h"

static struct test_pam *the_pam;

static const unsigned long long encodings[TEST_PAM_ENCODINGS] = {
	/*
	 * Slot 0 becomes 0, all ones, and values with each tag bit that an
	 * index could be tempted to use for itself.
	 */
	0, ~0ULL, 1ULL << 63, 1, 3ULL << 62 | 7, 0x8000000080000001ULL,
};

static unsigned long long encode(const struct test_pam *pam, unsigned int slot)
{
	return (unsigned long long)slot ^ encodings[pam->encoding];
}

static struct test_pam_slot *decode(struct test_pam *pam, unsigned long long pampd)
{
	unsigned long long slot = pampd ^ encodings[pam->encoding];

	if (slot < TEST_PAM_SLOTS && load_shared(&pam->slots[slot].references) > 0)
		return &pam->slots[slot];
	add_shared(&pam->misuses, 1);
	return NULL;
}

unsigned long long test_pam_pampd(struct test_pam *pam, unsigned int slot)
{
	return encode(pam, slot);
}

static int test_pam_start(struct tmem_host *host, void **pam)
{
	if (the_pam->start_result)
		return the_pam->start_result;
	the_pam->host = host;
	the_pam->starts++;
	*pam = the_pam;
	return TMEM_OK;
}

static void test_pam_stop(void *context)
{
	struct test_pam *pam = context;

	pam->stops++;
}

static int test_pam_create_page(void *context, const struct tmem_pam_page *page,
				unsigned long long *pampd)
{
	struct test_pam *pam = context;
	struct test_pam_slot *slot;
	unsigned int i;
	int free;

	if (pam->on_create)
		pam->on_create(pam, page);
	if (pam->create_result)
		return pam->create_result;
	for (i = 0; i < TEST_PAM_SLOTS; i++) {
		slot = &pam->slots[i];
		free = 0;
		if (!__atomic_compare_exchange_n(&slot->references, &free, 1, 0, __ATOMIC_SEQ_CST,
						 __ATOMIC_SEQ_CST))
			continue;
		slot->client = page->client;
		slot->persistent = page->persistent;
		slot->back_reference = page->back_reference;
		memcpy(slot->data, page->data, TMEM_PAGE_BYTES);
		add_shared(&pam->creates, 1);
		add_shared(&pam->live, 1);
		*pampd = encode(pam, i);
		return TMEM_OK;
	}
	return TMEM_REFUSED_BUDGET;
}

static void test_pam_hold(void *context, unsigned long long pampd)
{
	struct test_pam *pam = context;
	struct test_pam_slot *slot = decode(pam, pampd);

	add_shared(&pam->holds, 1);
	if (slot)
		add_shared(&slot->references, 1);
}

/* The page is gone when it is freed and nobody holds it: both end one reference. */
static void test_pam_drop(struct test_pam *pam, struct test_pam_slot *slot)
{
	if (slot && add_shared(&slot->references, -1) == 0)
		add_shared(&pam->live, -1);
}

static void test_pam_release(void *context, unsigned long long pampd)
{
	struct test_pam *pam = context;

	add_shared(&pam->releases, 1);
	test_pam_drop(pam, decode(pam, pampd));
}

static int test_pam_get_data(void *context, unsigned long long pampd, void *data)
{
	struct test_pam *pam = context;
	struct test_pam_slot *slot = decode(pam, pampd);

	add_shared(&pam->gets, 1);
	if (pam->on_get)
		pam->on_get(pam, pampd);
	if (!slot || pam->get_result) {
		memset(data, 0xbd, TMEM_PAGE_BYTES);
		return pam->get_result ? pam->get_result : TMEM_CORRUPT;
	}
	memcpy(data, slot->data, TMEM_PAGE_BYTES);
	return TMEM_OK;
}

static void test_pam_free(void *context, unsigned long long pampd)
{
	struct test_pam *pam = context;

	add_shared(&pam->frees, 1);
	if (pam->on_free)
		pam->on_free(pam, pampd);
	test_pam_drop(pam, decode(pam, pampd));
}

static unsigned long long test_pam_shrink(void *context, unsigned long long frames,
					  unsigned int node)
{
	struct test_pam *pam = context;

	(void)node;
	pam->shrink_asked = frames;
	return pam->shrink_answer;
}

static unsigned long long test_pam_compact(void *context, unsigned long long frames,
					   unsigned int node)
{
	struct test_pam *pam = context;

	(void)node;
	pam->compact_asked = frames;
	return 0;
}

static void test_pam_offer(void *context, unsigned int node, struct tmem_offer *offer)
{
	struct test_pam *pam = context;

	(void)node;
	offer->frames_ephemeral += pam->shrink_answer;
}

static void test_pam_set_limit(void *context, unsigned long long frames)
{
	struct test_pam *pam = context;

	pam->limit_frames = frames;
	pam->limits_set++;
}

static void test_pam_set_client(void *context, unsigned int client, unsigned int weight,
				unsigned long long limit_frames)
{
	struct test_pam *pam = context;

	if (client >= TMEM_CLIENTS_MAX) {
		add_shared(&pam->misuses, 1);
		return;
	}
	pam->weight[client] = weight;
	pam->client_limit[client] = limit_frames;
}

static void test_pam_usage(void *context, struct tmem_usage *usage)
{
	struct test_pam *pam = context;

	memset(usage, 0, sizeof(*usage));
	usage->entries = load_shared(&pam->live);
	usage->frames = usage->entries;
	usage->frames_limit = pam->limit_frames;
	usage->bytes_stored = usage->entries * TMEM_PAGE_BYTES;
}

static void test_pam_client_usage(void *context, unsigned int client,
				  struct tmem_client_usage *usage)
{
	struct test_pam *pam = context;

	memset(usage, 0, sizeof(*usage));
	if (client >= TMEM_CLIENTS_MAX) {
		add_shared(&pam->misuses, 1);
		return;
	}
	usage->weight = pam->weight[client];
	usage->limit_frames = pam->client_limit[client];
}

static const struct tmem_pam_ops ops = {
	.abi_size = sizeof(struct tmem_pam_ops),
	.start = test_pam_start,
	.stop = test_pam_stop,
	.create = test_pam_create_page,
	.hold = test_pam_hold,
	.release = test_pam_release,
	.get_data = test_pam_get_data,
	.free = test_pam_free,
	.shrink = test_pam_shrink,
	.compact = test_pam_compact,
	.offer = test_pam_offer,
	.set_limit = test_pam_set_limit,
	.set_client = test_pam_set_client,
	.usage = test_pam_usage,
	.client_usage = test_pam_client_usage,
};

const struct tmem_pam_ops *test_pam_ops(void)
{
	return &ops;
}

struct test_pam *test_pam_create(struct scenario_env *env)
{
	struct test_pam *pam = platform_allocate(sizeof(*pam));
	unsigned int i;

	EXPECT(env, pam != NULL);
	if (!pam)
		return NULL;
	pam->memory = platform_allocate(TEST_PAM_SLOTS * TMEM_PAGE_BYTES);
	EXPECT(env, pam->memory != NULL);
	if (!pam->memory) {
		platform_release(pam);
		return NULL;
	}
	for (i = 0; i < TEST_PAM_SLOTS; i++)
		pam->slots[i].data = pam->memory + (unsigned long)i * TMEM_PAGE_BYTES;
	the_pam = pam;
	return pam;
}

void test_pam_destroy(struct test_pam *pam)
{
	the_pam = NULL;
	platform_release(pam->memory);
	platform_release(pam);
}

int test_pam_evict_slot(struct test_pam *pam, unsigned int slot)
{
	int result = tmem_pam_evict(pam->host, pam->slots[slot].back_reference, encode(pam, slot));

	/* What it took out of the index is ours to free. */
	if (!result && add_shared(&pam->slots[slot].references, -1) == 0)
		add_shared(&pam->live, -1);
	return result;
}

unsigned int test_pam_first_live(struct test_pam *pam)
{
	unsigned int i;

	for (i = 0; i < TEST_PAM_SLOTS; i++)
		if (load_shared(&pam->slots[i].references) > 0)
			break;
	return i;
}
