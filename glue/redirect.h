/* SPDX-License-Identifier: GPL-2.0 */
/*
 * redirect.h - calls of a kernel function arrive here instead.
 *
 * For kernels without hooks. Every traceable function begins with five bytes
 * that ftrace may turn into a call; an ftrace operation that is allowed to
 * change where that call returns to (IPMODIFY: what live patching uses) sends
 * the caller to our function, with the arguments as they were. Ours calls the
 * original by jumping in behind those five bytes:
 *
 *	caller ──> clear_inode:   call trampoline ──> handler: "return to ours"
 *	                       ┌─ (rest of it) <───────┐           │
 *	                       │                       │           v
 *	caller <───────────────┘             original_clear_inode <── ours
 *
 * That call is a static call, patched to be direct: neither a retpoline nor
 * indirect branch tracking is in the way, and it cannot meet our own hook.
 * One operation per function, so that each stands alone; the kernel allows one
 * IPMODIFY operation on a function, so a live patch and we exclude each other,
 * while tracers and kprobes go on working. PERMANENT: nobody can switch ftrace
 * off while we are there.
 *
 * What a family does:
 *
 *	TMEM_HOOK_FAMILY();
 *	TMEM_ORIGINAL(void, clear_inode, (struct inode *inode));
 *	static void our_clear_inode(struct inode *inode)
 *	{
 *		tmem_hook_enter();
 *		...
 *		static_call(original_clear_inode)(inode);
 *		tmem_hook_leave();
 *	}
 *	static struct tmem_redirect hooks[] = { TMEM_REDIRECT(clear_inode), ... };
 *
 * Unloading. A task may be anywhere in our text when a hook is taken away, even
 * between the trampoline and the first instruction of ours. So, after the last
 * hook of the family is gone: wait until every task has left the trampolines (it has then
 * entered, and is counted, or is out), until the count of those inside is
 * zero, and until every task has left the last instructions behind the count.
 *
 * There is no policy here, and nothing about pages.
 */
#ifndef TMEM_GLUE_REDIRECT_H
#define TMEM_GLUE_REDIRECT_H

#include <linux/ftrace.h>
#include <linux/percpu.h>
#include <linux/static_call.h>
#include <linux/tracepoint.h>
#include <linux/types.h>

#include "left_out.h"

/**
 * struct tmem_redirect - one function of the kernel whose calls come to us
 * @name: the function's
 * @ours: takes its place; same prototype
 * @set_original: points the static call at the original
 * @site: address of the five bytes, once armed
 * @operation: ftrace's
 * @armed: calls come to us
 */
struct tmem_redirect {
	const char *name;
	void *ours;
	void (*set_original)(void *address);
	unsigned long site;
	struct ftrace_ops operation;
	bool armed;
};

/**
 * struct tmem_probe - one tracepoint of the kernel that calls us
 * @name: the tracepoint's
 * @ours: called with a first argument of NULL, then the tracepoint's own
 * @point: once armed
 */
struct tmem_probe {
	const char *name;
	void *ours;
	struct tracepoint *point;
};

/* Declares original_NAME for static_call(). A call before the hook is armed would be lost: there is none. */
#define TMEM_ORIGINAL(type, name, arguments)						\
	extern type tmem_prototype_##name arguments;					\
	DEFINE_STATIC_CALL_NULL(original_##name, tmem_prototype_##name);		\
	static void set_original_##name(void *address)					\
	{										\
		static_call_update(original_##name, (typeof(&tmem_prototype_##name))address); \
	}										\
	static type our_##name arguments

#define TMEM_REDIRECT(function)								\
	{ .name = #function, .ours = our_##function, .set_original = set_original_##function }

void *tmem_find_function(const char *name, char *why, size_t why_bytes);
int tmem_redirect_arm(struct tmem_redirect *redirects, unsigned int count, char *why,
		      size_t why_bytes);
void tmem_redirect_disarm(struct tmem_redirect *redirects, unsigned int count);

int tmem_probe_arm(struct tmem_probe *probes, unsigned int count, char *why, size_t why_bytes);
void tmem_probe_disarm(struct tmem_probe *probes, unsigned int count);

/* ---- who is inside ---- */

/*
 * Each family counts its own: one that goes, or that could not be attached, waits
 * for its own tasks to leave, while those of another may come and go for ever.
 * Who enters on one CPU may leave on another, so a CPU's number may be negative.
 */
#define TMEM_HOOK_FAMILY() static DEFINE_PER_CPU(long, hooks_inside)

/* First and last in each function that takes the place of another. Any context. */
#define tmem_hook_enter() this_cpu_inc(hooks_inside)
#define tmem_hook_leave() this_cpu_dec(hooks_inside)

void tmem_redirect_quiesce(const long __percpu *count);
#define tmem_hooks_quiesce() tmem_redirect_quiesce(&hooks_inside)

#endif /* TMEM_GLUE_REDIRECT_H */
