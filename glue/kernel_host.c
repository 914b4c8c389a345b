// SPDX-License-Identifier: GPL-2.0
/*
 * kernel_host.c - the running host, and the kernel's own client in it.
 *
 * All clients of the running host share one budget, the kernel's own among
 * them: that is what the hooks put for. Its weight and its limit are tunables
 * as those of the core are. The limit is a percentage of RAM, as
 * max_pool_percent is, so that the two can be compared, and a setting means
 * the same on any machine.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/mutex.h>
#include <linux/printk.h>

#include "glue.h"

#define NO_LIMIT_PERCENT 100

static struct tmem_host *host;
static struct tmem_client *client;
static DEFINE_MUTEX(settings_lock);	/* weight and limit are set together */
static unsigned long long settings[TMEM_ALL_TUNABLES];	/* those of the client */

static unsigned int weight(void)
{
	return settings[TMEM_TUNABLE_KERNEL_WEIGHT];
}

static unsigned long long limit_frames(void)
{
	const unsigned long long percent = settings[TMEM_TUNABLE_KERNEL_LIMIT_PERCENT];

	if (percent == NO_LIMIT_PERCENT)
		return TMEM_NO_LIMIT;
	return tmem_kernel_host_ops()->memory_frames * percent / 100;
}

/**
 * tmem_kernel_host_start - make the host, its store and the kernel's client
 * @parameters: the tunables, and which store
 *
 * Context: Process context. May sleep.
 * Return: 0 or a negative errno value, and then nothing is left.
 */
int __init tmem_kernel_host_start(const struct tmem_parameters *parameters)
{
	struct tmem_host *made;
	unsigned int tunable;
	int error = tmem_register_host_ops(tmem_kernel_host_ops(), &made);

	if (error)
		return error;
	for (tunable = 0; !error && tunable < TMEM_TUNABLES_COUNT; tunable++)
		error = tmem_tunable_set(made, tunable, parameters->tunable[tunable]);
	for (tunable = TMEM_TUNABLES_COUNT; tunable < TMEM_ALL_TUNABLES; tunable++)
		settings[tunable] = parameters->tunable[tunable];
	if (!error)
		error = tmem_register_pam_ops(made, parameters->pam());
	if (!error)
		error = tmem_client_create(made, "kernel", weight(), limit_frames(), &client);
	if (error)
		tmem_unregister_host(made);
	else
		WRITE_ONCE(host, made);
	return error;
}

/**
 * tmem_kernel_host_stop - the kernel's client goes, and the host
 *
 * Context: Process context. May sleep.
 * Return: 0; TMEM_IN_USE: another module has gone and left its client, so the
 * host and what is stored in it stay where they are, used by nobody.
 */
int tmem_kernel_host_stop(void)
{
	struct tmem_host *stopped = host;
	struct tmem_client_info info;
	unsigned int cursor = 0;
	int error;

	WRITE_ONCE(host, NULL);
	tmem_client_destroy(client);
	error = tmem_unregister_host(stopped);
	while (error && !tmem_next_client(stopped, &cursor, &info))
		pr_err("a module has gone without its client '%.16s': %llu page frames, and what belongs to them, are lost\n",
		       info.name, info.usage.frames);
	return error;
}

/**
 * tmem_kernel_host - the running host, to make clients in
 *
 * It stays as long as the caller's module uses this symbol, be it by linking
 * or by symbol_get(). The clients that were made in it must be gone by then.
 *
 * Context: Any.
 * Return: The host, or NULL: it is not up, or no longer.
 */
struct tmem_host *tmem_kernel_host(void)
{
	return READ_ONCE(host);
}

/**
 * tmem_kernel_client - the client that hooks put for
 *
 * Context: Any, while the host is up.
 * Return: The client.
 */
struct tmem_client *tmem_kernel_client(void)
{
	return client;
}

/**
 * tmem_kernel_tunable_get - a tunable of the running host, or of the kernel's client
 * @tunable: TMEM_TUNABLE_*
 *
 * Context: Any, while the host is up.
 * Return: Its value.
 */
unsigned long long tmem_kernel_tunable_get(unsigned int tunable)
{
	return tunable < TMEM_TUNABLES_COUNT ? tmem_tunable_get(host, tunable) :
					       READ_ONCE(settings[tunable]);
}

/**
 * tmem_kernel_tunable_set - change a tunable of the running host, or of the kernel's client
 * @tunable: TMEM_TUNABLE_*
 * @value: from tmem_tunable_parse()
 *
 * A limit that is lowered evicts at once.
 *
 * Context: Process context. May sleep.
 * Return: 0 or a negative errno value.
 */
int tmem_kernel_tunable_set(unsigned int tunable, unsigned long long value)
{
	int error;

	if (tunable < TMEM_TUNABLES_COUNT)
		return tmem_tunable_set(host, tunable, value);
	mutex_lock(&settings_lock);
	WRITE_ONCE(settings[tunable], value);
	error = tmem_client_configure(client, weight(), limit_frames());
	mutex_unlock(&settings_lock);
	return error;
}
