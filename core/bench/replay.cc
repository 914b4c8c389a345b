// SPDX-License-Identifier: GPL-2.0
// replay - replays an operation trace (trace.h) through the core; prints one line of JSON.
//
//   replay [--threads N] TRACE [REPETITIONS]        default: 1 thread, 3 repetitions
//
// The PAM stores no data, so what is timed is the index. Each repetition has
// pools of its own; making and destroying them is not timed.
//
// A first pass, untimed, finds the most pages that are there at one time, and
// then the engine is made for a machine in which they are 20 % of the memory,
// the default of max_pool_percent: so are its hash tables sized.
//
//   ns_per_op            wall clock, of the best repetition
//   busy_ns_per_op       time that the threads were running, per operation, of that repetition
//   put_ok ...           operations that returned 0
//   peak_pages           the most pages at one time, looked at after each operation
//   peak_metadata_bytes  the most bytes in objects that the core allocated and had not freed, at the size it
//                        asked for (leaves, objects; not the hash tables, nor pools)
//   table_bytes          what is there whatever is stored: hash tables, the store's own, counters of one CPU for each of the 16 pools
//
// With more threads the trace is split by objects (trace.h), so the counts are
// the same; peaks are then those of the first pass, which has one thread.
// Exit: 0, 4 bad usage, no trace, no memory, or the core misbehaved.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "bench_host.h"
#include "counting_pam.h"
#include "threads.h"
#include "trace.h"

using namespace tmem_bench;

namespace {

constexpr unsigned long long kFramesPerPage = 5;  // 20 %

struct Tally {
  long long put = 0, get = 0, flush = 0, flush_object = 0;
  friend bool operator==(const Tally &, const Tally &) = default;
  Tally &operator+=(const Tally &other) {
    put += other.put;
    get += other.get;
    flush += other.flush;
    flush_object += other.flush_object;
    return *this;
  }
};

// A page that is not same-filled, which is seen at its first and last word; and where gets go.
alignas(TMEM_PAGE_BYTES) unsigned char page_in[TMEM_PAGE_BYTES] = {1};
alignas(TMEM_PAGE_BYTES) thread_local unsigned char page_out[TMEM_PAGE_BYTES];

class Pools {
 public:
  explicit Pools(BenchHost &host) : host_(host) {
    for (unsigned int i = 0; i < kPools; ++i)
      ids_[i] = host.new_pool(i % 2 ? TMEM_POOL_PERSISTENT : 0);
  }
  ~Pools() {
    for (const int id : ids_) host_.destroy_pool(id);
  }
  Pools(const Pools &) = delete;
  Pools &operator=(const Pools &) = delete;
  int operator[](unsigned int i) const { return ids_[i]; }

 private:
  BenchHost &host_;
  int ids_[kPools];
};

// after_each() is called after each operation.
template <typename AfterEach>
Tally replay(tmem_client *client, const Pools &pools, const Trace &trace, AfterEach after_each) {
  Tally ok;
  for (const Record &record : trace) {
    const int pool = pools[record.pool];
    switch (record.op) {
      case 'p': ok.put += tmem_put(client, pool, &record.oid, record.index, page_in) == TMEM_OK; break;
      case 'g': ok.get += tmem_get(client, pool, &record.oid, record.index, page_out) == TMEM_OK; break;
      case 'f': ok.flush += tmem_flush_page(client, pool, &record.oid, record.index) == TMEM_OK; break;
      case 'o': ok.flush_object += tmem_flush_object(client, pool, &record.oid) == TMEM_OK; break;
    }
    after_each();
  }
  return ok;
}

struct Peaks {
  long long pages = 0;
  long long object_bytes = 0;
  Tally ok;
};

Peaks find_peaks(const Trace &trace, unsigned long long memory_frames) {
  BenchHost host(memory_frames, 1, counting_pam());
  const Pools pools(host);
  Peaks peaks;
  forget_object_bytes_peak();
  peaks.ok = replay(host.client(), pools, trace, [&] {
    const long long pages = counted_pages();
    if (pages > peaks.pages) peaks.pages = pages;
  });
  host.validate();
  peaks.object_bytes = object_bytes_peak();
  return peaks;
}

Times replay_timed(BenchHost &host, const Pools &pools, const std::vector<Trace> &parts, Tally &ok) {
  if (parts.size() == 1) {
    const double busy_before = busy_seconds(), begin = wall_seconds();
    ok = replay(host.client(), pools, parts[0], [] {});
    return {wall_seconds() - begin, busy_seconds() - busy_before};
  }
  std::vector<Tally> oks(parts.size());
  const Times times = run_in_threads(static_cast<unsigned int>(parts.size()), [&](unsigned int number) {
    oks[number] = replay(host.client(), pools, parts[number], [] {});
  });
  ok = {};
  for (const Tally &each : oks) ok += each;
  return times;
}

long number_of(const char *text, long largest) {
  char *end;
  const long number = std::strtol(text, &end, 10);
  if (*end || end == text || number < 1 || number > largest)
    fail("'%s' is not a number from 1 to %ld", text, largest);
  return number;
}

}  // namespace

