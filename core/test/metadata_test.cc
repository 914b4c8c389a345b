// SPDX-License-Identifier: GPL-2.0
// What a stored page costs beside its data, part by part: the budget is filled with
// pages of one kind, and all that the core holds is divided by their number. The
// goal is 32 bytes; Documentation/store.md has the table that this prints.
#include <gtest/gtest.h>

#include <cstdio>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

constexpr unsigned int kMix = CONTENT_KINDS;  // a kind by page, as content_kind_of() draws it
constexpr double kGoalBytes = 32;

struct Filling {
  const char *name;
  unsigned int kind;
  unsigned int pages_per_object;
  bool reaches_goal;
};

const Filling kFillings[] = {
    {"near_same", CONTENT_NEAR_SAME, 512, true},
    {"pattern", CONTENT_PATTERN, 512, true},
    {"text", CONTENT_TEXT, 512, true},
    {"mix", kMix, 512, true},
    {"half", CONTENT_HALF, 512, false},
    {"poor", CONTENT_POOR, 512, false},
    {"random", CONTENT_RANDOM, 512, false},
    {"text_in_small_files", CONTENT_TEXT, 8, false},
};

constexpr unsigned int kMemoryFrames = 65536;  // 256 MiB

class MetadataTest : public testing::TestWithParam<Filling> {};

TEST_P(MetadataTest, BytesOfAPage) {
  const Filling &filling = GetParam();
  scenario_env env = {};
  injector_reset();
  ASSERT_TRUE(engine_start(&env, nullptr, kMemoryFrames));
  env.page = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
  const int pool = new_pool(&env, TMEM_POOL_PERSISTENT);
  unsigned int pages = 0;
  for (;; ++pages) {
    const unsigned int kind = filling.kind == kMix ? content_kind_of(pages) : filling.kind;
    const int result = put_data(&env, pool, pages / filling.pages_per_object, pages % filling.pages_per_object,
                                kind, pages);
    if (result == TMEM_REFUSED_BUDGET) break;
    ASSERT_EQ(result, TMEM_OK);
    // What compresses to next to nothing is not put until the budget is full: the rest would only repeat it.
    if (pages == 60000) break;
  }
  ASSERT_GT(pages, 1000u);
  struct tmem_host_stats stats;
  tmem_host_stats(env.host, &stats);
  const tmem_usage &usage = stats.usage;
  const double count = static_cast<double>(stats.pages.pages);
  const auto each = [&](unsigned long long bytes) { return static_cast<double>(bytes) / count; };
  const double objects = each(stats.pages.objects * tmem_kind_bytes(TMEM_KIND_OBJECT));
  const double leaves = each(stats.index_bytes) - objects;
  const double tables = each(stats.table_bytes);
  const double runs = each(usage.metadata_bytes);
  const double directory = each(usage.directory_bytes);
  const double checksums = each(usage.checksum_bytes);
  const double all = leaves + objects + tables + runs + directory + checksums;
  std::printf("| %-19s | %5.0f | %4.1f | %4.1f | %4.1f | %4.1f | %4.1f | %4.1f | %4.1f | %5.3f |\n", filling.name,
              usage.entries ? static_cast<double>(usage.bytes_stored) / static_cast<double>(usage.entries) : 0.0,
              leaves, objects, tables, runs, directory, checksums, all,
              static_cast<double>(usage.bytes_stored) / (static_cast<double>(usage.frames) * TMEM_PAGE_BYTES));
  std::fflush(stdout);
  if (filling.reaches_goal) {
    EXPECT_LE(all, kGoalBytes);
  }
  // Whatever the page: no step beyond what the parts are made of.
  EXPECT_LE(directory + checksums, 12.0);
  EXPECT_LE(runs, static_cast<double>(tmem_kind_bytes(TMEM_KIND_RUN)) / 7 * 1.02);
  engine_stop(&env);
  platform_release(env.page);
  EXPECT_EQ(env.failures, 0u);
}

INSTANTIATE_TEST_SUITE_P(fillings, MetadataTest, testing::ValuesIn(kFillings),
                         [](const testing::TestParamInfo<Filling> &info) { return std::string(info.param.name); });

// A file of which a few pages are left costs at most twice what one of as many pages does that was never larger.
TEST(TruncatedTest, CostsWhatIsLeft) {
  constexpr unsigned int kFiles = 50, kPages = 256;
  for (const unsigned int left : {1u, 3u, 5u, 9u, 40u}) {
    unsigned long long bytes[2];
    for (const bool truncated : {false, true}) {
      scenario_env env = {};
      injector_reset();
      ASSERT_TRUE(engine_start(&env, nullptr, 65536));
      env.page = static_cast<unsigned char *>(platform_allocate(TMEM_PAGE_BYTES));
      const int pool = new_pool(&env, TMEM_POOL_PERSISTENT);
      for (unsigned int file = 0; file < kFiles; ++file) {
        for (unsigned int page = 0; page < (truncated ? kPages : left); ++page)
          ASSERT_EQ(put_data(&env, pool, file, page, CONTENT_NEAR_SAME, page), TMEM_OK);
        const tmem_oid oid = oid_of(file);
        if (truncated) {
          ASSERT_EQ(tmem_flush_range(env.client, pool, &oid, left, kPages - 1), TMEM_OK);
        }
      }
      struct tmem_host_stats stats;
      tmem_host_stats(env.host, &stats);
      ASSERT_EQ(stats.pages.pages, kFiles * left);
      bytes[truncated] = stats.index_bytes;
      engine_stop(&env);
      platform_release(env.page);
    }
    EXPECT_LE(bytes[true], 2 * bytes[false]) << left << " pages";
  }
}

}  // namespace
