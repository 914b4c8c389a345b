// SPDX-License-Identifier: GPL-2.0
// Hashing a handle: each of the 192 + 64 bits, and their order, reaches every
// bit of the result. The 64x64->128 multiply-and-fold step is the idea of
// Wang Yi's wyhash; the seed is the host's, so an outsider who may choose
// object ids cannot aim at one bucket.
#ifndef TMEM_CORE_BASE_HASH_H
#define TMEM_CORE_BASE_HASH_H

#include "types.h"

namespace tmem {

class Hash {
 public:
  constexpr explicit Hash(u64 seed) : state_(seed ^ kOdd[0]) {}

  constexpr Hash &add(u64 value) {
    state_ = fold(state_ ^ value ^ kOdd[1], kOdd[2] + (state_ >> 32));
    return *this;
  }
  constexpr Hash &add(const Oid &oid) { return add(oid.word[0]).add(oid.word[1]).add(oid.word[2]); }
  constexpr u64 finish() const { return fold(state_ ^ kOdd[3], kOdd[1]); }

 private:
  static constexpr u64 fold(u64 a, u64 b) {
    __extension__ using u128 = unsigned __int128;
    const u128 product = static_cast<u128>(a) * b;
    // Adding the inputs keeps a zero factor from erasing the other one.
    return (static_cast<u64>(product) ^ static_cast<u64>(product >> 64)) + (a ^ (b << 1));
  }

  // Odd constants with about as many ones as zeros (digits of pi, made odd).
  static constexpr u64 kOdd[4] = {0x243f6a8885a308d3, 0x13198a2e03707345, 0xa4093822299f31d1,
                                  0x082efa98ec4e6c89};

  u64 state_;
};

}  // namespace tmem

#endif
