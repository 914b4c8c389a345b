// SPDX-License-Identifier: GPL-2.0
// What it costs to make a client or a pool when there are many pools: clients and pools come and go
// under one lock, so nothing there may walk over all pools.
//
// The pools' memory is put out of reach meanwhile: whoever looks at one of them dies, or is counted.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

namespace {

constexpr tmem_oid kOid = {{1, 0, 0}};

class ManyPoolsTest : public testing::Test {
 protected:
  static constexpr unsigned int kPools = 64;

  void SetUp() override {
    vault_.clear();
    ops_ = *tmem_test::host_ops();
    ops_.table_alloc = [](unsigned long bytes) -> void * {
      if (!into_vault_) return tmem_test::host_ops()->table_alloc(bytes);
      void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) return nullptr;
      vault_[memory] = bytes;
      return memory;
    };
    ops_.table_free = [](void *table, unsigned long bytes) {
      if (!vault_.count(table)) return tmem_test::host_ops()->table_free(table, bytes);
      munmap(table, vault_[table]);
      vault_.erase(table);
    };
    ASSERT_EQ(tmem_register_host_ops(&ops_, &host_), TMEM_OK);
    ASSERT_EQ(tmem_register_pam_ops(host_, tmem_compressed_pam()), TMEM_OK);
    ASSERT_EQ(tmem_client_create(host_, "first", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &first_), TMEM_OK);
  }
  void TearDown() override {
    tmem_client_destroy(first_);
    EXPECT_EQ(tmem_validate(host_), 0);
    EXPECT_EQ(tmem_unregister_host(host_), TMEM_OK);
    EXPECT_TRUE(vault_.empty());
  }

  int put(tmem_client *client, int pool, unsigned long long index) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES];
    content_fill(page, CONTENT_TEXT, index + 1);
    return tmem_put(client, pool, &kOid, index, page);
  }
  int get(tmem_client *client, int pool, unsigned long long index) {
    alignas(8) unsigned char page[TMEM_PAGE_BYTES] = {};
    const int result = tmem_get(client, pool, &kOid, index, page);
    EXPECT_TRUE(result != TMEM_OK || content_matches(page, CONTENT_TEXT, index + 1));
    return result;
  }

  // Pools of the first client with a page each, in memory that can be shut.
  void make_pools() {
    ASSERT_GE(tmem_new_pool(first_, 0, nullptr), 0);  // with it comes memory for the table of pools, which all look at
    into_vault_ = true;
    for (unsigned int i = 0; i < kPools; ++i) {
      pools_.push_back(tmem_new_pool(first_, i & TMEM_POOL_PERSISTENT, nullptr));
      ASSERT_GE(pools_[i], 0);
    }
    into_vault_ = false;
    ASSERT_EQ(vault_.size(), kPools);
    for (unsigned int i = 0; i < kPools; ++i) ASSERT_EQ(put(first_, pools_[i], i), TMEM_OK);
  }
  static void shut(bool shut) {
    for (const auto &[memory, bytes] : vault_)
      ASSERT_EQ(mprotect(memory, bytes, shut ? PROT_NONE : PROT_READ | PROT_WRITE), 0);
  }

  static inline std::map<void *, unsigned long> vault_;
  static inline bool into_vault_ = false;
  static inline unsigned int looked_at_ = 0;
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *first_ = nullptr;
  std::vector<int> pools_;
};

TEST_F(ManyPoolsTest, NobodyLooksAtThePoolsOfOthers) {
  make_pools();
  shut(true);
  tmem_client *second = nullptr;
  EXPECT_EQ(tmem_client_create(host_, "second", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &second), TMEM_OK);
  for (const unsigned int flags : {0u, static_cast<unsigned int>(TMEM_POOL_PERSISTENT)}) {
    const int pool = tmem_new_pool(second, flags, nullptr);
    EXPECT_GE(pool, 0);
    EXPECT_EQ(put(second, pool, 1), TMEM_OK);
    EXPECT_EQ(get(second, pool, 1), TMEM_OK);
    EXPECT_EQ(tmem_destroy_pool(second, pool), TMEM_OK);
  }
  tmem_client_destroy(second);
  shut(false);
  for (unsigned int i = 0; i < kPools; ++i) EXPECT_EQ(get(first_, pools_[i], i), TMEM_OK);
}

