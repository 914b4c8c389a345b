// SPDX-License-Identifier: GPL-2.0
/*
 * trace.c - the bodies of the trace events that trace.h declares.
 */
#define CREATE_TRACE_POINTS
#include "trace.h"
