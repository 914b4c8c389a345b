// SPDX-License-Identifier: GPL-2.0
#include "trace.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unordered_map>

#include "platform.h"

namespace tmem_bench {
namespace {

// What is wrong with the record, or nullptr.
const char *fault_of(const Record &record) {
  if (!std::memchr("pgfo", record.op, 4)) return "has an unknown operation";
  if (record.pool >= kPools) return "names a pool that does not exist";
  if (record.zero) return "has something where zero belongs";
  return nullptr;
}

struct ObjectKey {
  uint8_t pool;
  tmem_oid oid;
  bool operator==(const ObjectKey &other) const {
    return pool == other.pool && !std::memcmp(&oid, &other.oid, sizeof(oid));
  }
};

struct HashOfKey {
  size_t operator()(const ObjectKey &key) const {
    uint64_t hash = key.pool;
    for (const uint64_t word : key.oid.word) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 32;
    }
    return hash;
  }
};

ObjectKey object_of(const Record &record) { return {record.pool, record.oid}; }

}  // namespace

Trace read_trace(const char *path) {
  FILE *file = std::fopen(path, "rb");
  if (!file) fail("%s: %s", path, std::strerror(errno));
  Trace trace;
  constexpr size_t kBatch = 65536;
  size_t bytes_read = 0;
  do {
    const size_t have = trace.size();
    trace.resize(have + kBatch);
    bytes_read = std::fread(&trace[have], 1, kBatch * sizeof(Record), file);
    trace.resize(have + bytes_read / sizeof(Record));
    if (bytes_read % sizeof(Record) != 0) fail("%s: not a trace: its size is no multiple of 32", path);
  } while (bytes_read != 0);
  if (std::ferror(file)) fail("%s: %s", path, std::strerror(errno));
  std::fclose(file);
  if (trace.empty()) fail("%s: not a trace: it is empty", path);
  for (size_t i = 0; i < trace.size(); ++i)
    if (const char *fault = fault_of(trace[i])) fail("%s: not a trace: record %zu %s", path, i, fault);
  trace.shrink_to_fit();
  return trace;
}

// The longest first, each to the part that has least.
std::vector<Trace> split_by_object(const Trace &trace, unsigned int parts) {
  struct Object {
    size_t operations = 0;
    unsigned int part = 0;
  };
  std::unordered_map<ObjectKey, Object, HashOfKey> objects;
  std::vector<Object *> by_length;
  for (const Record &record : trace) {
    Object &object = objects[object_of(record)];
    if (object.operations++ == 0) by_length.push_back(&object);  // in their order: the same in every run
  }
  std::stable_sort(by_length.begin(), by_length.end(),
                   [](const Object *a, const Object *b) { return a->operations > b->operations; });
  std::vector<size_t> given(parts);
  for (Object *object : by_length) {
    const auto least = std::min_element(given.begin(), given.end());
    object->part = static_cast<unsigned int>(least - given.begin());
    *least += object->operations;
  }
  std::vector<Trace> split(parts);
  for (unsigned int part = 0; part < parts; ++part) split[part].reserve(given[part]);
  for (const Record &record : trace) split[objects[object_of(record)].part].push_back(record);
  return split;
}

}  // namespace tmem_bench
