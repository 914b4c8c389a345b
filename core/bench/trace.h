// SPDX-License-Identifier: GPL-2.0
// Operation traces: files of 32-byte little-endian records, replayed in order.
//
//   0     op: 'p' put, 'g' get, 'f' flush page, 'o' flush object
//   1     pool, 0 to 15: even ones are ephemeral, odd ones persistent
//   2-3   zero
//   4-7   page index
//   8-31  object id, three words
#ifndef TMEM_CORE_BENCH_TRACE_H
#define TMEM_CORE_BENCH_TRACE_H

#include <bit>
#include <cstdint>
#include <vector>

#include "abi.h"

namespace tmem_bench {

struct Record {
  uint8_t op;
  uint8_t pool;
  uint16_t zero;
  uint32_t index;
  tmem_oid oid;
};
static_assert(sizeof(Record) == 32 && std::endian::native == std::endian::little);

inline constexpr unsigned int kPools = 16;

using Trace = std::vector<Record>;

// Reads a whole file; ends the program with one line if it is no trace.
Trace read_trace(const char *path);

// The trace in @parts traces of about the same length. All operations on one
// object are in one part, in their order, so whatever order the parts are
// replayed in, each operation ends as it does in the whole.
std::vector<Trace> split_by_object(const Trace &trace, unsigned int parts);

}  // namespace tmem_bench

#endif
