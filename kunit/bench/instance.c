// SPDX-License-Identifier: GPL-2.0
/* instance.c - an engine of tmem with the compressed store, one client and one pool. */
#include <linux/string.h>

#include "../../glue/glue.h"
#include "bench.h"

/* The budget is to be in nobody's way. */
#define POOL_PERCENT 80

int bench_instance_start(struct bench_instance *instance, const struct tmem_host_ops *ops,
			 unsigned int flags)
{
	int error;

	memset(instance, 0, sizeof(*instance));
	error = tmem_register_host_ops(ops, &instance->host);
	if (error)
		return error;
	error = tmem_tunable_set(instance->host, TMEM_TUNABLE_MAX_POOL_PERCENT, POOL_PERCENT);
	if (!error)
		error = tmem_register_pam_ops(instance->host, tmem_compressed_pam());
	if (!error)
		error = tmem_client_create(instance->host, "bench", TMEM_WEIGHT_DEFAULT,
					   TMEM_NO_LIMIT, &instance->client);
	if (!error) {
		instance->pool = tmem_new_pool(instance->client, flags, NULL);
		error = instance->pool < 0 ? instance->pool : 0;
	}
	if (error)
		bench_instance_stop(instance);
	return error;
}

void bench_instance_stop(struct bench_instance *instance)
{
	if (instance->client)
		tmem_client_destroy(instance->client);
	if (instance->host)
		tmem_unregister_host(instance->host);
	memset(instance, 0, sizeof(*instance));
}
