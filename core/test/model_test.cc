// SPDX-License-Identifier: GPL-2.0
// Random operations on the engine and on a plain reference, seed by seed.
#include <gtest/gtest.h>

#include "model.h"
#include "seeds.h"

namespace {

using tmem_test::Model;
using tmem_test::ModelOptions;
using tmem_test::SeededChoices;

struct Configuration {
  const char *name;
  ModelOptions options;
};

constexpr unsigned int kPrivateEphemeral = 1, kPersistent = 2, kSharedEphemeral = 4;

const Configuration kConfigurations[] = {
    {"roomy", {.memory_frames = 16384}},
    {"tight", {}},
    {"tight_ephemeral", {.flavours = kPrivateEphemeral | kSharedEphemeral}},
    {"tight_persistent", {.flavours = kPersistent}},
    {"duplicates", {.memory_frames = 160, .narrow = true}},
    {"tunables", {.tunables = true}},
    {"clients", {.tunables = true, .clients = true}},
    {"corrupt", {.corrupt = true, .tunables = true}},
    {"failures", {.failures = true}},
    {"everything", {.corrupt = true, .failures = true, .tunables = true, .clients = true}},
    {"plain", {.plain = true, .memory_frames = 640, .tunables = true, .clients = true}},
    {"plain_failures", {.plain = true, .memory_frames = 640, .failures = true, .clients = true}},
};

class ModelTest : public testing::TestWithParam<Configuration> {};

TEST_P(ModelTest, Agrees) {
  constexpr unsigned int kSteps = 500;
  unsigned long long hits = 0;
  for (unsigned int i = 0; i < tmem_test::seed_count(20); ++i) {
    const unsigned long long seed = tmem_test::first_seed() + i;
    injector_reset();
    SeededChoices choices(seed);
    Model model(GetParam().options, choices);
    while (model.steps() < kSteps && model.step()) {
    }
    model.finish();
    hits += model.hits();
    ASSERT_TRUE(model.good()) << model.report() << "seed " << seed << "; repeat with TMEM_TEST_SEEDS=1 "
                              << "TMEM_TEST_SEED=" << seed << " scripts/check-host " TMEM_TEST_BUILD
                              << " --gtest_filter=configurations/ModelTest.Agrees/" << GetParam().name;
  }
  EXPECT_GT(hits, 0u) << "a model that never hits tests nothing";
}

INSTANTIATE_TEST_SUITE_P(configurations, ModelTest, testing::ValuesIn(kConfigurations),
                         [](const testing::TestParamInfo<Configuration> &info) {
                           return std::string(info.param.name);
                         });

}  // namespace
