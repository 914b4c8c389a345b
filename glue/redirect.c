// SPDX-License-Identifier: GPL-2.0
/*
 * redirect.c - arming and disarming what redirect.h describes.
 *
 * Addresses. A module cannot look a symbol up, but a kprobe is placed by name:
 * one that is registered disabled, so that nothing is patched, and removed at
 * once tells the address. It may already lie behind an ENDBR instruction.
 *
 * The self-check before a function is touched: the name is found, the address
 * is that of the function's beginning and not of something inside, and the
 * five bytes are what ftrace leaves or makes there. And the compiler has made no
 * copy of it for some of its callers, whose calls would go past us: copies
 * have the function's name with an ending, and are looked for by that.
 *
 * What is not looked at here is told by the build, which names functions that
 * are others than we were written for (TMEM_OTHER_FUNCTIONS): scripts/check-btf
 * compares prototypes, scripts/check-callers whether each caller still has its
 * calls. Prototypes are not to be had here. Callers would be, one by one and by
 * name (a look-up takes 0.1 ms on an emulated 6.1), but static functions share
 * names, a compiler renames them, and what nobody has looked at would be a
 * refusal on a user's machine. So a module that was built for one image and is
 * loaded on another, which an unchanged ABI allows, has its callers unseen.
 *
 * Whether somebody else has redirected the function is ftrace's to say when the
 * operation is registered. It says "busy" for that, and says the same of a
 * permanent operation while it is switched off (kernel.ftrace_enabled, before
 * 7.x). So what is busy is asked once more, by an operation that is permanent
 * and changes nothing: if that one is refused too, nobody else is there.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"

#ifdef TMEM_REDIRECTS

#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "redirect.h"

#define ENDBR_BYTES 4

/* From the build: functions, comma separated. */
#ifndef TMEM_OTHER_FUNCTIONS
#define TMEM_OTHER_FUNCTIONS ""
#endif

#define TMEM_PROBES_MAX 8

/* Whether a comma separated list has a name. */
static bool is_in_list(const char *list, const char *name)
{
	size_t bytes = strlen(name);
	const char *at = list;

	while (at && (at = strstr(at, name))) {
		if ((at == list || at[-1] == ',') && (!at[bytes] || at[bytes] == ','))
			return true;
		at += bytes;
	}
	return false;
}

#ifdef TMEM_DEBUG

static char *leave_out;
module_param(leave_out, charp, 0444);
MODULE_PARM_DESC(leave_out, "hooks and rules not to apply, comma separated: shows that a test notices");

/**
 * tmem_left_out - whether the user asked to do without something
 * @name: a hook's or a rule's
 *
 * Context: Any.
 * Return: Whether leave_out= names it.
 */
bool tmem_left_out(const char *name)
{
	return is_in_list(leave_out, name);
}

#endif

static void notrace handler(unsigned long site, unsigned long caller, struct ftrace_ops *operation,
			    struct ftrace_regs *registers)
{
	const struct tmem_redirect *redirect = container_of(operation, struct tmem_redirect, operation);

	tmem_ftrace_return_to(registers, (unsigned long)redirect->ours);
}

static bool is_ftrace_site(const u8 *bytes)
{
	static const u8 nop[MCOUNT_INSN_SIZE] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };

	/* Or already a call, or a jump, to a tracer's trampoline. */
	return !memcmp(bytes, nop, sizeof(nop)) || bytes[0] == 0xe8 || bytes[0] == 0xe9;
}

/* Finds the five bytes of @name; 0 and a reason in @why if they are not what they should be. */
static unsigned long find_site(const char *name, char *why, size_t why_bytes)
{
	struct kprobe probe = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	char symbol[KSYM_SYMBOL_LEN];
	size_t bytes = strlen(name);
	unsigned long address;
	int error = register_kprobe(&probe);

	if (error) {
		snprintf(why, why_bytes, "this kernel has no function %s (error %d)", name, -error);
		return 0;
	}
	address = (unsigned long)probe.addr;
	unregister_kprobe(&probe);

	sprint_symbol(symbol, address);
	if (strncmp(symbol, name, bytes) ||
	    (strncmp(symbol + bytes, "+0x0/", 5) && strncmp(symbol + bytes, "+0x4/", 5))) {
		snprintf(why, why_bytes, "%s is at %.64s", name, symbol);
		return 0;
	}
	if (is_ftrace_site((const u8 *)address))
		return address;
	if (is_ftrace_site((const u8 *)address + ENDBR_BYTES))
		return address + ENDBR_BYTES;
	snprintf(why, why_bytes, "%s does not begin as a traceable function: %*ph", name,
		 ENDBR_BYTES + MCOUNT_INSN_SIZE, (void *)address);
	return 0;
}

