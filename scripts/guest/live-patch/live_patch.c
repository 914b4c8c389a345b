// SPDX-License-Identifier: GPL-2.0
/*
 * live_patch.c - a live patch of one function that tmem redirects, for scripts/guest/check-life and check-refusals.
 *
 * A function can be redirected by one only. Which comes second, this or tmem,
 * must be refused, and say so, and the first must go on working.
 *
 * function= says which; what takes its place does what the original does, or,
 * where that asks zswap, what it does while zswap is off.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/string.h>

struct page;

static char *function = "lock_two_nondirectories";
module_param(function, charp, 0444);
MODULE_PARM_DESC(function, "what to patch: lock_two_nondirectories, zswap_never_enabled or __frontswap_load");

/* Both, each once, in an order that everybody keeps to. */
static void patched_lock(struct inode *one, struct inode *other)
{
	struct inode *first = min(one, other), *second = max(one, other);

	if (first)
		inode_lock(first);
	if (second && second != first)
		inode_lock_nested(second, I_MUTEX_NONDIR2);
}

static bool patched_never_enabled(void)
{
	return false;
}

static int patched_frontswap_load(struct page *page)
{
	return -1;
}

static struct klp_func known[] = {
	{ .old_name = "lock_two_nondirectories", .new_func = patched_lock },
	{ .old_name = "zswap_never_enabled", .new_func = patched_never_enabled },
	{ .old_name = "__frontswap_load", .new_func = patched_frontswap_load },
};

static struct klp_func functions[2];	/* one, and the end */

static struct klp_object objects[] = {
	{ .funcs = functions },	/* without a name: the kernel itself */
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init live_patch_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(known[i].old_name, function))
			functions[0] = known[i];
	return functions[0].old_name ? klp_enable_patch(&patch) : -EINVAL;
}

static void __exit live_patch_exit(void)
{
}

module_init(live_patch_init);
module_exit(live_patch_exit);

MODULE_DESCRIPTION("A live patch for tests of tmem");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
