// SPDX-License-Identifier: GPL-2.0
// parts - single operations, by Google Benchmark; its options apply (--benchmark_filter=store).
//
// The index operations use the PAM that stores no data, on an index of as many
// pages as a 4 GiB machine keeps, in an order that caches and prefetchers do
// not foresee ("scattered") or the one of a file read front to back ("in_order").
// The store's use the compressed one with pages of this very machine: programs,
// libraries and their text, with plain LZO on the same pages beside it.
#include <benchmark/benchmark.h>
#include <lzo/lzo1x.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/hash.h"
#include "bench_host.h"
#include "counting_pam.h"
#include "real_pages.h"

using namespace tmem_bench;

namespace {

constexpr unsigned long long kPages = 1 << 18;           // stored: 1 GiB
constexpr unsigned long long kMemoryFrames = kPages * 5;  // 20 % of memory

alignas(TMEM_PAGE_BYTES) unsigned char plain_page[TMEM_PAGE_BYTES] = {1};
alignas(TMEM_PAGE_BYTES) unsigned char page_out[TMEM_PAGE_BYTES];

// ---- The hash of a handle

void hash_handle(benchmark::State &state) {
  const tmem::HandleHash hash(42);
  tmem::Oid oid{{1, 2, 3}};
  unsigned long long base = 0;
  for (auto _ : state) {
    // Each depends on the one before: its latency, not its throughput.
    oid.word[0] ^= base;
    base = hash.of_leaf(hash.halves(7, oid), base);
    benchmark::DoNotOptimize(base);
  }
}
BENCHMARK(hash_handle);

// ---- The index

enum Order { kInOrder, kScattered };

std::vector<unsigned int> order_of(Order order) {
  std::vector<unsigned int> indexes(kPages);
  std::iota(indexes.begin(), indexes.end(), 0);
  if (order == kScattered) std::shuffle(indexes.begin(), indexes.end(), std::mt19937(1));
  return indexes;
}

// A swap area, or a file, of kPages pages.
class Index {
 public:
  Index(unsigned int flags, Order order)
      : host_(kMemoryFrames, 1, counting_pam()), pool_(host_.new_pool(flags)), indexes_(order_of(order)) {}
  ~Index() {
    host_.validate();
    host_.destroy_pool(pool_);
  }

  void put(size_t i) { expect(tmem_put(host_.client(), pool_, &kOid, indexes_[i], plain_page)); }
  void get(size_t i) { expect(tmem_get(host_.client(), pool_, &kOid, indexes_[i], page_out)); }
  void get_missing(size_t i) {
    if (tmem_get(host_.client(), pool_, &kOid, kPages + indexes_[i], page_out) != TMEM_NOT_FOUND)
      fail("a page that was never put is there");
  }
  void flush(size_t i) { expect(tmem_flush_page(host_.client(), pool_, &kOid, indexes_[i])); }
  void put_all() {
    for (size_t i = 0; i < kPages; ++i) put(i);
  }
  void flush_all() { expect(tmem_flush_object(host_.client(), pool_, &kOid)); }

 private:
  static constexpr tmem_oid kOid = {{5, 0, 0}};
  static void expect(int result) {
    if (result != TMEM_OK) fail("an operation answered %d", result);
  }
  BenchHost host_;
  int pool_;
  std::vector<unsigned int> indexes_;
};

// Runs @each for page 0, 1, ... kPages - 1 and again; what @between does after each round is not timed.
template <typename Each, typename Between>
void over_all_pages(benchmark::State &state, Each each, Between between) {
  size_t i = 0;
  for (auto _ : state) {
    each(i);
    if (++i < kPages) continue;
    i = 0;
    state.PauseTiming();
    between();
    state.ResumeTiming();
  }
}

void put_new(benchmark::State &state, Order order) {
  Index index(0, order);
  over_all_pages(state, [&](size_t i) { index.put(i); }, [&] { index.flush_all(); });
  index.put(0);  // one is there to be flushed whatever the number of rounds
  index.flush_all();
}
void put_again(benchmark::State &state, Order order) {
  Index index(TMEM_POOL_PERSISTENT, order);
  index.put_all();
  over_all_pages(state, [&](size_t i) { index.put(i); }, [] {});
  index.flush_all();
}
void get_hit(benchmark::State &state, Order order) {
  Index index(TMEM_POOL_PERSISTENT, order);
  index.put_all();
  over_all_pages(state, [&](size_t i) { index.get(i); }, [] {});
  index.flush_all();
}
void get_exclusive(benchmark::State &state, Order order) {
  Index index(0, order);
  index.put_all();
  over_all_pages(state, [&](size_t i) { index.get(i); }, [&] { index.put_all(); });
  index.put(0);
  index.flush_all();
}
void get_miss(benchmark::State &state, Order order) {
  Index index(TMEM_POOL_PERSISTENT, order);
  index.put_all();
  over_all_pages(state, [&](size_t i) { index.get_missing(i); }, [] {});
  index.flush_all();
}
void flush(benchmark::State &state, Order order) {
  Index index(TMEM_POOL_PERSISTENT, order);
  index.put_all();
  over_all_pages(state, [&](size_t i) { index.flush(i); }, [&] { index.put_all(); });
  index.put(0);
  index.flush_all();
}

#define TMEM_BOTH_ORDERS(name)                  \
  BENCHMARK_CAPTURE(name, in_order, kInOrder);  \
  BENCHMARK_CAPTURE(name, scattered, kScattered)
TMEM_BOTH_ORDERS(put_new);
TMEM_BOTH_ORDERS(put_again);
TMEM_BOTH_ORDERS(get_hit);
TMEM_BOTH_ORDERS(get_exclusive);
TMEM_BOTH_ORDERS(get_miss);
TMEM_BOTH_ORDERS(flush);

// ---- The store

void lzo_compress(benchmark::State &state) {
  const std::vector<Page> &pages = real_pages();
  std::vector<unsigned char> workspace(LZO1X_1_MEM_COMPRESS), output(TMEM_CODEC_OUTPUT_BYTES);
  size_t i = 0;
  for (auto _ : state) {
    lzo_uint bytes = 0;
    lzo1x_1_compress(pages[i].bytes, sizeof(Page), output.data(), &bytes, workspace.data());
    std::memcpy(page_out, output.data(), bytes);  // to where it would be kept
    benchmark::ClobberMemory();
    i = i + 1 < pages.size() ? i + 1 : 0;
  }
}
BENCHMARK(lzo_compress);

void lzo_decompress(benchmark::State &state) {
  const std::vector<Page> &pages = real_pages();
  std::vector<std::vector<unsigned char>> compressed;
  std::vector<unsigned char> workspace(LZO1X_1_MEM_COMPRESS), output(TMEM_CODEC_OUTPUT_BYTES);
  for (const Page &page : pages) {
    lzo_uint bytes = 0;
    lzo1x_1_compress(page.bytes, sizeof(page), output.data(), &bytes, workspace.data());
    compressed.emplace_back(output.begin(), output.begin() + static_cast<long>(bytes));
  }
  size_t i = 0;
  for (auto _ : state) {
    lzo_uint bytes = TMEM_PAGE_BYTES;
    lzo1x_decompress_safe(compressed[i].data(), compressed[i].size(), page_out, &bytes, nullptr);
    benchmark::ClobberMemory();
    i = i + 1 < pages.size() ? i + 1 : 0;
  }
}
BENCHMARK(lzo_decompress);

// The compressed store with no index above it.
class Store {
 public:
  explicit Store(unsigned long long limit_frames) : ops_(make_host_ops(limit_frames * 5, 1)) {
    if (tmem_register_host_ops(&ops_, &host_) || store_.start(host_, &pam_)) fail("no memory");
    store_.set_limit(pam_, limit_frames);
  }
  ~Store() {
    store_.stop(pam_);
    if (tmem_unregister_host(host_)) fail("the engine does not end");
  }

