// SPDX-License-Identifier: GPL-2.0
// same_object - what a second thread on the same object of the same pool is worth; four lines of JSON.
//
//   same_object [MILLISECONDS [ROUNDS]]        default: 200 ms, 15 rounds
//
// Each thread has a range of indexes of its own, as two processors have that
// reclaim from one file, or swap to one area. Over and over it puts all pages
// of the range, gets them all, and (the persistent ones) flushes them. First
// with a PAM that stores nothing, so that nothing but the index is shared; then
// with the compressed store, and real pages. One thread and two take turns,
// each for so long; the medians are printed:
//
//   one_ns, two_ns    time that a thread was running, per operation, with one thread and with two
//   scaling           2 * one_ns / two_ns: how much more two processors do that have nothing else to do
//   scaling_wall      operations a second with two threads, over those with one: the same on an idle machine
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench_host.h"
#include "counting_pam.h"
#include "real_pages.h"
#include "threads.h"

using namespace tmem_bench;

namespace {

constexpr unsigned long long kRange = 4096;
constexpr unsigned long long kMemoryFrames = 2 * kRange * 10;  // of which 20 % are the budget, with twice the room for all pages
constexpr tmem_oid kOid = {{0x1234567890abcdef, 42, 0}};

// One thread's work until @stop; returns its operations.
unsigned long long work(tmem_client *client, int pool, bool persistent, unsigned long long first,
                        const std::atomic<bool> &stop) {
  static thread_local Page page_out;
  const std::vector<Page> &pages = real_pages();
  unsigned long long operations = 0, failures = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    for (unsigned long long i = 0; i < kRange; ++i)
      failures += tmem_put(client, pool, &kOid, first + i, pages[i % pages.size()].bytes) != TMEM_OK;
    for (unsigned long long i = 0; i < kRange; ++i)
      failures += tmem_get(client, pool, &kOid, first + i, page_out.bytes) != TMEM_OK;
    operations += 2 * kRange;
    if (!persistent) continue;
    for (unsigned long long i = 0; i < kRange; ++i)
      failures += tmem_flush_page(client, pool, &kOid, first + i) != TMEM_OK;
    operations += kRange;
  }
  if (failures) fail("%llu operations failed", failures);
  return operations;
}

struct Speed {
  double busy_ns;         // of a thread, per operation
  double operations_per_second;
};

Speed measure(BenchHost &host, int pool, bool persistent, unsigned int threads, double seconds) {
  std::atomic<bool> stop{false};
  std::atomic<unsigned long long> operations{0};
  std::thread clock([&] {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
  });
  const Times times = run_in_threads(threads, [&](unsigned int number) {
    operations += work(host.client(), pool, persistent, number * kRange, stop);
  });
  clock.join();
  const double done = static_cast<double>(operations.load());
  return {times.busy_seconds / done * 1e9, done / times.wall_seconds};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void compare(const tmem_pam_ops *pam, const char *keeps, double seconds, int rounds) {
  for (const bool persistent : {false, true}) {
    BenchHost host(kMemoryFrames, 2, pam);
    const int pool = host.new_pool(persistent ? TMEM_POOL_PERSISTENT : 0);
    std::vector<double> one_ns, two_ns, scaling, scaling_wall;
    for (int round = 0; round < rounds; ++round) {
      const Speed one = measure(host, pool, persistent, 1, seconds);
      const Speed two = measure(host, pool, persistent, 2, seconds);
      one_ns.push_back(one.busy_ns);
      two_ns.push_back(two.busy_ns);
      scaling.push_back(2 * one.busy_ns / two.busy_ns);
      scaling_wall.push_back(two.operations_per_second / one.operations_per_second);
    }
    host.validate();
    host.destroy_pool(pool);
    std::printf(
        "{\"engine\":\"tmem\",\"keeps\":\"%s\",\"pool\":\"%s\",\"one_ns\":%.1f,\"two_ns\":%.1f,\"scaling\":%.2f,"
        "\"scaling_wall\":%.2f}\n",
        keeps, persistent ? "persistent" : "ephemeral", median(one_ns), median(two_ns), median(scaling),
        median(scaling_wall));
  }
}

}  // namespace

int main(int argc, char **argv) {
  const double seconds = (argc > 1 ? std::atof(argv[1]) : 200) / 1000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 15;
  if (argc > 3 || seconds <= 0 || rounds < 1) fail("usage: same_object [MILLISECONDS [ROUNDS]]");
  compare(counting_pam(), "nothing", seconds, rounds);
  compare(tmem_compressed_pam(), "pages", seconds, rounds);
  return 0;
}
