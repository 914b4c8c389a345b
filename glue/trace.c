// SPDX-License-Identifier: GPL-2.0
/*
 * trace.c - the bodies of the trace events that trace.h declares.
 */
#ifndef NOTRACE
#define CREATE_TRACE_POINTS
#endif
#include "trace.h"
