// SPDX-License-Identifier: GPL-2.0
#include "counting_pam.h"

#include "inline_host.h"
#include "platform.h"

namespace tmem_bench {
namespace {

// A thread's own row, plain additions: it costs no more than the peer's, which counts in one variable. Rows
// are as far apart as a thread's parts of a row of counters, so one number finds both.
struct alignas(64) Row {
  unsigned long long references = 0;
  unsigned long long last = 0;  // what the thread gave out last: it counts in steps of kThreadsMax
  char unused[sizeof(tmem_counters::parts[0]) - 16];
};
static_assert(sizeof(Row) == sizeof(tmem_counters::parts[0]));

Row rows[kThreadsMax];

Row &own_row() { return *reinterpret_cast<Row *>(reinterpret_cast<char *>(rows) + tmem_bench_part); }

int start(tmem_host *, void **pam) {
  *pam = rows;
  return TMEM_OK;
}
void stop(void *) {}

// No two pages may have the same pampd: a number of the thread's, and the thread's.
int create(void *, const tmem_pam_page *, unsigned long long *pampd) {
  Row &mine = own_row();
  tmem_bench_add(&rows[0].references, 1);
  *pampd = (mine.last += kThreadsMax) + tmem_bench_thread;
  return TMEM_OK;
}

void hold(void *, unsigned long long) { tmem_bench_add(&rows[0].references, 1); }
int get_data(void *, unsigned long long, void *) { return TMEM_OK; }
void release(void *, unsigned long long) { tmem_bench_add(&rows[0].references, -1ULL); }
void free(void *, unsigned long long) { tmem_bench_add(&rows[0].references, -1ULL); }

unsigned long long shrink(void *, unsigned long long, unsigned int) { return 0; }
void offer(void *, unsigned int, tmem_offer *) {}
void set_limit(void *, unsigned long long) {}
void set_client(void *, unsigned int, unsigned int, unsigned long long) {}

void usage(void *, tmem_usage *usage) {
  usage->entries = static_cast<unsigned long long>(counted_pages());
}
void client_usage(void *, unsigned int, tmem_client_usage *) {}

}  // namespace

const tmem_pam_ops *counting_pam() {
  static const tmem_pam_ops ops = [] {
    tmem_pam_ops made = {};
    made.abi_size = sizeof(made);
    made.start = start;
    made.stop = stop;
    made.create = create;
    made.hold = hold;
    made.get_data = get_data;
    made.release = release;
    made.free = free;
    made.shrink = shrink;
    made.compact = shrink;
    made.offer = offer;
    made.set_limit = set_limit;
    made.set_client = set_client;
    made.usage = usage;
    made.client_usage = client_usage;
    return made;
  }();
  return &ops;
}

long long counted_pages() {
  unsigned long long sum = 0;
  for (const Row &each : rows) sum += __atomic_load_n(&each.references, __ATOMIC_RELAXED);
  return static_cast<long long>(sum);
}

}  // namespace tmem_bench
