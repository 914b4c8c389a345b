// SPDX-License-Identifier: GPL-2.0
// Hashing a handle. (pool, object id) gives two halves, which do not wait for
// each other; from them comes the object's hash, and with a leaf's number the
// leaf's, one step further: the number is mixed while the halves are. Each of the
// 192 + 64 bits, and their order, reaches every bit of the result. The
// 64x64->128 multiply-and-fold step is the idea of Wang Yi's wyhash; the seed is
// the host's, so an outsider who may choose object ids cannot aim at one bucket.
#ifndef TMEM_CORE_BASE_HASH_H
#define TMEM_CORE_BASE_HASH_H

#include "types.h"

namespace tmem {

class HandleHash {
 public:
  constexpr explicit HandleHash(u64 seed)
      : key_{fold(seed ^ kOdd[0], kOdd[1]), fold(seed ^ kOdd[2], kOdd[3]),
             fold(seed ^ kOdd[1], kOdd[0]), fold(seed ^ kOdd[3], kOdd[2])} {}

  struct Halves {
    u64 left, right;
  };
  [[gnu::always_inline]] constexpr Halves halves(u32 pool_serial, const Oid &oid) const {
    return {fold(oid.word[0] ^ key_[0], oid.word[1] ^ key_[1]),
            fold(oid.word[2] ^ key_[2], pool_serial ^ key_[3])};
  }
  [[gnu::always_inline]] constexpr u64 of_object(const Halves &object) const {
    return fold(object.left ^ key_[1], object.right ^ key_[0]);
  }
  // Two multiplications for the number: consecutive ones must not stay neighbours.
  [[gnu::always_inline]] constexpr u64 of_leaf(const Halves &object, u64 base) const {
    return fold(object.left ^ base * kOdd[3], object.right ^ key_[2]);
  }

 private:
  // A factor of zero would erase the other one: each has a key in it that nobody knows.
  [[gnu::always_inline]] static constexpr u64 fold(u64 a, u64 b) {
    __extension__ using u128 = unsigned __int128;
    const u128 product = static_cast<u128>(a) * b;
    return static_cast<u64>(product) ^ static_cast<u64>(product >> 64);
  }

  // Odd constants with about as many ones as zeros (digits of pi, made odd).
  static constexpr u64 kOdd[4] = {0x243f6a8885a308d3, 0x13198a2e03707345, 0xa4093822299f31d1,
                                  0x082efa98ec4e6c89};

  u64 key_[4];
};

}  // namespace tmem

#endif
