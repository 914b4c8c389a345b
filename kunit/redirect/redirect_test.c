// SPDX-License-Identifier: GPL-2.0
/*
 * redirect_test.c - glue/redirect.c on functions of this module's own, for kernels without KUnit.
 *
 * The stock kernels, where functions are redirected, have no KUnit; and what
 * the self-check must refuse is not to be had from their own functions. So this
 * module brings functions that are wrong in one way each, and has
 * glue/redirect.c compiled in, to look at what it says of them. Loading runs
 * it all; each case is a line in the log, "ok NAME" or "not ok NAME: why", and
 * the last line is the count. Loading succeeds whatever they say.
 *
 * Built by make TMEM_TEST=1, run by scripts/guest/check-refusals.
 */
#undef TMEM_OTHER_FUNCTIONS
#define TMEM_OTHER_FUNCTIONS "tmem_test_changed,tmem_test_plain_too"
#include "glue/redirect.c"

#undef pr_fmt
#define pr_fmt(fmt) "tmem_redirect_test: " fmt

#include <linux/linkage.h>

TMEM_HOOK_FAMILY();
static DEFINE_PER_CPU(long, others_inside);

static unsigned int passed, failed;

static void verdict(const char *name, bool good, const char *why)
{
	if (good) {
		passed++;
		pr_info("ok %s\n", name);
	} else {
		failed++;
		pr_info("not ok %s: %s\n", name, why);
	}
}

/* ---- functions to redirect ---- */

static unsigned int calls_of_ours;

/* An ordinary one. Its result tells which of the two was called, and that the original was, once. */
int tmem_test_plain(int number);
noinline int tmem_test_plain(int number)
{
	barrier();
	return number + 1;
}

/* The same again, so that a table can have one that is good before one that is not. */
int tmem_test_other(int number);
noinline int tmem_test_other(int number)
{
	barrier();
	return number + 2;
}

/* Nothing is wrong with it, but the build has named it. */
int tmem_test_changed(int number);
noinline int tmem_test_changed(int number)
{
	barrier();
	return number + 5;
}

/* As a compiler leaves it that makes a copy of a function, or of its larger part, for some of its callers. */
#define FUNCTION_WITH_COPY(name, ending)						\
	int name(int number);								\
	noinline int name(int number) { barrier(); return number + 6; }			\
	int name##_copy(int number) asm(#name ending);					\
	noinline int name##_copy(int number) { barrier(); return number + 7; }

FUNCTION_WITH_COPY(tmem_test_split, ".part.0")
FUNCTION_WITH_COPY(tmem_test_copied, ".constprop.0")
FUNCTION_WITH_COPY(tmem_test_reduced, ".isra.0")

/* A second name of tmem_test_plain: an address cannot tell which of the two was meant. */
extern int tmem_test_plain_alias(int number) __attribute__((alias("tmem_test_plain")));

/* Never given the five bytes: notrace, and begins otherwise. */
int tmem_test_untraced(int number);
noinline notrace int tmem_test_untraced(int number)
{
	asm volatile("xchg %%rax, %%rax; xchg %%rax, %%rax; xchg %%rax, %%rax; xchg %%rax, %%rax" ::: "memory");
	return number + 3;
}

/* Begins with five bytes that look like a call to a tracer's trampoline; ftrace knows nothing of it. */
int tmem_test_imitation(int number);
asm(".pushsection .text\n"
    ".globl tmem_test_imitation\n"
    ".type tmem_test_imitation, @function\n"
    "tmem_test_imitation:\n"
    "	.byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
    "	lea 4(%rdi), %eax\n"
    "	" ASM_RET "\n"
    ".size tmem_test_imitation, . - tmem_test_imitation\n"
    ".popsection\n");

TMEM_ORIGINAL(int, tmem_test_plain, (int number));
static int our_tmem_test_plain(int number)
{
	int result;

	tmem_hook_enter();
	calls_of_ours++;
	result = static_call(original_tmem_test_plain)(number) + 100;
	tmem_hook_leave();
	return result;
}

TMEM_ORIGINAL(int, tmem_test_other, (int number));
static int our_tmem_test_other(int number)
{
	int result;

	tmem_hook_enter();
	result = static_call(original_tmem_test_other)(number) + 100;
	tmem_hook_leave();
	return result;
}

static void set_nothing(void *address)
{
}

/* ---- what is refused ---- */

/* One function alone: is it refused with that error, and in these words? */
static void expect_refusal(const char *test, const char *function, int wanted_error, const char *wanted)
{
	struct tmem_redirect redirect = {
		.name = function, .ours = our_tmem_test_plain, .set_original = set_nothing,
	};
	char why[128] = "", told[256];
	int error = tmem_redirect_arm(&redirect, 1, why, sizeof(why));

	snprintf(told, sizeof(told), "error %d, \"%s\"", -error, why);
	verdict(test, error == wanted_error && !redirect.armed && !strncmp(why, wanted, strlen(wanted)) &&
		      !strchr(why, '\n'), told);
	tmem_redirect_disarm(&redirect, 1);
	tmem_hooks_quiesce();
}

