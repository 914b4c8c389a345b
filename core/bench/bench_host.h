// SPDX-License-Identifier: GPL-2.0
// One engine with one client for the time of a measurement; what fails ends the program.
#ifndef TMEM_CORE_BENCH_BENCH_HOST_H
#define TMEM_CORE_BENCH_BENCH_HOST_H

#include "platform.h"

namespace tmem_bench {

class BenchHost {
 public:
  BenchHost(unsigned long long memory_frames, unsigned int cpus, const tmem_pam_ops *pam)
      : ops_(make_host_ops(memory_frames, cpus)) {
    if (tmem_register_host_ops(&ops_, &host_) || tmem_register_pam_ops(host_, pam) ||
        tmem_client_create(host_, "bench", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_))
      fail("no memory for an engine of %llu page frames", memory_frames);
  }
  ~BenchHost() {
    tmem_client_destroy(client_);
    if (tmem_unregister_host(host_)) fail("the engine does not end");
  }
  BenchHost(const BenchHost &) = delete;
  BenchHost &operator=(const BenchHost &) = delete;

  int new_pool(unsigned int flags) {
    const int pool = tmem_new_pool(client_, flags, nullptr);
    if (pool < 0) fail("no pool: %d", pool);
    return pool;
  }
  void destroy_pool(int pool) {
    if (const int result = tmem_destroy_pool(client_, pool)) fail("destroy pool: %d", result);
  }
  // The engine's invariants; nothing else is running.
  void validate() {
    if (const int broken = tmem_validate(host_)) fail("invariant %d is broken", broken);
  }

  tmem_host *host() const { return host_; }
  tmem_client *client() const { return client_; }

 private:
  tmem_host_ops ops_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
};

}  // namespace tmem_bench

#endif
