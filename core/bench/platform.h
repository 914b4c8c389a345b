// SPDX-License-Identifier: GPL-2.0
// The host of the benchmarks: memory and a codec as fast as a kernel's, without
// a check of anything. Locks, counters and gates are in inline_host.h.
//
// Small objects come from malloc, one call each, as those of the peer do
// (seedbench), so that the two are compared and not two allocators; frames from
// a free list of each thread. What objects and tables take is counted, by the
// bytes the core asked for: by kind for objects, whatever malloc adds.
#ifndef TMEM_CORE_BENCH_PLATFORM_H
#define TMEM_CORE_BENCH_PLATFORM_H

#include "abi.h"

namespace tmem_bench {

inline constexpr unsigned int kThreadsMax = 64;  // TMEM_BENCH_THREADS_MAX of inline_host.h

// The host ops for a machine of so much memory and so many CPUs. They must
// outlive the host that is made of them; codec: see codec.cc.
tmem_host_ops make_host_ops(unsigned long long memory_frames, unsigned int cpus);

// While it lives, this thread is CPU @number and stays on one processor of those
// that the process may use. The main thread is CPU 0 without it, and free to move.
class ThreadScope {
 public:
  explicit ThreadScope(unsigned int number);
  ~ThreadScope();
  ThreadScope(const ThreadScope &) = delete;
  ThreadScope &operator=(const ThreadScope &) = delete;
};

// Bytes in objects now, summed over the threads.
long long object_bytes();
// The most that the main thread had at one time, if it was the only one; and forgetting it.
long long object_bytes_peak();
void forget_object_bytes_peak();
// Bytes in tables now: hash tables, counters, pools, the engine itself.
long long table_bytes();

// Seconds, from some moment on; and those that this thread was running.
double wall_seconds();
double busy_seconds();

// The codec's part of the ops, and what it keeps for a thread that ends.
void add_codec(tmem_host_ops &ops);
void release_codec_buffers();

// Ends the program with one line.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace tmem_bench

#endif
