// SPDX-License-Identifier: GPL-2.0
#include "platform.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "inline_host.h"

// Of membarrier(2), which the C library has no header for.
enum { kMembarrierPrivateExpedited = 1 << 3, kMembarrierRegisterPrivateExpedited = 1 << 4 };

extern "C" {

__thread unsigned int tmem_bench_thread __attribute__((tls_model("local-exec")));
__thread unsigned long tmem_bench_part __attribute__((tls_model("local-exec")));

// The holder runs on another processor and is about to let go; only if it does
// not for very long has it been preempted, and then it is let run.
void tmem_bench_lock_wait(unsigned long *word) {
  constexpr unsigned int kSpinsBeforeYield = 1u << 14;
  for (unsigned int spins = 1;; ++spins) {
    if (!__atomic_load_n(word, __ATOMIC_RELAXED) && !__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE))
      return;
    if (spins % kSpinsBeforeYield == 0)
      sched_yield();
    else
      __builtin_ia32_pause();
  }
}

void tmem_gate_init(tmem_gate *gate, tmem_counters *counters, unsigned int cell) {
  *tmem_bench_gate_of(gate) = {counters, cell, 0, &counters->parts[0].cells[cell],
                                &counters->parts[0].cells[cell + 1], 0};
  if (syscall(SYS_membarrier, kMembarrierRegisterPrivateExpedited, 0, 0) != 0)
    tmem_bench::fail("this kernel has no membarrier");
}

void tmem_bench_gate_departure(tmem_bench_gate *gate) {
  std::atomic_ref<unsigned int> departures(gate->departures);
  departures.fetch_add(1, std::memory_order_release);
  departures.notify_all();
}

void tmem_gate_close(tmem_gate *gate) {
  tmem_bench_gate *own = tmem_bench_gate_of(gate);
  __atomic_store_n(&own->open, 0, __ATOMIC_SEQ_CST);
  syscall(SYS_membarrier, kMembarrierPrivateExpedited, 0, 0);
  for (;;) {
    std::atomic_ref<unsigned int> departures(own->departures);
    const unsigned int before = departures.load(std::memory_order_acquire);
    // Left before entered: with both equal nobody was inside in between.
    const unsigned long long left = tmem_counters_sum(own->counters, own->cell + 1);
    if (left == tmem_counters_sum(own->counters, own->cell)) return;
    departures.wait(before);
  }
}

}  // extern "C"

