// SPDX-License-Identifier: GPL-2.0
// The core of tmem, as one translation unit: what Kbuild compiles, and a table
// of contents. (One unit, because a module cannot link COMDAT groups that two
// C++ objects share; see Documentation/design.md.)
#include "abi.h"

// The engine: clients, pools, the index, the operations.
#include "engine/leaf.cc"
#include "engine/index.cc"
#include "engine/engine.cc"
#include "engine/operations.cc"
#include "engine/statistics.cc"
#include "engine/validate.cc"

// The stores: what keeps the data.
#include "store/run.cc"
#include "store/section.cc"
#include "store/compressed.cc"
#include "store/reclaim.cc"
#include "store/compaction.cc"
#include "store/plain.cc"

// The C face.
#include "abi.cc"
