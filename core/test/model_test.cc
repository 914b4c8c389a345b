// SPDX-License-Identifier: GPL-2.0
// Random operations on the engine and on a plain reference, seed by seed.
#include <gtest/gtest.h>

#include "model.h"
#include "seeds.h"

namespace {

using tmem_test::Model;
using tmem_test::ModelOptions;
using tmem_test::SeededChoices;

constexpr unsigned int kPrivateEphemeral = 1, kPersistent = 2, kSharedEphemeral = 4;

// What a configuration is for must have happened, or it tests nothing.
using Counter = unsigned long long tmem_stats::*;

struct Configuration {
  const char *name;
  ModelOptions options;
  std::vector<Counter> must_happen;
};

const Configuration kConfigurations[] = {
    {"roomy", {.memory_frames = 4096}, {&tmem_stats::gets_hit, &tmem_stats::puts_replaced}},
    {"tight", {}, {&tmem_stats::pages_evicted, &tmem_stats::puts_replaced}},
    {"tight_ephemeral",
     {.memory_frames = 200, .flavours = kPrivateEphemeral | kSharedEphemeral},
     {&tmem_stats::pages_evicted, &tmem_stats::puts_refused_poor}},
    {"tight_persistent",
     {.memory_frames = 100, .flavours = kPersistent},
     {&tmem_stats::puts_refused_budget, &tmem_stats::puts_dropped}},
    {"duplicates",
     {.memory_frames = 100, .narrow = true},
     {&tmem_stats::puts_replaced, &tmem_stats::puts_dropped}},
    {"cpus", {.cpus = true}, {&tmem_stats::pages_evicted, &tmem_stats::puts_replaced}},
    {"cpus_persistent",
     {.memory_frames = 200, .flavours = kPersistent, .cpus = true},
     {&tmem_stats::puts_refused_budget, &tmem_stats::puts_dropped}},
    {"tunables", {.tunables = true}, {&tmem_stats::puts_refused_frozen, &tmem_stats::pages_evicted}},
    {"clients", {.tunables = true, .clients = true}, {&tmem_stats::puts_refused_limit}},
    {"corrupt",
     {.corrupt = true, .tunables = true},
     {&tmem_stats::gets_corrupt, &tmem_stats::pages_corrupt}},
    {"failures", {.failures = true}, {&tmem_stats::puts_no_memory, &tmem_stats::puts_dropped}},
    {"everything",
     {.corrupt = true, .failures = true, .tunables = true, .clients = true, .cpus = true},
     {&tmem_stats::gets_corrupt, &tmem_stats::puts_no_memory, &tmem_stats::puts_refused_nested,
      &tmem_stats::puts_refused_limit, &tmem_stats::pages_evicted}},
    {"plain",
     {.plain = true, .memory_frames = 400, .tunables = true, .clients = true},
     {&tmem_stats::pages_evicted, &tmem_stats::gets_hit}},
    {"plain_failures",
     {.plain = true, .memory_frames = 640, .failures = true, .clients = true},
     {&tmem_stats::puts_no_memory}},
};

class ModelTest : public testing::TestWithParam<Configuration> {};

TEST_P(ModelTest, Agrees) {
  constexpr unsigned int kSteps = 600;
  tmem_stats totals = {};
  for (unsigned int i = 0; i < tmem_test::seed_count(50); ++i) {
    const unsigned long long seed = tmem_test::first_seed() + i;
    injector_reset();
    SeededChoices choices(seed);
    Model model(GetParam().options, choices);
    while (model.steps() < kSteps && model.step()) {
    }
    model.finish();
    ASSERT_TRUE(model.good()) << model.report() << "seed " << seed << "; repeat with TMEM_TEST_SEEDS=1 "
                              << "TMEM_TEST_SEED=" << seed << " scripts/check-host " TMEM_TEST_BUILD
                              << " --gtest_filter=configurations/ModelTest.Agrees/" << GetParam().name;
#define TMEM_ADD(name, meaning) totals.name += model.totals().name;
    TMEM_COUNTERS(TMEM_ADD)
#undef TMEM_ADD
  }
  if (tmem_test::seed_count(50) < 20) return;  // somebody is after one seed
  for (size_t i = 0; i < GetParam().must_happen.size(); ++i)
    EXPECT_GT(totals.*GetParam().must_happen[i], 0u) << "number " << i << " of must_happen";
#define TMEM_RECORD(name, meaning) RecordProperty(#name, std::to_string(totals.name));
  TMEM_COUNTERS(TMEM_RECORD)
#undef TMEM_RECORD
}

INSTANTIATE_TEST_SUITE_P(configurations, ModelTest, testing::ValuesIn(kConfigurations),
                         [](const testing::TestParamInfo<Configuration> &info) {
                           return std::string(info.param.name);
                         });

}  // namespace