namespace tmem_bench {
namespace {

static_assert(kThreadsMax == TMEM_BENCH_THREADS_MAX);

// What one thread has allocated less what it has freed; only the sum over the
// threads has a meaning, and with one thread the peak.
struct alignas(64) Row {
  std::atomic<long long> object_bytes{0};
  long long object_bytes_peak = 0;
  void *frames = nullptr;  // free ones, linked through their first word
};

Row rows[kThreadsMax];
std::atomic<long long> table_bytes_now{0};
long long kind_bytes[TMEM_KINDS];
bool kind_aligned[TMEM_KINDS];  // more than malloc aligns

Row &row() { return rows[tmem_bench_thread]; }

// Nobody else writes to the row: a plain addition, as of any variable.
void account(long long bytes) {
  Row &mine = row();
  const long long now = mine.object_bytes.load(std::memory_order_relaxed) + bytes;
  mine.object_bytes.store(now, std::memory_order_relaxed);
  if (now > mine.object_bytes_peak) mine.object_bytes_peak = now;
}

void *object_alloc(unsigned int kind, unsigned int) {
  account(kind_bytes[kind]);
  if (__builtin_expect(kind_aligned[kind], 0))
    return std::aligned_alloc(tmem_kind_alignment(kind), static_cast<size_t>(kind_bytes[kind]));
  return std::malloc(static_cast<size_t>(kind_bytes[kind]));
}

void object_free(unsigned int kind, void *object) {
  account(-kind_bytes[kind]);
  std::free(object);
}

void *more_frames(Row &mine) {
  constexpr size_t kFrames = 512;
  void *memory = mmap(nullptr, kFrames * TMEM_PAGE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  for (size_t i = 1; i < kFrames; ++i) {
    void **frame = reinterpret_cast<void **>(static_cast<char *>(memory) + i * TMEM_PAGE_BYTES);
    *frame = mine.frames;
    mine.frames = frame;
  }
  return memory;
}

void *frame_alloc(unsigned int) {
  Row &mine = row();
  void **frame = static_cast<void **>(mine.frames);
  if (!frame) return more_frames(mine);
  mine.frames = *frame;
  return frame;
}

void frame_free(void *frame) {
  Row &mine = row();
  *static_cast<void **>(frame) = mine.frames;
  mine.frames = frame;
}

void *table_alloc(unsigned long bytes) {
  table_bytes_now += static_cast<long long>(bytes);
  // Page aligned, as large tables of a kernel are: a bucket is a cache line.
  void *table = std::aligned_alloc(TMEM_PAGE_BYTES, (bytes + TMEM_PAGE_BYTES - 1) / TMEM_PAGE_BYTES * TMEM_PAGE_BYTES);
  if (table) std::memset(table, 0, bytes);
  return table;
}

void table_free(void *table, unsigned long bytes) {
  table_bytes_now -= static_cast<long long>(bytes);
  std::free(table);
}

tmem_counters *counters_alloc(unsigned int cells) {
  if (cells > TMEM_BENCH_CELLS_MAX) fail("a row of %u counters is wider than planned for", cells);
  table_bytes_now += static_cast<long long>(sizeof(tmem_counters));
  void *row = std::aligned_alloc(64, sizeof(tmem_counters));
  if (row) std::memset(row, 0, sizeof(tmem_counters));
  return static_cast<tmem_counters *>(row);
}

void counters_free(tmem_counters *counters, unsigned int) {
  table_bytes_now -= static_cast<long long>(sizeof(tmem_counters));
  std::free(counters);
}

void breathe() {}

void evicted(unsigned int, int, unsigned int) {}
unsigned int node_of(unsigned int) { return 0; }

double seconds_of(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

tmem_host_ops make_host_ops(unsigned long long memory_frames, unsigned int cpus) {
  for (unsigned int kind = 0; kind < TMEM_KINDS; ++kind) {
    kind_bytes[kind] = static_cast<long long>(tmem_kind_bytes(kind));
    kind_aligned[kind] = tmem_kind_alignment(kind) > alignof(max_align_t);
  }
  tmem_host_ops ops = {};
  ops.abi_size = sizeof(ops);
  ops.cpu_count = cpus;
  ops.memory_frames = memory_frames;
  ops.hash_seed = 0x5eed5eed5eed5eedULL;
  ops.object_alloc = object_alloc;
  ops.object_free = object_free;
  ops.frame_alloc = frame_alloc;
  ops.frame_free = frame_free;
  ops.table_alloc = table_alloc;
  ops.table_free = table_free;
  ops.counters_alloc = counters_alloc;
  ops.counters_free = counters_free;
  ops.breathe = breathe;
  ops.evicted = evicted;
  ops.node_of = node_of;
  add_codec(ops);
  return ops;
}

ThreadScope::ThreadScope(unsigned int number) {
  if (number >= kThreadsMax) fail("no more than %u threads", kThreadsMax);
  tmem_bench_thread = number;
  tmem_bench_part = number * sizeof(tmem_counters::parts[0]);
  cpu_set_t allowed, mine;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  int wanted = static_cast<int>(number) % CPU_COUNT(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || wanted-- > 0) continue;
    CPU_ZERO(&mine);
    CPU_SET(cpu, &mine);
    sched_setaffinity(0, sizeof(mine), &mine);
    return;
  }
}

ThreadScope::~ThreadScope() { release_codec_buffers(); }

long long object_bytes() {
  long long sum = 0;
  for (const Row &each : rows) sum += each.object_bytes.load();
  return sum;
}

long long object_bytes_peak() { return rows[0].object_bytes_peak; }
void forget_object_bytes_peak() { rows[0].object_bytes_peak = rows[0].object_bytes.load(); }
long long table_bytes() { return table_bytes_now.load(); }

double wall_seconds() { return seconds_of(CLOCK_MONOTONIC); }
double busy_seconds() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }

void fail(const char *format, ...) {
  std::fprintf(stderr, "%s: error: ", program_invocation_short_name);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  std::exit(4);
}

}  // namespace tmem_bench
