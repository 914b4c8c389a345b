// SPDX-License-Identifier: GPL-2.0
// Stages: what the first object of a program (programs.h) is like when its threads
// start, so that they meet leaves of the larger classes, and one put or one get
// changes a leaf's class. And the watch that says which classes they met.
//
//   list32     indexes 0 to 31: full, and the next page makes it a short, a half or a mapped one
//   sparse256  49 of 256 left: the next page that is taken makes it a mapped one
//
// The pages that are no handle of the program's are the crowd: nobody puts or gets
// them while the threads run, a flush of many may take them, and afterwards each must
// be what it was or gone for a reason.
#ifndef TMEM_CORE_TEST_STAGES_H
#define TMEM_CORE_TEST_STAGES_H

#include <string>
#include <vector>

#include "abi.h"

namespace tmem_test {

// Of leaves: TMEM_KIND_LEAF + one of these is the kind.
enum LeafClass : unsigned int {
  kOne, kFour, kEight, kSixteen, kList, kMapped, kShort, kHalf, kWhole, kWholeSame,
  kLeafClassCount
};
static_assert(kLeafClassCount == TMEM_LEAF_CLASSES);

struct Change {
  LeafClass from, to;
};

struct Stage {
  // Indexes that are put ('p'; 's': as same-filled pages, which the index keeps itself) or flushed ('f'), from
  // first to last in this order, which may be downward.
  struct Move {
    char what;
    unsigned int first, last;
  };
  const char *name;
  LeafClass leaf;  // of the first 256 indexes, when the threads start
  std::vector<Move> moves;
  unsigned int next;  // an index beyond them: the last handle's
  // What the operations of stage_test.cc must make of the leaf, each at least once.
  std::vector<Change> changes;             // in any pool
  std::vector<Change> persistent_changes;  // only where the index keeps same-filled pages
  bool persistent_only = false;
};

const std::vector<Stage> &stages();
// nullptr if there is none of this name.
const Stage *stage_of(const std::string &name);

// Which classes of leaves the threads made and replaced.
class LeafWatch {
 public:
  // By thread @thread, at each allocation and each freeing of a leaf and at the end of each operation.
  void allocated(unsigned int thread, unsigned int leaf_class);
  void freed(unsigned int thread, unsigned int leaf_class);
  void operation_ends(unsigned int thread);

  void add(const LeafWatch &other);
  unsigned int replaced(Change change) const { return replaced_[change.from][change.to]; }
  unsigned int made(LeafClass leaf_class) const { return made_[leaf_class]; }
  // "32>64:120 new 64:7 ..."
  std::string text() const;

 private:
  static constexpr unsigned int kThreads = 4, kNone = ~0u;

  // A leaf is allocated before it is known whether it will be used. Then either it is freed itself, or the
  // leaf that it replaced is, or nothing is and it is a new one.
  unsigned int pending_[kThreads] = {kNone, kNone, kNone, kNone};
  unsigned int replaced_[kLeafClassCount][kLeafClassCount] = {};
  unsigned int made_[kLeafClassCount] = {};
};

const char *name_of(LeafClass leaf_class);

}  // namespace tmem_test

#endif