/* Whether the build has found @name to be what we were written for. */
static bool is_other(const char *name, char *why, size_t why_bytes)
{
	if (!is_in_list(TMEM_OTHER_FUNCTIONS, name))
		return false;
	snprintf(why, why_bytes, "%s has another prototype, or other callers, than this was built for", name);
	return true;
}

/**
 * tmem_find_function - where a function of the kernel is that is called, not redirected
 * @name: the function's
 * @why: on failure, one line without a newline
 * @why_bytes: size of @why
 *
 * What is told is the place of its five bytes: a direct call to it (a static call) is one of the
 * function, with whatever tracers and live patches have there.
 *
 * Context: Process context. May sleep.
 * Return: An address to call, or NULL.
 */
void *tmem_find_function(const char *name, char *why, size_t why_bytes)
{
	return is_other(name, why, why_bytes) ? NULL : (void *)find_site(name, why, why_bytes);
}

static void notrace look_on(unsigned long site, unsigned long caller, struct ftrace_ops *operation,
			    struct ftrace_regs *registers)
{
}

/* Whether ftrace refuses any permanent operation, and not just one that sends a function's calls elsewhere. */
static bool ftrace_is_off(unsigned long site)
{
	static struct ftrace_ops permanent = { .func = look_on, .flags = FTRACE_OPS_FL_PERMANENT };
	int error = ftrace_set_filter_ip(&permanent, site, 0, 0);

	if (error)
		return false;
	error = register_ftrace_function(&permanent);
	if (!error)
		unregister_ftrace_function(&permanent);
	ftrace_set_filter_ip(&permanent, site, 1, 0);
	return error == -EBUSY;
}

static void explain_refusal(const struct tmem_redirect *redirect, int error, char *why, size_t why_bytes)
{
	if (error == -EBUSY && !tmem_left_out("ftrace_is_off") && ftrace_is_off(redirect->site))
		snprintf(why, why_bytes, "ftrace is switched off: sysctl kernel.ftrace_enabled=1 first");
	else if (error == -EBUSY)
		snprintf(why, why_bytes, "%s is redirected by somebody else (a live patch?)", redirect->name);
	else if (error == -ENODEV)
		snprintf(why, why_bytes, "ftrace has shut itself down after an error of its own; only a restart of the machine helps");
	else
		snprintf(why, why_bytes, "%s cannot be redirected (error %d)", redirect->name, -error);
}

/* Whether the compiler has split the function, or made a copy of it; and its name. */
static bool has_copy(const char *name, char *copy, size_t copy_bytes)
{
	static const char *const endings[] = { ".part.0", ".constprop.0", ".isra.0" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		struct kprobe probe = { .symbol_name = copy, .flags = KPROBE_FLAG_DISABLED };
		int error;

		snprintf(copy, copy_bytes, "%s%s", name, endings[i]);
		error = register_kprobe(&probe);
		if (!error)
			unregister_kprobe(&probe);
		/* Any other error is about something that is there. */
		if (error != -ENOENT)
			return true;
	}
	return false;
}

static int arm_one(struct tmem_redirect *redirect, char *why, size_t why_bytes)
{
	char copy[64];
	int error;

	if (is_other(redirect->name, why, why_bytes))
		return -EPROTOTYPE;
	redirect->site = find_site(redirect->name, why, why_bytes);
	if (!redirect->site)
		return -ENOENT;
	if (has_copy(redirect->name, copy, sizeof(copy))) {
		snprintf(why, why_bytes, "%s has a copy, %s, whose callers would be missed",
			 redirect->name, copy);
		return -ENOTUNIQ;
	}
	redirect->set_original((void *)(redirect->site + MCOUNT_INSN_SIZE));
	redirect->operation.func = handler;
	redirect->operation.flags = FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT;
	error = ftrace_set_filter_ip(&redirect->operation, redirect->site, 0, 0);
	if (error) {
		snprintf(why, why_bytes, "%s cannot be traced (error %d)", redirect->name, -error);
		return error;
	}
	error = register_ftrace_function(&redirect->operation);
	if (error) {
		ftrace_set_filter_ip(&redirect->operation, redirect->site, 1, 0);
		explain_refusal(redirect, error, why, why_bytes);
		return error;
	}
	redirect->armed = true;
	return 0;
}

/**
 * tmem_redirect_arm - let the calls of some functions come to us, in their order
 * @redirects: what to arm
 * @count: how many
 * @why: on failure, one line without a newline
 * @why_bytes: size of @why
 *
 * Calls may come before this returns.
 *
 * Context: Process context. May sleep.
 * Return: 0, or a negative errno value and those that had been armed still are:
 * the caller disarms and quiesces.
 */
