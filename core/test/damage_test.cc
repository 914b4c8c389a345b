// SPDX-License-Identifier: GPL-2.0
// One wrong bit in a run's directory, which says where a page is and how it is stored: a get of that page is an error.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

constexpr tmem_oid kOid = {{1, 0, 0}};

std::vector<void *> frames;

TEST(DamageTest, WrongBitOfTheDirectoryIsSeenByAGet) {
  tmem_host_ops ops = *tmem_test::host_ops();
  ops.frame_alloc = [](unsigned int flags) { return frames.emplace_back(tmem_test::host_ops()->frame_alloc(flags)); };
  frames.clear();
  tmem_host *host;
  tmem_client *client;
  ASSERT_EQ(tmem_register_host_ops(&ops, &host), TMEM_OK);
  ASSERT_EQ(tmem_register_pam_ops(host, tmem_compressed_pam()), TMEM_OK);
  ASSERT_EQ(tmem_client_create(host, "c", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client), TMEM_OK);
  for (const unsigned int kind : {CONTENT_TEXT, CONTENT_RANDOM, CONTENT_NEAR_SAME}) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    const int pool = tmem_new_pool(client, TMEM_POOL_PERSISTENT, nullptr);
    frames.clear();
    content_fill(page, kind, 1);
    ASSERT_EQ(tmem_put(client, pool, &kOid, 0, page), TMEM_OK);
    ASSERT_EQ(frames.size(), 8u);
    // The directory grows down from the end of the run's highest frame; its upper half is place and format.
    auto *entry = static_cast<unsigned long long *>(*std::max_element(frames.begin(), frames.end())) + 511;
    for (unsigned int bit = 32; bit < 64; ++bit) {
      *entry ^= 1ull << bit;
      EXPECT_EQ(tmem_get(client, pool, &kOid, 0, page), TMEM_CORRUPT) << "bit " << bit;
      *entry ^= 1ull << bit;
    }
    EXPECT_EQ(tmem_get(client, pool, &kOid, 0, page), TMEM_OK);
    EXPECT_TRUE(content_matches(page, kind, 1));
    EXPECT_EQ(tmem_destroy_pool(client, pool), TMEM_OK);
  }
  tmem_client_destroy(client);
  EXPECT_EQ(tmem_unregister_host(host), TMEM_OK);
}

}  // namespace
