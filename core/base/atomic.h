// SPDX-License-Identifier: GPL-2.0
// The few atomic operations the core uses, with the order spelled in the name.
#ifndef TMEM_CORE_BASE_ATOMIC_H
#define TMEM_CORE_BASE_ATOMIC_H

#include "types.h"

namespace tmem {

template <typename T>
class Atomic {
 public:
  constexpr Atomic() : value_() {}
  constexpr explicit Atomic(T value) : value_(value) {}
  Atomic(const Atomic &) = delete;
  Atomic &operator=(const Atomic &) = delete;

  T load_relaxed() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }
  T load_acquire() const { return __atomic_load_n(&value_, __ATOMIC_ACQUIRE); }
  void store_relaxed(T value) { __atomic_store_n(&value_, value, __ATOMIC_RELAXED); }
  void store_release(T value) { __atomic_store_n(&value_, value, __ATOMIC_RELEASE); }
  // Where one thread at a time writes, under a lock, and others read without it.
  void add(T delta) { store_relaxed(load_relaxed() + delta); }
  // The fetch_ operations return the value before.
  T fetch_add_relaxed(T delta) { return __atomic_fetch_add(&value_, delta, __ATOMIC_RELAXED); }
  T fetch_add_release(T delta) { return __atomic_fetch_add(&value_, delta, __ATOMIC_ACQ_REL); }
  T fetch_sub_release(T delta) { return __atomic_fetch_sub(&value_, delta, __ATOMIC_ACQ_REL); }
  // Of two threads that each store one value and then load the other's, at least one sees what the other has stored.
  T load_ordered() const { return __atomic_load_n(&value_, __ATOMIC_SEQ_CST); }
  void store_ordered(T value) { __atomic_store_n(&value_, value, __ATOMIC_SEQ_CST); }
  bool compare_exchange_ordered(T &expected, T desired) {
    return __atomic_compare_exchange_n(&value_, &expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
  }
  T fetch_sub_relaxed(T delta) { return __atomic_fetch_sub(&value_, delta, __ATOMIC_RELAXED); }
  // On failure @expected receives the current value.
  bool compare_exchange(T &expected, T desired) {
    return __atomic_compare_exchange_n(&value_, &expected, desired, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
  }

 private:
  T value_;
};

}  // namespace tmem

#endif
