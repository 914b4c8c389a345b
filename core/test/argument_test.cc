// SPDX-License-Identifier: GPL-2.0
// Whatever a caller passes, the core answers and keeps what it has.
#include <gtest/gtest.h>

#include <cstring>

#include "../../kunit/scenarios/scenarios.h"
#include "model.h"
#include "seeds.h"

namespace {

using tmem_test::SeededChoices;

class ArgumentTest : public testing::Test {
 protected:
  unsigned long long odd_number() {
    static constexpr unsigned long long kOdd[] = {0, 1, 2, 15, 16, 100, 10000, 1ULL << 31, 1ULL << 32,
                                                  1ULL << 63, ~0ULL, ~0ULL - 1, 0x7fffffff, 4096};
    if (choices_.below(2)) return kOdd[choices_.below(std::size(kOdd))];
    return static_cast<unsigned long long>(choices_.below(~0U)) << choices_.below(33);
  }
  int odd_id() { return static_cast<int>(odd_number()); }
  tmem_oid odd_oid() { return {{odd_number(), odd_number(), odd_number()}}; }
  SeededChoices choices_{tmem_test::first_seed()};
};

TEST_F(ArgumentTest, RandomArgumentsDoNoHarm) {
  injector_reset();
  scenario_env env = {};
  ASSERT_TRUE(engine_start(&env, nullptr, 4096));
  alignas(8) unsigned char page[TMEM_PAGE_BYTES];
  const int kept = tmem_new_pool(env.client, TMEM_POOL_PERSISTENT, nullptr);
  // Handles of our own object are not drawn below.
  const tmem_oid own = {{0x1111111111111111ULL, 0x2222222222222222ULL, 0x3333333333333333ULL}};
  for (unsigned int i = 0; i < 50; ++i) {
    content_fill(page, content_kind_of(i), i);
    ASSERT_EQ(tmem_put(env.client, kept, &own, i * 3, page), TMEM_OK);
  }
  for (unsigned int round = 0; round < 20000; ++round) {
    const tmem_oid oid = odd_oid();
    const int id = choices_.below(3) ? odd_id() : kept;
    unsigned long long uuid[2] = {odd_number(), odd_number()};
    tmem_client *client = choices_.below(16) ? env.client : nullptr;
    tmem_host *host = choices_.below(16) ? env.host : nullptr;
    const tmem_oid *oid_or_null = choices_.below(16) ? &oid : nullptr;
    unsigned char *page_or_null = choices_.below(16) ? page : nullptr;
    tmem_client *made = nullptr;
    tmem_stats stats;
    tmem_pool_info info;
    unsigned int cursor = static_cast<unsigned int>(odd_number());
    switch (choices_.below(14)) {
      case 0: tmem_put(client, id, oid_or_null, odd_number(), page_or_null); break;
      case 1: tmem_get(client, id, oid_or_null, odd_number(), page_or_null); break;
      case 2: tmem_flush_page(client, id, oid_or_null, odd_number()); break;
      case 3: {
        const unsigned long long first = odd_number();
        const unsigned long long more = choices_.below(100);
        tmem_flush_range(client, id, oid_or_null, first, first + more < first ? first : first + more);
        tmem_flush_range(client, id, oid_or_null, first, odd_number());
        tmem_flush_range_slowly(client, id, oid_or_null, odd_number(), odd_number());
        tmem_flush_object(client, id, oid_or_null);
        break;
      }
      case 4: tmem_pool_stats(client, id, &stats); break;
      case 5:
        if (id != kept) tmem_destroy_pool(client, id);
        break;
      case 6: {
        const int fresh = tmem_new_pool(client, static_cast<unsigned int>(odd_number()),
                                        choices_.below(4) ? uuid : nullptr);
        if (fresh >= 0 && choices_.below(2)) tmem_destroy_pool(client, fresh);
        break;
      }
      case 7:
        tmem_client_create(host, "odd", static_cast<unsigned int>(odd_number()), odd_number(), &made);
        if (made) tmem_client_destroy(made);
        break;
      case 8:
        tmem_client_configure(client, static_cast<unsigned int>(odd_number()), odd_number());
        break;
      case 9:
        // Frozen would be legal; it is tested elsewhere.
        tmem_tunable_set(host, static_cast<unsigned int>(odd_number()), odd_number() + 2);
        break;
      case 10: tmem_tunable_get(host, static_cast<unsigned int>(odd_number())); break;
      case 11: tmem_shrink(host, odd_number()); break;
      case 12: tmem_next_pool(host, &cursor, &info); break;
      case 13: tmem_pam_evict(host, odd_number(), odd_number()); break;
    }
  }
  EXPECT_EQ(tmem_validate(env.host), 0);
  for (unsigned int i = 0; i < 50; ++i) {
    ASSERT_EQ(tmem_get(env.client, kept, &own, i * 3, page), TMEM_OK);
    EXPECT_TRUE(content_matches(page, content_kind_of(i), i));
  }
  engine_stop(&env);
  EXPECT_EQ(env.failures, 0u);
}

// Calls that no other test makes without what they are for.
TEST_F(ArgumentTest, NothingIsAnswered) {
  injector_reset();
  scenario_env env = {};
  ASSERT_TRUE(engine_start(&env, nullptr, 4096));
  const int pool = tmem_new_pool(env.client, TMEM_POOL_PERSISTENT, nullptr);
  const tmem_oid oid = {};
  unsigned int cursor = 0;
  tmem_client_info info;
  EXPECT_EQ(tmem_compact(nullptr, 1), 0u);
  EXPECT_EQ(tmem_compactable(nullptr), 0u);
  EXPECT_EQ(tmem_pam_move(nullptr, 0, 0, 1), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_pam_evict(nullptr, 0, 0), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_next_client(nullptr, &cursor, &info), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_next_client(env.host, nullptr, &info), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_next_client(env.host, &cursor, nullptr), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_validate(nullptr), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_debug_corrupt(nullptr, 1), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_destroy_pool(nullptr, pool), TMEM_BAD_ARGUMENT);
  for (tmem_client *client : {env.client, static_cast<tmem_client *>(nullptr)}) {
    const tmem_oid *given = client ? nullptr : &oid;
    EXPECT_EQ(tmem_flush_page(client, pool, given, 0), TMEM_BAD_ARGUMENT);
    EXPECT_EQ(tmem_flush_range(client, pool, given, 0, 1), TMEM_BAD_ARGUMENT);
    EXPECT_EQ(tmem_flush_range_slowly(client, pool, given, 0, 1), TMEM_BAD_ARGUMENT);
    EXPECT_EQ(tmem_flush_object(client, pool, given), TMEM_BAD_ARGUMENT);
    EXPECT_EQ(tmem_flush_object_slowly(client, pool, given), TMEM_BAD_ARGUMENT);
  }
  // Each that had a client is counted, once.
  struct tmem_host_stats stats;
  tmem_host_stats(env.host, &stats);
  EXPECT_EQ(stats.bad_arguments, 5u);
  // Kinds and tunables beyond the last.
  for (const unsigned int beyond : {unsigned{TMEM_KINDS}, TMEM_KINDS + 1u, ~0u}) {
    EXPECT_EQ(tmem_kind_bytes(beyond), 0u);
    EXPECT_EQ(tmem_kind_alignment(beyond), 0u);
    EXPECT_EQ(tmem_kind_name(beyond), nullptr);
  }
  EXPECT_EQ(tmem_tunable_set(env.host, TMEM_TUNABLES_COUNT, 1), TMEM_BAD_ARGUMENT);
  EXPECT_EQ(tmem_tunable_get(env.host, TMEM_TUNABLES_COUNT), 0u);
  engine_stop(&env);
  EXPECT_EQ(env.failures, 0u);
}

// Hosts of every size, from a handful of frames to more than any machine has.
TEST_F(ArgumentTest, HostsOfOddSizes) {
  for (const unsigned long long frames : {1ULL, 2ULL, 3ULL, 5ULL, 63ULL, 1000ULL, 1000003ULL}) {
    injector_reset();
    scenario_env env = {};
    ASSERT_TRUE(engine_start(&env, nullptr, frames)) << frames;
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    const tmem_oid oid = {};
    const int pool = tmem_new_pool(env.client, TMEM_POOL_PERSISTENT, nullptr);
    content_fill(page, CONTENT_TEXT, 1);
    const int result = tmem_put(env.client, pool, &oid, 0, page);
    EXPECT_EQ(result, frames / 5 < 4 ? TMEM_REFUSED_BUDGET : TMEM_OK) << frames;
    content_fill(page, CONTENT_ZERO, 1);
    EXPECT_EQ(tmem_put(env.client, pool, &oid, 0, page), TMEM_OK);
    engine_stop(&env);
    EXPECT_EQ(env.failures, 0u) << frames;
  }
}

}  // namespace
