// SPDX-License-Identifier: GPL-2.0
// Random operations on the engine and on a plain reference, seed by seed.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "model.h"
#include "seeds.h"

namespace {

using tmem_test::Model;
using tmem_test::ModelOptions;
using tmem_test::Reached;
using tmem_test::SeededChoices;

constexpr unsigned int kPrivateEphemeral = 1, kPersistent = 2, kSharedEphemeral = 4;

// What a run meets. A configuration asks for a share of what it is for, in thousandths of the steps: about half of
// what there is, so that a run which hardly ever meets its subject fails.
struct Outcome {
  const char *name;
  unsigned long long (*count)(const Reached &);
};
const Outcome kOutcomes[] = {
#define OUTCOME(name, where) {#name, [](const Reached &reached) { return reached.where; }},
    OUTCOME(stored, pages.puts_stored)
    OUTCOME(replaced, pages.puts_replaced)
    OUTCOME(dropped, pages.puts_dropped)
    OUTCOME(full, puts_when_full)
    OUTCOME(evicting, puts_evicting)
    OUTCOME(evicted, pages.pages_evicted)
    OUTCOME(for_limit, store.frames_evicted_for_limit)
    OUTCOME(poor, pages.puts_refused_poor)
    OUTCOME(no_budget, pages.puts_refused_budget)
    OUTCOME(over_limit, pages.puts_refused_limit)
    OUTCOME(unseen, store.puts_refused_unseen)
    OUTCOME(nested, pages.puts_refused_nested)
    OUTCOME(frozen, pages.puts_refused_frozen)
    OUTCOME(no_memory, pages.puts_no_memory)
    OUTCOME(reserves, store.frames_from_reserves)
    OUTCOME(hit, pages.gets_hit)
    OUTCOME(missed, pages.gets_missed)
    OUTCOME(corrupt, pages.gets_corrupt)
    OUTCOME(corrupt_gone, pages.pages_corrupt)
    OUTCOME(same_filled, pages.puts_same_filled)
    OUTCOME(shrinks, shrinks)
    OUTCOME(compactions, compactions)
    OUTCOME(compacted, store.frames_compacted)
    OUTCOME(moved, store.entries_moved)
    OUTCOME(packings, store.packings)
    OUTCOME(widened, pages.flushes_widened)
#undef OUTCOME
};

struct Configuration {
  const char *name;
  ModelOptions options;
  std::map<std::string, unsigned int> thousandths;  // of the steps, at least
};

const Configuration kConfigurations[] = {
    {"roomy",
     {.memory_frames = 4096},
     {{"stored", 200}, {"hit", 60}, {"replaced", 9}, {"packings", 8}, {"compacted", 5}}},
    {"tight",
     {.memory_frames = 160, .filling = true},
     {{"full", 240}, {"evicting", 1}, {"no_budget", 120}, {"unseen", 100}, {"packings", 15}, {"dropped", 6}}},
    {"tight_ephemeral",
     {.memory_frames = 120, .flavours = kPrivateEphemeral | kSharedEphemeral, .filling = true},
     {{"full", 200}, {"evicting", 3}, {"evicted", 120}, {"poor", 90}, {"packings", 20}}},
    {"tight_persistent",
     {.memory_frames = 100, .flavours = kPersistent},
     {{"full", 130}, {"no_budget", 50}, {"unseen", 30}, {"dropped", 3}}},
    {"duplicates",
     {.memory_frames = 100, .narrow = true},
     {{"replaced", 70}, {"dropped", 8}, {"full", 120}, {"no_budget", 12}}},
    {"cpus",
     {.memory_frames = 240, .filling = true, .cpus = true},
     {{"full", 260}, {"evicting", 2}, {"evicted", 50}, {"no_budget", 80}}},
    {"cpus_persistent",
     {.memory_frames = 200, .flavours = kPersistent, .filling = true, .cpus = true},
     {{"full", 260}, {"no_budget", 170}, {"unseen", 130}, {"dropped", 10}, {"hit", 45}}},
    {"compacting",
     {.memory_frames = 800, .flavours = kPersistent, .filling = true},
     {{"compacted", 12}, {"moved", 8}, {"packings", 45}, {"stored", 300}, {"hit", 150}}},
    {"tunables",
     {.memory_frames = 200, .tunables = true, .filling = true},
     {{"frozen", 12}, {"full", 120}, {"no_budget", 30}, {"evicting", 1}}},
    {"clients",
     {.memory_frames = 200, .tunables = true, .clients = true, .filling = true},
     {{"over_limit", 20}, {"for_limit", 3}, {"evicting", 2}, {"no_budget", 35}}},
    {"corrupt",
     {.memory_frames = 200, .corrupt = true, .tunables = true, .filling = true},
     {{"corrupt", 7}, {"corrupt_gone", 1}, {"frozen", 12}, {"compacted", 2}}},
    {"failures",
     {.memory_frames = 200, .failures = true, .filling = true},
     {{"no_memory", 13}, {"dropped", 6}, {"full", 180}}},
    {"everything",
     {.memory_frames = 200, .corrupt = true, .failures = true,
      .tunables = true, .clients = true, .filling = true, .cpus = true},
     {{"corrupt", 3}, {"corrupt_gone", 1}, {"no_memory", 7}, {"over_limit", 13}, {"for_limit", 1},
      {"nested", 6}, {"evicting", 1}, {"full", 120}}},
    {"plain",
     {.plain = true, .memory_frames = 400, .tunables = true, .clients = true, .filling = true},
     {{"evicting", 50}, {"hit", 22}, {"over_limit", 25}, {"full", 100}}},
    {"plain_failures",
     {.plain = true, .memory_frames = 640, .failures = true, .clients = true, .filling = true},
     {{"no_memory", 35}, {"evicted", 100}, {"evicting", 25}}},
};

class ModelTest : public testing::TestWithParam<Configuration> {};

TEST_P(ModelTest, Agrees) {
  constexpr unsigned int kSteps = 600;
  std::map<std::string, unsigned long long> counts;
  unsigned long long steps = 0;
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
    steps += model.reached().steps;
    for (const Outcome &outcome : kOutcomes) counts[outcome.name] += outcome.count(model.reached());
  }
  for (const auto &[name, count] : counts) RecordProperty(name, std::to_string(count * 1000 / steps));
  if (tmem_test::seed_count(50) < 10) return;  // somebody is after one seed
  for (const auto &[name, least] : GetParam().thousandths) {
    ASSERT_TRUE(counts.count(name)) << name << " is no outcome";
    EXPECT_GE(counts[name] * 1000, steps * least) << name << ": " << counts[name] << " in " << steps << " steps";
  }
}

INSTANTIATE_TEST_SUITE_P(configurations, ModelTest, testing::ValuesIn(kConfigurations),
                         [](const testing::TestParamInfo<Configuration> &info) {
                           return std::string(info.param.name);
                         });

}  // namespace