int tmem_redirect_arm(struct tmem_redirect *redirects, unsigned int count, char *why,
		      size_t why_bytes)
{
	unsigned int i;
	int error = 0;

	for (i = 0; !error && i < count; i++) {
		if (tmem_left_out(redirects[i].name))
			pr_warn("%s is left out\n", redirects[i].name);
		else
			error = arm_one(&redirects[i], why, why_bytes);
	}
	return error;
}

/**
 * tmem_redirect_disarm - no further call is sent to us, last armed first
 * @redirects: some may not be armed
 * @count: how many
 *
 * Calls are still under way: see tmem_redirect_quiesce().
 *
 * Context: Process context. May sleep.
 */
void tmem_redirect_disarm(struct tmem_redirect *redirects, unsigned int count)
{
	while (count--) {
		struct tmem_redirect *redirect = &redirects[count];

		if (!redirect->armed)
			continue;
		if (unregister_ftrace_function(&redirect->operation)) {
			/* ftrace has switched itself off for good: calls go on coming, so our text must stay. */
			pr_emerg("%s cannot be given back, ftrace is out of order; tmem stays until the machine is restarted\n",
				 redirect->name);
			for (;;)
				schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);
		}
		ftrace_set_filter_ip(&redirect->operation, redirect->site, 1, 0);
		redirect->armed = false;
	}
}

struct probe_search {
	struct tmem_probe *probes;
	unsigned int count;
};

static void match_probe(struct tracepoint *point, void *data)
{
	const struct probe_search *search = data;
	unsigned int i;

	for (i = 0; i < search->count; i++)
		if (!strcmp(point->name, search->probes[i].name))
			search->probes[i].point = point;
}

/**
 * tmem_probe_arm - let some tracepoints call us
 * @probes: what to arm
 * @count: how many
 * @why: on failure, one line without a newline
 * @why_bytes: size of @why
 *
 * Context: Process context. May sleep.
 * Return: 0, or a negative errno value and those that had been armed still are.
 */
int tmem_probe_arm(struct tmem_probe *probes, unsigned int count, char *why, size_t why_bytes)
{
	struct probe_search search = { probes, count };
	struct tracepoint *points[TMEM_PROBES_MAX];
	unsigned int i;

	if (WARN_ON(count > TMEM_PROBES_MAX))
		return -E2BIG;
	for_each_kernel_tracepoint(match_probe, &search);
	for (i = 0; i < count; i++) {
		points[i] = probes[i].point;
		probes[i].point = NULL;
	}
	for (i = 0; i < count; i++) {
		struct tracepoint *point = points[i];
		int error;

		if (tmem_left_out(probes[i].name)) {
			pr_warn("%s is left out\n", probes[i].name);
			continue;
		}
		if (!point) {
			snprintf(why, why_bytes, "this kernel has no tracepoint %s", probes[i].name);
			return -ENOENT;
		}
		error = tracepoint_probe_register(point, probes[i].ours, NULL);
		if (error) {
			snprintf(why, why_bytes, "tracepoint %s refuses a probe (error %d)",
				 probes[i].name, -error);
			return error;
		}
		probes[i].point = point;
	}
	return 0;
}

/**
 * tmem_probe_disarm - take the probes away, last armed first
 * @probes: some may not be armed
 * @count: how many
 *
 * Context: Process context. May sleep. No probe is running when this returns.
 */
void tmem_probe_disarm(struct tmem_probe *probes, unsigned int count)
{
	while (count--) {
		if (!probes[count].point)
			continue;
		tracepoint_probe_unregister(probes[count].point, probes[count].ours, NULL);
		probes[count].point = NULL;
	}
	tracepoint_synchronize_unregister();
}

static long inside(const long __percpu *count)
{
	unsigned int cpu;
	long sum = 0;

	/*
	 * Whoever enters on one CPU may leave on another. Nobody enters any
	 * more, so every number only falls while it is read, and a sum of zero
	 * is true.
	 */
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(count, cpu));
	return sum;
}

/**
 * tmem_redirect_quiesce - wait until no task is in any function of a family
 * @count: the family's; see tmem_hooks_quiesce()
 *
 * All of the family has been disarmed.
 *
 * Context: Process context. Sleeps, for as long as the slowest original takes.
 */
void tmem_redirect_quiesce(const long __percpu *count)
{
	synchronize_rcu_tasks();
	while (inside(count))
		msleep(10);
	synchronize_rcu_tasks();
}

#endif /* TMEM_REDIRECTS */
