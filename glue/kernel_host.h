/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kernel_host.h - the running host: the one engine that the hooks, and any other kernel module, store in.
 *
 * Another module becomes a client by
 *
 *	host = tmem_kernel_host();
 *	error = host ? tmem_client_create(host, "name", weight, limit_frames, &client) : -ENODEV;
 *
 * and then shares the kernel's own budget, by weights, and can join pools by
 * uuid. Destroying the client is the last thing that it does with tmem. By the
 * symbols that it uses it holds a reference to this module, which therefore
 * cannot go before it. kunit/example is such a module, Documentation/abi.md has it all.
 */
#ifndef TMEM_GLUE_KERNEL_HOST_H
#define TMEM_GLUE_KERNEL_HOST_H

#include "core/abi.h"

struct tmem_host *tmem_kernel_host(void);

#endif /* TMEM_GLUE_KERNEL_HOST_H */
