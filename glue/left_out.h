/* SPDX-License-Identifier: GPL-2.0 */
/*
 * left_out.h - leaving a hook or a rule out, or having a step fail, to show that a test notices.
 *
 * leave_out= of a TMEM_DEBUG build, where functions are redirected; anywhere
 * else nothing is ever left out, and nothing of this remains.
 */
#ifndef TMEM_GLUE_LEFT_OUT_H
#define TMEM_GLUE_LEFT_OUT_H

#include <linux/types.h>

#include "compat.h"

#if defined(TMEM_DEBUG) && defined(TMEM_REDIRECTS)
bool tmem_left_out(const char *name);
#else
static inline bool tmem_left_out(const char *name)
{
	return false;
}
#endif

#endif /* TMEM_GLUE_LEFT_OUT_H */
