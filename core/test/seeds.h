// SPDX-License-Identifier: GPL-2.0
// Seeds of random tests: fixed by default, so that a run can be repeated.
//
//   TMEM_TEST_SEED=n     the first seed (default 1)
//   TMEM_TEST_SEEDS=n    how many seeds each random test runs, instead of its own number
#ifndef TMEM_CORE_TEST_SEEDS_H
#define TMEM_CORE_TEST_SEEDS_H

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace tmem_test {

inline unsigned long long number_from_environment(const char *name, unsigned long long otherwise) {
  const char *text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 0) : otherwise;
}

inline unsigned long long first_seed() { return number_from_environment("TMEM_TEST_SEED", 1); }

inline unsigned int seed_count(unsigned int usual) {
  return static_cast<unsigned int>(number_from_environment("TMEM_TEST_SEEDS", usual));
}

// The command that runs the present test again, alone.
inline std::string repeat_command() {
  const testing::TestInfo *test = testing::UnitTest::GetInstance()->current_test_info();
  return "TMEM_TEST_SEED=" + std::to_string(first_seed()) + " scripts/check-host " TMEM_TEST_BUILD
         " --gtest_filter=" + test->test_suite_name() + "." + test->name();
}

}  // namespace tmem_test

#endif