static void test_refusals(void)
{
	expect_refusal("a function that is not there", "tmem_test_nowhere", -ENOENT,
		       "this kernel has no function tmem_test_nowhere (error 2)");
	expect_refusal("a name that leads to another function", "tmem_test_plain_alias", -ENOENT,
		       "tmem_test_plain_alias is at tmem_test_plain+0x");
	expect_refusal("entry bytes that are not ftrace's", "tmem_test_untraced", -ENOENT,
		       "tmem_test_untraced does not begin as a traceable function: ");
	expect_refusal("entry bytes that only look so", "tmem_test_imitation", -EINVAL,
		       "tmem_test_imitation cannot be traced (error 22)");
	expect_refusal("another prototype", "tmem_test_changed", -EPROTOTYPE,
		       "tmem_test_changed has another prototype, or other callers, than this was built for");
	expect_refusal("a function that was split", "tmem_test_split", -ENOTUNIQ,
		       "tmem_test_split has a copy, tmem_test_split.part.0, whose callers would be missed");
	expect_refusal("one with a copy for a constant argument", "tmem_test_copied", -ENOTUNIQ,
		       "tmem_test_copied has a copy, tmem_test_copied.constprop.0, whose callers would be missed");
	expect_refusal("one with a copy for fewer arguments", "tmem_test_reduced", -ENOTUNIQ,
		       "tmem_test_reduced has a copy, tmem_test_reduced.isra.0, whose callers would be missed");
}

static void test_lists(void)
{
	static const char list[] = "read_pages,read,clear_inode";

	verdict("names in a list", is_in_list(list, "read_pages") && is_in_list(list, "read") && is_in_list(list, "clear_inode"),
		"one is not found");
	verdict("parts of names are not", !is_in_list(list, "pages") && !is_in_list(list, "clear") && !is_in_list(list, "rea") &&
		!is_in_list(list, "inode") && !is_in_list("", "read") && !is_in_list(NULL, "read"), "one is found");
}

static void test_somebody_else(void)
{
	struct tmem_redirect first = TMEM_REDIRECT(tmem_test_plain), second = TMEM_REDIRECT(tmem_test_plain);
	char why[128] = "";
	int error = tmem_redirect_arm(&first, 1, why, sizeof(why));

	verdict("a function is redirected", !error && tmem_test_plain(1) == 102, why);
	error = tmem_redirect_arm(&second, 1, why, sizeof(why));
	verdict("somebody else is on it",
		error == -EBUSY && !second.armed &&
		!strcmp(why, "tmem_test_plain is redirected by somebody else (a live patch?)"), why);
	verdict("who was first goes on", tmem_test_plain(1) == 102, "calls do not come to the first");
	tmem_redirect_disarm(&first, 1);
	verdict("given back", tmem_test_plain(1) == 2, "calls still come to us");
	error = tmem_redirect_arm(&second, 1, why, sizeof(why));
	verdict("then the second has it", !error && tmem_test_plain(1) == 102, why);
	tmem_redirect_disarm(&second, 1);
	tmem_hooks_quiesce();
}

/* A family is armed in order, and stops at the first that is wrong. */
static void test_family(void)
{
	struct tmem_redirect family[] = {
		TMEM_REDIRECT(tmem_test_plain),
		{ .name = "tmem_test_nowhere", .ours = our_tmem_test_plain, .set_original = set_nothing },
		TMEM_REDIRECT(tmem_test_other),
	};
	char why[128] = "";
	int error = tmem_redirect_arm(family, ARRAY_SIZE(family), why, sizeof(why));

	verdict("a family stops at the first that is wrong",
		error == -ENOENT && family[0].armed && !family[1].armed && !family[2].armed &&
		tmem_test_plain(1) == 102 && tmem_test_other(1) == 3, why);
	tmem_redirect_disarm(family, ARRAY_SIZE(family));
	tmem_hooks_quiesce();
	verdict("and leaves nothing behind", tmem_test_plain(1) == 2 && tmem_test_other(1) == 3 && !inside(&hooks_inside),
		"calls still come to us");
}

/* Each family waits for its own tasks, wherever they came in and went out. A wait that is not over hangs here. */
static void test_quiesce(void)
{
	const unsigned int first = cpumask_first(cpu_possible_mask), last = cpumask_last(cpu_possible_mask);

	tmem_hook_enter();
	tmem_redirect_quiesce(&others_inside);
	verdict("a family does not wait for another's tasks", inside(&hooks_inside) == 1, "the count is wrong");
	tmem_hook_leave();
	per_cpu(others_inside, first)++;
	verdict("a task that is inside is seen", inside(&others_inside) == 1, "the count is wrong");
	per_cpu(others_inside, last)--;
	tmem_redirect_quiesce(&others_inside);
	verdict("one that came on one CPU and left on another is out", !inside(&others_inside), "the count is wrong");
}

static void test_probe(void)
{
	struct tmem_probe probe = { .name = "tmem_test_no_point", .ours = set_nothing };
	char why[128] = "";
	int error = tmem_probe_arm(&probe, 1, why, sizeof(why));

	verdict("a tracepoint that is not there",
		error == -ENOENT && !probe.point && !strcmp(why, "this kernel has no tracepoint tmem_test_no_point"), why);
	tmem_probe_disarm(&probe, 1);
}

static int __init redirect_test_init(void)
{
	test_lists();
	test_refusals();
	test_somebody_else();
	test_family();
	test_quiesce();
	test_probe();
	pr_info("%u passed, %u failed\n", passed, failed);
	return 0;
}

static void __exit redirect_test_exit(void)
{
}

module_init(redirect_test_init);
module_exit(redirect_test_exit);

MODULE_DESCRIPTION("Tests of how tmem redirects functions");
MODULE_LICENSE("GPL");
