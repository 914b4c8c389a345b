// SPDX-License-Identifier: GPL-2.0
/*
 * live_patch.c - a live patch of one function that tmem redirects, for scripts/guest/check-life.
 *
 * A function can be redirected by one only. Which comes second, this or tmem,
 * must be refused, and say so, and the first must go on working.
 */
#include <linux/fs.h>
#include <linux/livepatch.h>
#include <linux/module.h>

/* Does what the original does: both, each once, in an order that everybody keeps to. */
static void patched_lock(struct inode *one, struct inode *other)
{
	struct inode *first = min(one, other), *second = max(one, other);

	if (first)
		inode_lock(first);
	if (second && second != first)
		inode_lock_nested(second, I_MUTEX_NONDIR2);
}

static struct klp_func functions[] = {
	{ .old_name = "lock_two_nondirectories", .new_func = patched_lock },
	{ }
};

static struct klp_object objects[] = {
	{ .funcs = functions },	/* without a name: the kernel itself */
	{ }
};

static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };

static int __init live_patch_init(void)
{
	return klp_enable_patch(&patch);
}

static void __exit live_patch_exit(void)
{
}

module_init(live_patch_init);
module_exit(live_patch_exit);

MODULE_DESCRIPTION("A live patch for tests of tmem");
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
