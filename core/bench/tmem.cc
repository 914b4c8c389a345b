// SPDX-License-Identifier: GPL-2.0
// The core and the hottest part of the host in one translation unit, so that
// locks are inlined as they are in a program that has its own.
#include "inline_host.h"

#include "../core.cc"
