// SPDX-License-Identifier: GPL-2.0
#include "real_pages.h"

#include <lzo/lzo1x.h>

#include <cstdio>

#include "platform.h"

namespace tmem_bench {

const std::vector<Page> &real_pages() {
  static const std::vector<Page> pages = [] {
    constexpr size_t kWanted = 4096;
    std::vector<Page> found;
    std::vector<unsigned char> workspace(LZO1X_1_MEM_COMPRESS), output(TMEM_CODEC_OUTPUT_BYTES);
    for (const char *path : {"/usr/bin/bash", "/usr/bin/perl", "/usr/bin/gpg", "/usr/bin/make",
                             "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/gcc", "/usr/bin/ld",
                             "/usr/share/perl/5.36/perl5db.pl", "/proc/self/exe"}) {
      FILE *file = std::fopen(path, "rb");
      if (!file) continue;
      Page page;
      while (found.size() < kWanted && std::fread(&page, sizeof(page), 1, file) == 1) {
        lzo_uint bytes = 0;
        lzo1x_1_compress(page.bytes, sizeof(page), output.data(), &bytes, workspace.data());
        if (bytes <= TMEM_PAGE_BYTES * 85 / 100) found.push_back(page);
      }
      std::fclose(file);
    }
    if (found.size() < 64) fail("this machine has no files to take pages from");
    return found;
  }();
  return pages;
}

}  // namespace tmem_bench
