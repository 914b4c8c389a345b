// SPDX-License-Identifier: GPL-2.0
/*
 * engine_tmem.c - ours: the whole way from the ABI on, as a hook calls it, and
 * the compressed store alone.
 *
 * Swap pages are a persistent pool; the index is the page's number, as that of
 * a swap slot is, in one object, which is what a swap area is to our hooks.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "../../glue/glue.h"
#include "bench.h"

static const struct tmem_oid oid = { { 1, 2, 3 } };

static int put(void *context, unsigned int number, struct page *page)
{
	struct bench_instance *instance = context;

	return tmem_put(instance->client, instance->pool, &oid, number, page_address(page));
}

static int get(void *context, unsigned int number, struct page *page)
{
	struct bench_instance *instance = context;

	return tmem_get(instance->client, instance->pool, &oid, number, page_address(page));
}

static void drop(void *context, unsigned int number)
{
	struct bench_instance *instance = context;

	tmem_flush_page(instance->client, instance->pool, &oid, number);
}

static int start_with(struct bench_engine *engine, unsigned int flags)
{
	struct bench_instance *instance = kzalloc(sizeof(*instance), GFP_KERNEL);
	int error;

	if (!instance)
		return -ENOMEM;
	error = bench_instance_start(instance, tmem_kernel_host_ops(), flags);
	if (error)
		kfree(instance);
	else
		engine->context = instance;
	return error;
}

static int start(struct bench_engine *engine, unsigned int pages)
{
	return start_with(engine, TMEM_POOL_PERSISTENT);
}

static int start_ephemeral(struct bench_engine *engine, unsigned int pages)
{
	return start_with(engine, 0);
}

static void stop(struct bench_engine *engine)
{
	bench_instance_stop(engine->context);
	kfree(engine->context);
}

static int start_no_checksum(struct bench_engine *engine, unsigned int pages)
{
	struct bench_instance *instance;
	int error = start_with(engine, TMEM_POOL_PERSISTENT);

	if (error)
		return error;
	instance = engine->context;
	error = tmem_tunable_set(instance->host, TMEM_TUNABLE_CHECKSUM, 0);
	if (error)
		stop(engine);
	return error;
}

struct bench_engine bench_tmem = {
	.name = "tmem", .start = start, .stop = stop, .put = put, .get = get, .drop = drop,
};

struct bench_engine bench_tmem_no_checksum = {
	.name = "tmem_no_checksum", .start = start_no_checksum, .stop = stop, .put = put, .get = get,
	.drop = drop,
};

struct bench_engine bench_tmem_ephemeral = {
	.name = "tmem_ephemeral", .exclusive = true, .start = start_ephemeral, .stop = stop,
	.put = put, .get = get, .drop = drop,
};

/* ---- The store alone: a second instance of the PAM, that no index knows ---- */

struct store {
	struct bench_instance instance;	/* only for its tunables and host ops */
	const struct tmem_pam_ops *ops;
	void *pam;
	unsigned long long *pampd;
};

static int store_put(void *context, unsigned int number, struct page *page)
{
	struct store *store = context;
	const struct tmem_pam_page request = {
		.data = page_address(page), .back_reference = number, .persistent = 1,
	};

	return store->ops->create(store->pam, &request, &store->pampd[number]);
}

static int store_get(void *context, unsigned int number, struct page *page)
{
	struct store *store = context;

	return store->ops->get_data(store->pam, store->pampd[number], page_address(page));
}

static void store_drop(void *context, unsigned int number)
{
	struct store *store = context;

	store->ops->free(store->pam, store->pampd[number]);
}

static int store_start(struct bench_engine *engine, unsigned int pages)
{
	struct store *store = kzalloc(sizeof(*store), GFP_KERNEL);
	int error = -ENOMEM;

	if (!store)
		return error;
	store->ops = tmem_compressed_pam();
	store->pampd = kvcalloc(pages, sizeof(*store->pampd), GFP_KERNEL);
	if (store->pampd)
		error = bench_instance_start(&store->instance, tmem_kernel_host_ops(), 0);
	if (!error) {
		error = store->ops->start(store->instance.host, &store->pam);
		if (error)
			bench_instance_stop(&store->instance);
	}
	if (error) {
		kvfree(store->pampd);
		kfree(store);
		return error;
	}
	store->ops->set_limit(store->pam, totalram_pages());
	engine->context = store;
	return 0;
}

static void store_stop(struct bench_engine *engine)
{
	struct store *store = engine->context;

	store->ops->stop(store->pam);
	bench_instance_stop(&store->instance);
	kvfree(store->pampd);
	kfree(store);
}

struct bench_engine bench_pam = {
	.name = "pam", .start = store_start, .stop = store_stop, .put = store_put, .get = store_get,
	.drop = store_drop,
};