// Of the shared ones, each with a uuid of its own, hardly any are passed on the way to one of them, or to none.
TEST_F(ManyPoolsTest, FewPoolsArePassedOnTheWayToASharedOne) {
  constexpr unsigned int kShared = 512;
  tmem_client *second = nullptr;
  ASSERT_EQ(tmem_client_create(host_, "second", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &second), TMEM_OK);
  into_vault_ = true;
  for (unsigned long long i = 0; i < kShared; ++i) {
    const unsigned long long uuid[2] = {i, i >> 3};
    ASSERT_GE(tmem_new_pool(first_, TMEM_POOL_SHARED, uuid), 0);
  }
  into_vault_ = false;
  struct sigaction counting = {}, before = {};
  counting.sa_flags = SA_SIGINFO;
  counting.sa_sigaction = [](int, siginfo_t *info, void *) {
    for (const auto &[memory, bytes] : vault_)
      if (info->si_addr >= memory && info->si_addr < static_cast<char *>(memory) + bytes) {
        looked_at_++;
        mprotect(memory, bytes, PROT_READ | PROT_WRITE);
        return;
      }
    signal(SIGSEGV, SIG_DFL);
  };
  ASSERT_EQ(sigaction(SIGSEGV, &counting, &before), 0);
  unsigned int most = 0;
  for (unsigned long long i = 0; i < 2 * kShared; i += 37) {
    const unsigned long long uuid[2] = {i, i >> 3};  // every other one is there
    looked_at_ = 0;
    shut(true);
    const int pool = tmem_new_pool(second, TMEM_POOL_SHARED, uuid);
    shut(false);
    EXPECT_GE(pool, 0);
    most = std::max(most, looked_at_);
    EXPECT_EQ(tmem_destroy_pool(second, pool), TMEM_OK);
  }
  sigaction(SIGSEGV, &before, nullptr);
  EXPECT_GT(most, 0u) << "nothing was counted";
  EXPECT_LE(most, kShared / 8);
  tmem_client_destroy(second);
}

// A client's number means an account, and a shared pool that it has left is still charged to that.
TEST_F(ManyPoolsTest, NumberIsFreeWhenTheLastPoolOfItIsGone) {
  constexpr unsigned long long kUuid[2] = {1, 2};
  tmem_client *maker = nullptr;
  ASSERT_EQ(tmem_client_create(host_, "maker", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &maker), TMEM_OK);
  ASSERT_GE(tmem_new_pool(maker, TMEM_POOL_SHARED, kUuid), 0);
  const int joined = tmem_new_pool(first_, TMEM_POOL_SHARED, kUuid);
  ASSERT_GE(joined, 0);
  tmem_client_destroy(maker);
  std::vector<tmem_client *> others;
  const auto create = [&] {
    tmem_client *client = nullptr;
    const int result = tmem_client_create(host_, "other", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client);
    if (client) others.push_back(client);
    return result;
  };
  for (unsigned int i = 0; i < TMEM_CLIENTS_MAX - 2; ++i) EXPECT_EQ(create(), TMEM_OK) << i;
  EXPECT_EQ(create(), TMEM_TOO_MANY) << "the maker's number is given to another";
  EXPECT_EQ(tmem_validate(host_), 0);
  EXPECT_EQ(tmem_destroy_pool(first_, joined), TMEM_OK);
  EXPECT_EQ(create(), TMEM_OK) << "the maker's number is lost";
  for (tmem_client *client : others) tmem_client_destroy(client);
}

}  // namespace