  unsigned long long create(const Page &page) {
    tmem_pam_page request = {};
    request.data = page.bytes;
    request.back_reference = ~0ULL;
    request.persistent = 1;
    unsigned long long pampd = 0;
    if (const int result = store_.create(pam_, &request, &pampd)) fail("create answered %d", result);
    return pampd;
  }
  void get_data(unsigned long long pampd) {
    if (store_.get_data(pam_, pampd, page_out)) fail("a page does not come back");
  }
  void free(unsigned long long pampd) { store_.free(pam_, pampd); }

 private:
  const tmem_pam_ops &store_ = *tmem_compressed_pam();
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  void *pam_ = nullptr;
};

void store_create(benchmark::State &state) {
  const std::vector<Page> &pages = real_pages();
  Store store(pages.size() * 2);
  std::vector<unsigned long long> pampds(pages.size());
  size_t i = 0;
  const auto free_first = [&](size_t count) {
    for (size_t each = 0; each < count; ++each) store.free(pampds[each]);
  };
  for (auto _ : state) {
    pampds[i] = store.create(pages[i]);
    if (++i < pages.size()) continue;
    i = 0;
    state.PauseTiming();
    free_first(pages.size());
    state.ResumeTiming();
  }
  free_first(i);
}
BENCHMARK(store_create);

void store_get_data(benchmark::State &state) {
  const std::vector<Page> &pages = real_pages();
  Store store(pages.size() * 2);
  std::vector<unsigned long long> pampds;
  for (const Page &page : pages) pampds.push_back(store.create(page));
  size_t i = 0;
  for (auto _ : state) {
    store.get_data(pampds[i]);
    benchmark::ClobberMemory();
    i = i + 1 < pages.size() ? i + 1 : 0;
  }
  for (const unsigned long long pampd : pampds) store.free(pampd);
}
BENCHMARK(store_get_data);

// Through the engine, with the compressed store full of ephemeral pages: one run
// evicted, its pages taken out of the index one by one, its frames given back.
void evict_run(benchmark::State &state) {
  const std::vector<Page> &pages = real_pages();
  BenchHost host(pages.size() * 10, 1, tmem_compressed_pam());
  const int pool = host.new_pool(0);
  unsigned long long next = 0, frames = 0, runs = 0;
  const auto fill = [&] {
    for (const Page &page : pages) {
      const tmem_oid oid = {{next / 64, 0, 0}};
      if (tmem_put(host.client(), pool, &oid, next++ % 64, page.bytes)) fail("a put is refused");
    }
  };
  struct tmem_host_stats stats;
  tmem_host_stats(host.host(), &stats);
  for (auto _ : state) {
    unsigned long long freed = tmem_shrink(host.host(), 1);
    if (freed == 0) {
      state.PauseTiming();
      fill();
      state.ResumeTiming();
      freed = tmem_shrink(host.host(), 1);
    }
    if (freed == 0) fail("nothing can be evicted");
    frames += freed;
    runs++;
  }
  tmem_host_stats(host.host(), &stats);
  state.counters["pages"] = static_cast<double>(stats.pages.pages_evicted) / static_cast<double>(runs);
  state.counters["frames"] = static_cast<double>(frames) / static_cast<double>(runs);
  host.destroy_pool(pool);
}
BENCHMARK(evict_run);

}  // namespace

BENCHMARK_MAIN();
