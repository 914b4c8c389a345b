// SPDX-License-Identifier: GPL-2.0
// How an operation ended. Inside the core an outcome is a value to be handled;
// it becomes a negative errno only in abi.cc, by to_abi().
#ifndef TMEM_CORE_BASE_OUTCOME_H
#define TMEM_CORE_BASE_OUTCOME_H

#include "types.h"

namespace tmem {

enum class [[nodiscard]] Outcome : u8 {
  kDone,
  kNotFound,
  kNoMemory,
  kBadArgument,
  kTooMany,
  kGoingAway,
  kCorrupt,
  kInUse,
  kRefusedPoor,
  kRefusedBudget,
  kRefusedLimit,
  kRefusedNested,
  kRefusedFrozen,
};

constexpr int to_abi(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDone: return TMEM_OK;
    case Outcome::kNotFound: return TMEM_NOT_FOUND;
    case Outcome::kNoMemory: return TMEM_NO_MEMORY;
    case Outcome::kBadArgument: return TMEM_BAD_ARGUMENT;
    case Outcome::kTooMany: return TMEM_TOO_MANY;
    case Outcome::kGoingAway: return TMEM_GOING_AWAY;
    case Outcome::kCorrupt: return TMEM_CORRUPT;
    case Outcome::kInUse: return TMEM_IN_USE;
    case Outcome::kRefusedPoor: return TMEM_REFUSED_POOR;
    case Outcome::kRefusedBudget: return TMEM_REFUSED_BUDGET;
    case Outcome::kRefusedLimit: return TMEM_REFUSED_LIMIT;
    case Outcome::kRefusedNested: return TMEM_REFUSED_NESTED;
    case Outcome::kRefusedFrozen: return TMEM_REFUSED_FROZEN;
  }
  return TMEM_BAD_ARGUMENT;
}

// What a PAM's create() answered. One outside the core may say anything;
// what we do not know counts as no memory, so that the page is not kept.
constexpr Outcome outcome_of_create(int result) {
  switch (result) {
    case TMEM_OK: return Outcome::kDone;
    case TMEM_REFUSED_POOR: return Outcome::kRefusedPoor;
    case TMEM_REFUSED_BUDGET: return Outcome::kRefusedBudget;
    case TMEM_REFUSED_LIMIT: return Outcome::kRefusedLimit;
    case TMEM_REFUSED_NESTED: return Outcome::kRefusedNested;
    default: return Outcome::kNoMemory;
  }
}

// A value, or the outcome that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  constexpr Result(T value) : value_(value), outcome_(Outcome::kDone) {}
  constexpr Result(Outcome outcome) : value_(), outcome_(outcome) {
    TMEM_ASSERT(outcome != Outcome::kDone);
  }
  constexpr bool ok() const { return outcome_ == Outcome::kDone; }
  constexpr Outcome outcome() const { return outcome_; }
  constexpr T value() const {
    TMEM_ASSERT(ok());
    return value_;
  }

 private:
  T value_;
  Outcome outcome_;
};

// A value, or nothing: the answer of a look-up.
template <typename T>
class [[nodiscard]] Maybe {
 public:
  constexpr Maybe() : value_(), present_(false) {}
  constexpr Maybe(T value) : value_(value), present_(true) {}
  constexpr explicit operator bool() const { return present_; }
  constexpr const T &operator*() const { return value_; }
  constexpr const T *operator->() const { return &value_; }

 private:
  T value_;
  bool present_;
};

}  // namespace tmem

#endif
