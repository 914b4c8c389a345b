// SPDX-License-Identifier: GPL-2.0
// A PAM that stores no data: it counts pages and gives out numbers, so that
// what is timed is the index alone. (The peer's PAM does as much.)
#ifndef TMEM_CORE_BENCH_COUNTING_PAM_H
#define TMEM_CORE_BENCH_COUNTING_PAM_H

#include "abi.h"

namespace tmem_bench {

const tmem_pam_ops *counting_pam();

// References to pages in it now, summed over the threads: the pages, when no operation is under way.
long long counted_pages();

}  // namespace tmem_bench

#endif
