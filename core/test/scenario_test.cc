// SPDX-License-Identifier: GPL-2.0
// The scenarios of kunit/, on the host: one GoogleTest case each.
#include <gtest/gtest.h>

#include <cstdarg>
#include <cstdio>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"
#include "seeds.h"

extern "C" void platform_fail(scenario_env *, const char *file, int line, const char *format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  ADD_FAILURE_AT(file, line) << text;
}

namespace {

struct Scenario {
  const char *group;
  const char *name;
  void (*run)(scenario_env *);
};

#define TMEM_LIST_SCENARIO(name) Scenario{group, #name, scenario_##name},
#define TMEM_LIST_GROUP(group_name, GROUP)                     \
  std::vector<Scenario> group_name##_scenarios() {             \
    const char *group = #group_name;                           \
    return {SCENARIOS_##GROUP(TMEM_LIST_SCENARIO)};            \
  }
SCENARIO_GROUPS(TMEM_LIST_GROUP)

class ScenarioTest : public testing::TestWithParam<Scenario> {};

TEST_P(ScenarioTest, Holds) {
  const long locks = tmem_test::live_locks();
  scenario_env env = {};
  env.effort = 1;
  scenario_run(&env, GetParam().run, tmem_test::first_seed());
  EXPECT_EQ(env.failures, 0u) << "repeat with " << tmem_test::repeat_command();
  EXPECT_EQ(tmem_test::live_locks(), locks) << "locks that were never destroyed";
}

std::string name_of(const testing::TestParamInfo<Scenario> &info) { return info.param.name; }

#define TMEM_INSTANTIATE(group, GROUP)                                                        \
  INSTANTIATE_TEST_SUITE_P(group, ScenarioTest, testing::ValuesIn(group##_scenarios()), name_of);
SCENARIO_GROUPS(TMEM_INSTANTIATE)

// The concurrent ones again, from other seeds and with threads that yield at odd moments.
struct Schedule {
  Scenario scenario;
  unsigned int seed;
};

class ScheduleTest : public testing::TestWithParam<Schedule> {};

TEST_P(ScheduleTest, Holds) {
  scenario_env env = {};
  env.effort = 1;
  tmem_test::set_perturbation(3 + GetParam().seed * 5);
  scenario_run(&env, GetParam().scenario.run, tmem_test::first_seed() + GetParam().seed);
  tmem_test::set_perturbation(0);
  EXPECT_EQ(env.failures, 0u) << "repeat with " << tmem_test::repeat_command();
}

std::vector<Schedule> schedules() {
  std::vector<Schedule> all;
  for (const Scenario &scenario : concurrent_scenarios())
    for (unsigned int seed = 0; seed < tmem_test::seed_count(3); ++seed)
      all.push_back({scenario, seed});
  return all;
}

INSTANTIATE_TEST_SUITE_P(concurrent, ScheduleTest, testing::ValuesIn(schedules()),
                         [](const testing::TestParamInfo<Schedule> &info) {
                           return std::string(info.param.scenario.name) + "_seed_" +
                                  std::to_string(info.param.seed);
                         });

}  // namespace
