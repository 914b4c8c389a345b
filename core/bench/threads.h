// SPDX-License-Identifier: GPL-2.0
// Starts threads that begin together, each on a processor of its own, and waits for their end.
#ifndef TMEM_CORE_BENCH_THREADS_H
#define TMEM_CORE_BENCH_THREADS_H

#include <atomic>
#include <thread>
#include <vector>

#include "inline_host.h"
#include "platform.h"

namespace tmem_bench {

// Wall: from the moment all were ready to the end of the last. Busy: while they
// were running on a processor, spinning for a lock included, summed; other
// work of the machine adds to the first, and less to the second.
struct Times {
  double wall_seconds;
  double busy_seconds;
};

// run(number) in @count threads.
template <typename Run>
Times run_in_threads(unsigned int count, Run run) {
  std::atomic<unsigned int> ready{0};
  std::atomic<bool> go{false};
  std::vector<double> busy(count), end(count);
  std::vector<std::thread> threads;
  for (unsigned int number = 0; number < count; ++number)
    threads.emplace_back([&, number] {
      const ThreadScope scope(number);
      ready++;
      while (!go) __builtin_ia32_pause();
      const double busy_before = busy_seconds();
      run(number);
      busy[number] = busy_seconds() - busy_before;
      end[number] = wall_seconds();
    });
  while (ready != count) std::this_thread::yield();
  const double begin = wall_seconds();
  go = true;
  for (std::thread &thread : threads) thread.join();
  Times times{0, 0};
  for (unsigned int number = 0; number < count; ++number) {
    times.wall_seconds = std::max(times.wall_seconds, end[number] - begin);
    times.busy_seconds += busy[number];
  }
  return times;
}

}  // namespace tmem_bench

#endif
