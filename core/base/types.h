// SPDX-License-Identifier: GPL-2.0
// Integers, the strong types of a handle, and what little of a standard
// library the core needs. Everything here is constexpr or a builtin: nothing
// is imported but memcpy, memmove, memset and memcmp.
#ifndef TMEM_CORE_BASE_TYPES_H
#define TMEM_CORE_BASE_TYPES_H

#include "../abi.h"

namespace tmem {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;
using uptr = unsigned long;

static_assert(sizeof(u32) == 4 && sizeof(u64) == 8 && sizeof(uptr) == sizeof(void *));
static_assert(sizeof(void *) == 8, "the core packs 64-bit words: LP64 only");

inline constexpr u32 kPageBytes = TMEM_PAGE_BYTES;
inline constexpr u32 kWordsPerPage = kPageBytes / sizeof(u64);

// The second and third part of a handle. Any 192 and any 64 bits are legal,
// all zeros and all ones included: no value is set aside as "invalid".
struct Oid {
  u64 word[3];
  friend constexpr bool operator==(const Oid &a, const Oid &b) {
    return a.word[0] == b.word[0] && a.word[1] == b.word[1] && a.word[2] == b.word[2];
  }
};
static_assert(sizeof(Oid) == sizeof(tmem_oid));

struct Index {
  u64 value;
};

// PAM page descriptor: whatever 64 bits the PAM chose. Zero is a value like any other.
struct Pampd {
  u64 value;
};

// Where in the index a page sits, so that eviction finds it bottom-up; see engine/index.h.
struct BackReference {
  u64 value;
};

// Placement new without <new>, which a freestanding kernel build does not have.
struct Placement {
  void *at;
};

template <typename T>
constexpr T min(T a, T b) {
  return a < b ? a : b;
}
template <typename T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}

constexpr u64 round_up_to_power_of_two(u64 value) {
  u64 power = 1;
  while (power < value) power <<= 1;
  return power;
}

// The number of the lowest and of the highest set bit; @bits is not 0.
inline u32 lowest_bit(u64 bits) { return static_cast<u32>(__builtin_ctzll(bits)); }

inline u32 highest_bit(u64 bits) { return 63 - static_cast<u32>(__builtin_clzll(bits)); }

// Internal consistency only: no caller's input can make one fail. Costs nothing in a product build.
#ifdef TMEM_DEBUG
#define TMEM_ASSERT(condition) ((condition) ? static_cast<void>(0) : __builtin_trap())
#else
#define TMEM_ASSERT(condition) static_cast<void>(sizeof(condition))
#endif

}  // namespace tmem

inline void *operator new(decltype(sizeof(0)), tmem::Placement place) noexcept { return place.at; }
inline void operator delete(void *, tmem::Placement) noexcept {}

#endif
