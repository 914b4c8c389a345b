// SPDX-License-Identifier: GPL-2.0
// What the engine knows of the two stores beyond their PAM ops: ways in for tests.
#ifndef TMEM_CORE_STORE_STORES_H
#define TMEM_CORE_STORE_STORES_H

#include "../base/types.h"

namespace tmem {

// 0, or the number of a broken invariant. Nothing else may be running.
int validate_compressed_store(void *pam);
// The next @count pages taken in get one bit flipped.
void corrupt_next_in_compressed_store(void *pam, u64 count);
int validate_plain_store(void *pam);

}  // namespace tmem

#endif
