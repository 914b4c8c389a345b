// SPDX-License-Identifier: GPL-2.0
// A whole script of operations, again and again: each time another allocation
// fails, alone or with all that follow, until the script needs no more of them.
// The model (model.h) says that the contract holds all the same, the host that
// nothing leaks.
#include <gtest/gtest.h>

#include "model.h"
#include "seeds.h"

namespace {

using tmem_test::Model;
using tmem_test::ModelOptions;
using tmem_test::SeededChoices;

struct Failure {
  const char *name;
  unsigned int what;
  long long count;  // negative: no end
  bool plain;
};

const Failure kFailures[] = {
    {"any_once", INJECT_ALL, 1, false},
    {"any_from_then_on", INJECT_ALL, -1, false},
    {"objects_from_then_on", INJECT_OBJECTS, -1, false},
    {"frames_once", INJECT_FRAMES, 1, false},
    {"frames_from_then_on", INJECT_FRAMES, -1, false},
    {"tables_from_then_on", INJECT_TABLES, -1, false},
    {"three_in_a_row", INJECT_ALL, 3, false},
    {"plain_any_once", INJECT_ALL, 1, true},
    {"plain_any_from_then_on", INJECT_ALL, -1, true},
};

class AllocationFailureTest : public testing::TestWithParam<Failure> {};

TEST_P(AllocationFailureTest, ContractHolds) {
  constexpr unsigned int kSteps = 150;
  const ModelOptions options = {.plain = GetParam().plain, .clients = true, .filling = true};
  long long failed = 1, after = 0;
  for (; failed; ++after) {
    ASSERT_LT(after, 10 * kSteps) << "the script never gets by without a failure";
    injector_reset();
    SeededChoices choices(tmem_test::first_seed());
    Model model(options, choices);
    injector_fail(GetParam().what, after, GetParam().count);
    while (model.steps() < kSteps && model.step()) {
    }
    failed = injector.failures;
    injector_heal();
    // Everything works again.
    while (model.steps() < kSteps + 20 && model.step()) {
    }
    model.finish();
    ASSERT_TRUE(model.good()) << model.report() << "with " << after << " allocations before the failure; "
                              << "repeat with " << tmem_test::repeat_command();
  }
  EXPECT_GT(after, 2) << "hardly anything was allocated";
}

INSTANTIATE_TEST_SUITE_P(failures, AllocationFailureTest, testing::ValuesIn(kFailures),
                         [](const testing::TestParamInfo<Failure> &info) {
                           return std::string(info.param.name);
                         });

}  // namespace
