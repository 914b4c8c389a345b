// SPDX-License-Identifier: GPL-2.0
#include "stages.h"

#include <algorithm>

namespace tmem_test {

// What each is for follows from Leaf::class_when_full and class_when_cleared; the tests fail if that changes.
const std::vector<Stage> &stages() {
  static const std::vector<Stage> all = {
      // Full: what does not fit makes it larger.
      {"list32", kList, {{'p', 0, 31}}, 32, {{kList, kShort}, {kList, kHalf}, {kList, kMapped}}, {}},
      {"direct64", kShort, {{'p', 0, 63}}, 64, {{kShort, kHalf}, {kShort, kWhole}}, {{kShort, kWholeSame}}},
      {"direct128", kHalf, {{'p', 0, 127}}, 128, {{kHalf, kWhole}}, {{kHalf, kWholeSame}}},
      {"mapped96", kMapped, {{'p', 191, 96}}, 192, {{kMapped, kWhole}}, {{kMapped, kWholeSame}}},
      {"direct256", kWhole, {{'p', 0, 150}}, 151, {}, {{kWhole, kWholeSame}}},
      {"same256", kWholeSame, {{'p', 0, 100}, {'s', 101, 160}}, 161, {}, {}, true},
      {"sequence", kWhole, {{'p', 0, 255}}, 256, {}, {{kWhole, kWholeSame}}},
      // Nearly empty: what is taken makes it smaller.
      {"sparse32", kList, {{'p', 0, 31}, {'f', 30, 8}}, 32, {{kList, kSixteen}}, {}},
      {"sparse96", kMapped, {{'p', 191, 156}, {'p', 0, 3}, {'f', 178, 156}}, 192, {{kMapped, kList}}, {}},
      {"sparse64", kShort, {{'p', 0, 63}, {'f', 62, 16}}, 64, {{kShort, kList}}, {}},
      {"sparse128", kHalf, {{'p', 0, 127}, {'f', 126, 16}}, 128, {{kHalf, kList}}, {}},
      {"sparse256", kWhole, {{'p', 0, 255}, {'f', 254, 48}}, 256, {{kWhole, kMapped}}, {}},
      {"sparsesame", kWholeSame, {{'s', 0, 10}, {'p', 11, 255}, {'f', 254, 48}}, 256, {{kWholeSame, kMapped}}, {}, true},
  };
  return all;
}

const Stage *stage_of(const std::string &name) {
  const auto found = std::find_if(stages().begin(), stages().end(), [&](const Stage &stage) { return name == stage.name; });
  return found == stages().end() ? nullptr : &*found;
}

const char *name_of(LeafClass leaf_class) {
  static const char *const names[kLeafClassCount] = {"1", "4", "8", "16", "32", "96", "64", "128", "256", "256same"};
  return names[leaf_class];
}

void LeafWatch::allocated(unsigned int thread, unsigned int leaf_class) { pending_[thread] = leaf_class; }

void LeafWatch::freed(unsigned int thread, unsigned int leaf_class) {
  const unsigned int made = pending_[thread];
  if (made == kNone) return;  // a leaf that has gone
  pending_[thread] = kNone;
  replaced_[leaf_class][made] += made != leaf_class;  // or it was not needed
}

void LeafWatch::operation_ends(unsigned int thread) {
  if (pending_[thread] != kNone) made_[pending_[thread]]++;
  pending_[thread] = kNone;
}

void LeafWatch::add(const LeafWatch &other) {
  for (unsigned int from = 0; from < kLeafClassCount; ++from) {
    made_[from] += other.made_[from];
    for (unsigned int to = 0; to < kLeafClassCount; ++to) replaced_[from][to] += other.replaced_[from][to];
  }
}

std::string LeafWatch::text() const {
  std::string text;
  for (unsigned int from = 0; from < kLeafClassCount; ++from)
    for (unsigned int to = 0; to < kLeafClassCount; ++to)
      if (replaced_[from][to])
        text += std::string(name_of(LeafClass(from))) + '>' + name_of(LeafClass(to)) + ':' + std::to_string(replaced_[from][to]) + ' ';
  for (unsigned int made = 0; made < kLeafClassCount; ++made)
    if (made_[made]) text += std::string("new ") + name_of(LeafClass(made)) + ':' + std::to_string(made_[made]) + ' ';
  return text;
}

}  // namespace tmem_test
