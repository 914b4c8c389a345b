// SPDX-License-Identifier: GPL-2.0
// Pages of one repeated 64-bit word (most often zero) are worth no store: the
// word itself is kept in the index. The idea is zram's and zswap's.
#ifndef TMEM_CORE_ENGINE_SAME_FILLED_H
#define TMEM_CORE_ENGINE_SAME_FILLED_H

#include "../base/types.h"

namespace tmem {

inline u64 load_word(const void *page, u32 number) {
  u64 word;
  __builtin_memcpy(&word, static_cast<const u8 *>(page) + number * sizeof(word), sizeof(word));
  return word;
}

// Most pages differ in the first two words. Then from front to back, as the compressor will read them: a look at the last
// word would wait for memory alone. Eight words at a time: one branch for each word would take twice as long.
inline bool is_same_filled(const void *page, u64 *word) {
  constexpr u32 kStep = 8;
  static_assert(kWordsPerPage % kStep == 0);
  const u64 first = load_word(page, 0);
  if (load_word(page, 1) != first) return false;
  for (u32 i = 0; i < kWordsPerPage; i += kStep) {
    u64 different = 0;
#pragma GCC unroll 8
    for (u32 j = 0; j < kStep; ++j) different |= load_word(page, i + j) ^ first;
    if (different) return false;
  }
  *word = first;
  return true;
}

inline void fill(void *page, u64 word) {
  // One byte throughout, which is most often zero: memset is the fastest there is.
  if (word == (word & 0xff) * 0x0101010101010101ull) {
    __builtin_memset(page, static_cast<int>(word & 0xff), kPageBytes);
    return;
  }
  for (u32 i = 0; i < kWordsPerPage; ++i)
    __builtin_memcpy(static_cast<u8 *>(page) + i * sizeof(word), &word, sizeof(word));
}

}  // namespace tmem

#endif