int main(int argc, char **argv) {
  constexpr const char *kUsage = "usage: replay [--threads N] TRACE [REPETITIONS]";
  unsigned int threads = 1;
  int first = 1;
  if (argc > 2 && !std::strcmp(argv[1], "--threads")) {
    threads = static_cast<unsigned int>(number_of(argv[2], kThreadsMax));
    first = 3;
  }
  if (argc - first < 1 || argc - first > 2 || argv[first][0] == '-') fail("%s", kUsage);
  const long repetitions = argc - first == 2 ? number_of(argv[first + 1], 1000000) : 3;

  const Trace trace = read_trace(argv[first]);
  const Peaks first_pass = find_peaks(trace, trace.size() * kFramesPerPage);
  const unsigned long long memory_frames =
      static_cast<unsigned long long>(std::max(first_pass.pages, 1LL)) * kFramesPerPage;
  const std::vector<Trace> parts =
      threads == 1 ? std::vector<Trace>{trace} : split_by_object(trace, threads);

  forget_object_bytes_peak();
  Times best{1e99, 0};
  unsigned long long bytes_in_tables;
  {
    BenchHost host(memory_frames, threads, counting_pam());
    for (long i = 0; i < repetitions; ++i) {
      const Pools pools(host);
      Tally ok;
      const Times times = replay_timed(host, pools, parts, ok);
      if (times.wall_seconds < best.wall_seconds) best = times;
      if (ok != first_pass.ok) fail("repetition %ld does not end as the first pass did", i + 1);
      if (i == 0) host.validate();
    }
    struct tmem_host_stats stats;
    tmem_host_stats(host.host(), &stats);
    bytes_in_tables = stats.table_bytes;
  }
  if (counted_pages() || object_bytes() || table_bytes())
    fail("%lld pages, %lld bytes of objects and %lld of tables are left over", counted_pages(),
         object_bytes(), table_bytes());

  const double operations = static_cast<double>(trace.size());
  const double pages = static_cast<double>(std::max(first_pass.pages, 1LL));
  const long long peak_bytes = threads == 1 ? object_bytes_peak() : first_pass.object_bytes;
  std::printf(
      "{\"engine\":\"tmem\",\"ops\":%zu,\"ns_per_op\":%.1f,\"put_ok\":%lld,\"get_ok\":%lld,"
      "\"flush_ok\":%lld,\"flush_object_ok\":%lld,\"peak_pages\":%lld,\"peak_metadata_bytes\":%lld,"
      "\"bytes_per_page\":%.1f,\"table_bytes\":%llu,\"table_bytes_per_page\":%.1f,"
      "\"memory_frames\":%llu,\"threads\":%u,\"busy_ns_per_op\":%.1f}\n",
      trace.size(), best.wall_seconds / operations * 1e9, first_pass.ok.put, first_pass.ok.get,
      first_pass.ok.flush, first_pass.ok.flush_object, first_pass.pages, peak_bytes,
      static_cast<double>(peak_bytes) / pages, bytes_in_tables,
      static_cast<double>(bytes_in_tables) / pages, memory_frames, threads,
      best.busy_seconds / operations * 1e9);
  return 0;
}
