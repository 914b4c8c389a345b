// SPDX-License-Identifier: GPL-2.0
// The codec of the benchmarks: LZO1X of liblzo2, the algorithm of the kernel's
// lib/lzo. The checksum is xxh64 folded to 32 bits, not the sum of glue/codec.c:
// what these programs time of it is not the module's (that is for bench-uml).
#include <lzo/lzo1x.h>
#include <xxhash.h>

#include "platform.h"

namespace tmem_bench {
namespace {

struct Buffers {
  alignas(64) unsigned char workspace[LZO1X_1_MEM_COMPRESS];
  alignas(64) unsigned char output[TMEM_CODEC_OUTPUT_BYTES];
  alignas(64) unsigned char bounce[TMEM_PAGE_BYTES];
};

thread_local Buffers *buffers;

// Nothing interrupts a thread here, so its buffers are always free.
tmem_codec_buffers codec_begin() {
  if (!buffers) buffers = new Buffers;
  return {buffers->workspace, buffers->output, buffers->bounce};
}

void codec_end() {}

int compress(const void *page, void *output, unsigned long *output_bytes, void *workspace) {
  lzo_uint bytes = 0;
  const int result = lzo1x_1_compress(static_cast<const unsigned char *>(page), TMEM_PAGE_BYTES,
                                      static_cast<unsigned char *>(output), &bytes, workspace);
  *output_bytes = bytes;
  return result == LZO_E_OK ? 0 : -1;
}

int decompress(const void *input, unsigned long input_bytes, void *page) {
  lzo_uint bytes = TMEM_PAGE_BYTES;
  const int result =
      lzo1x_decompress_safe(static_cast<const unsigned char *>(input), input_bytes,
                            static_cast<unsigned char *>(page), &bytes, nullptr);
  return result == LZO_E_OK && bytes == TMEM_PAGE_BYTES ? 0 : -1;
}

unsigned int checksum(const void *data, unsigned long bytes) {
  const XXH64_hash_t hash = XXH64(data, bytes, 0);
  return static_cast<unsigned int>(hash ^ hash >> 32);
}

}  // namespace

void add_codec(tmem_host_ops &ops) {
  if (lzo_init() != LZO_E_OK) fail("liblzo2 does not start");
  ops.codec_begin = codec_begin;
  ops.codec_end = codec_end;
  ops.compress = compress;
  ops.decompress = decompress;
  ops.checksum = checksum;
}

void release_codec_buffers() {
  delete buffers;
  buffers = nullptr;
}

}  // namespace tmem_bench
