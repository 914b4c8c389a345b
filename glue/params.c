// SPDX-License-Identifier: GPL-2.0
/*
 * params.c - module parameters, and the ranges of the tunables.
 *
 * Everything that matters at load. Each tunable of core/abi.h and glue.h is a parameter
 * of the same name; once loaded, it is changed through /sys/kernel/mm/tmem, so
 * the parameters themselves are read-only.
 *
 * A bad value is remembered, not returned: the kernel would stop at the first
 * and print a line of its own. So every bad value gets its line, and the
 * module then declines to load. A parameter that does not exist cannot be
 * caught: the kernel prints "tmem: unknown parameter 'x' ignored" and goes on.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/string.h>
#include <linux/stringify.h>

#include "glue.h"

struct tunable_range {
	const char *name;
	unsigned long long min;
	unsigned long long max;
};

#define RANGE(NAME, name, min, max, initial, meaning) { #name, min, max },
static const struct tunable_range ranges[TMEM_ALL_TUNABLES] = { TMEM_EVERY_TUNABLE(RANGE) };

#define INITIAL(NAME, name, min, max, initial, meaning) [TMEM_TUNABLE_##NAME] = (initial),
static struct tmem_parameters parameters = {
	.tunable = { TMEM_EVERY_TUNABLE(INITIAL) },
	.pam = tmem_compressed_pam,
	.cleancache = true,
	.frontswap = true,
};

static bool any_bad;

/**
 * tmem_parameters - what the module was loaded with
 *
 * Context: Process context, once. Prints a line about each pair that does not fit.
 * Return: The parameters, or NULL if a value was bad; the log says which.
 */
const struct tmem_parameters *tmem_parameters(void)
{
	if (parameters.blockdev && !parameters.backing) {
		pr_err("mode=blockdev needs backing=, the swap partition or other block device to put /dev/tmem0 over\n");
		any_bad = true;
	}
	if (!parameters.blockdev && parameters.backing) {
		pr_err("backing=%s is for mode=blockdev, give both or none\n", parameters.backing);
		any_bad = true;
	}
	return any_bad ? NULL : &parameters;
}

/**
 * tmem_parameter_is_bad - a parameter's value does not do; a line has said why
 *
 * Context: Process context.
 * Return: What its setter returns: 0 at load, which is declined later, or -EINVAL.
 */
int tmem_parameter_is_bad(void)
{
	any_bad = true;
	return THIS_MODULE->state == MODULE_STATE_COMING ? 0 : -EINVAL;
}

/**
 * tmem_tunable_name - the name of a tunable
 * @tunable: TMEM_TUNABLE_*
 *
 * Context: Any.
 * Return: Its name, everywhere the same.
 */
const char *tmem_tunable_name(unsigned int tunable)
{
	return ranges[tunable].name;
}

/**
 * tmem_tunable_parse - read a tunable's value as a user wrote it
 * @tunable: TMEM_TUNABLE_*
 * @text: a number, maybe with a newline
 * @value: set on success only
 *
 * Context: Process context. Prints one line about a bad value.
 * Return: 0 or -EINVAL.
 */
int tmem_tunable_parse(unsigned int tunable, const char *text, unsigned long long *value)
{
	const struct tunable_range *range = &ranges[tunable];
	unsigned long long number;

	if (kstrtoull(text, 0, &number)) {
		pr_err("%s=%.*s is not a number, give %llu to %llu\n", range->name,
		       (int)min(strcspn(text, "\n"), (size_t)32), text, range->min, range->max);
		return -EINVAL;
	}
	if (number < range->min || number > range->max) {
		pr_err("%s=%llu is out of range, give %llu to %llu\n", range->name, number,
		       range->min, range->max);
		return -EINVAL;
	}
	*value = number;
	return 0;
}

static int tunable_set(const char *text, const struct kernel_param *param)
{
	unsigned long long *value = param->arg;

	if (tmem_tunable_parse(value - parameters.tunable, text, value))
		any_bad = true;
	return 0;
}

static int tunable_get(char *text, const struct kernel_param *param)
{
	return sprintf(text, "%llu\n", *(unsigned long long *)param->arg);
}

static const struct kernel_param_ops tunable_ops = { .set = tunable_set, .get = tunable_get };

#define TUNABLE_PARAM(NAME, name, min, max, initial, meaning)                                      \
	module_param_cb(name, &tunable_ops, &parameters.tunable[TMEM_TUNABLE_##NAME], 0444);       \
	MODULE_PARM_DESC(name, meaning " (" __stringify(min) " to " __stringify(max) ", default "  \
			 __stringify(initial) ")");
TMEM_EVERY_TUNABLE(TUNABLE_PARAM)

static int switch_set(const char *text, const struct kernel_param *param)
{
	if (kstrtobool(text, param->arg)) {
		pr_err("%s=%.32s is out of range, give 0 or 1\n", param->name, text);
		any_bad = true;
	}
	return 0;
}

static const struct kernel_param_ops switch_ops = { .set = switch_set, .get = param_get_bool };

module_param_cb(cleancache, &switch_ops, &parameters.cleancache, 0444);
MODULE_PARM_DESC(cleancache, "keep clean file pages, 0 or 1 (default 1)");
module_param_cb(frontswap, &switch_ops, &parameters.frontswap, 0444);
MODULE_PARM_DESC(frontswap, "keep swapped-out pages, 0 or 1 (default 1)");

module_param_cb(force, &switch_ops, &parameters.force, 0444);
MODULE_PARM_DESC(force, "load on a kernel that tmem was not tested on, 0 or 1 (default 0)");

static int mode_set(const char *text, const struct kernel_param *param)
{
	if (sysfs_streq(text, "auto")) {
		parameters.blockdev = false;
	} else if (sysfs_streq(text, "blockdev")) {
		parameters.blockdev = true;
	} else {
		pr_err("mode=%.32s is unknown, give auto or blockdev\n", text);
		any_bad = true;
	}
	return 0;
}

static int mode_get(char *text, const struct kernel_param *param)
{
	return sprintf(text, "%s\n", parameters.blockdev ? "blockdev" : "auto");
}

static const struct kernel_param_ops mode_ops = { .set = mode_set, .get = mode_get };

module_param_cb(mode, &mode_ops, NULL, 0444);
MODULE_PARM_DESC(mode, "how to get swapped-out pages: auto (hooks), or blockdev (/dev/tmem0, over backing=; default auto)");
module_param_named(backing, parameters.backing, charp, 0444);
MODULE_PARM_DESC(backing, "with mode=blockdev: the block device that takes what tmem does not keep");

static int pam_set(const char *text, const struct kernel_param *param)
{
	if (sysfs_streq(text, "compressed")) {
		parameters.pam = tmem_compressed_pam;
	} else if (sysfs_streq(text, "plain")) {
		parameters.pam = tmem_plain_pam;
	} else {
		pr_err("pam=%.32s is unknown, give compressed or plain\n", text);
		any_bad = true;
	}
	return 0;
}

static int pam_get(char *text, const struct kernel_param *param)
{
	return sprintf(text, "%s\n", parameters.pam == tmem_plain_pam ? "plain" : "compressed");
}

static const struct kernel_param_ops pam_ops = { .set = pam_set, .get = pam_get };

module_param_cb(pam, &pam_ops, NULL, 0444);
MODULE_PARM_DESC(pam, "what keeps the pages: compressed, or plain (an uncompressed example; default compressed)");
