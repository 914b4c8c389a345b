// SPDX-License-Identifier: GPL-2.0
// Pages of this very machine, programs, libraries and text, that compress to 85 % at
// most, which is what the store admits of file pages. Found once; at least 64.
#ifndef TMEM_CORE_BENCH_REAL_PAGES_H
#define TMEM_CORE_BENCH_REAL_PAGES_H

#include <vector>

#include "abi.h"

namespace tmem_bench {

struct alignas(TMEM_PAGE_BYTES) Page {
  unsigned char bytes[TMEM_PAGE_BYTES];
};

const std::vector<Page> &real_pages();

}  // namespace tmem_bench

#endif
