// SPDX-License-Identifier: GPL-2.0
// An address and ten bits beside it, in one 64-bit word that is never 0.
//
//   63                  10 9        0
//   ┌─────────────────────┬──────────┐
//   │ address bits 56..3  │  beside  │
//   └─────────────────────┴──────────┘
//
// What it points to is aligned to 8, and the topmost seven bits of an address
// only repeat the next one, in kernels with 57-bit addresses too.
#ifndef TMEM_CORE_BASE_PACKED_H
#define TMEM_CORE_BASE_PACKED_H

#include "types.h"

namespace tmem {

template <typename T>
class Packed {
 public:
  static constexpr u32 kBesideBits = 10;
  static constexpr u32 kBesideMask = (1u << kBesideBits) - 1;

  Packed(const T &item, u32 beside)
      : bits_(static_cast<u64>(reinterpret_cast<uptr>(&item)) << kShift | beside) {
    static_assert(alignof(T) >= 8);
    TMEM_ASSERT(beside <= kBesideMask);
  }
  explicit constexpr Packed(u64 bits) : bits_(bits) {}

  T *address() const {
    return reinterpret_cast<T *>(static_cast<uptr>(static_cast<long long>(bits_) >> kShift) & ~uptr{7});
  }
  u32 beside() const { return static_cast<u32>(bits_) & kBesideMask; }
  u64 bits() const { return bits_; }

 private:
  static constexpr u32 kShift = 7;

  u64 bits_;
};

}  // namespace tmem

#endif
