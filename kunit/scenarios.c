// SPDX-License-Identifier: GPL-2.0
/* The scenarios as one translation unit, for the kernel and the host alike. */
#include "scenarios/content.c"
#include "scenarios/environment.c"
#include "scenarios/test_pam.c"

#include "scenarios/contract.c"
#include "scenarios/pam.c"
#include "scenarios/store.c"
#include "scenarios/same_filled.c"
#include "scenarios/eviction.c"
#include "scenarios/failures.c"
#include "scenarios/life_cycle.c"
#include "scenarios/concurrent.c"
