// SPDX-License-Identifier: GPL-2.0
// libFuzzer over sequences of operations: each input is a list of choices for
// the model (core/test/model.h), which compares the engine with a plain
// reference after every step. The first byte chooses the configuration.
//
//   scripts/check-host fuzz                     the fixed run of make check
//   scripts/check-host fuzz -max_total_time=600 a longer one, from a new seed
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "../test/model.h"

extern "C" void platform_fail(scenario_env *, const char *file, int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::fprintf(stderr, "%s:%d: ", file, line);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
}

namespace {

class ByteChoices final : public tmem_test::Choices {
 public:
  ByteChoices(const uint8_t *data, size_t size) : at_(data), end_(data + size) {}

  // One byte if that is enough, else two: inputs stay short.
  unsigned int below(unsigned int bound) override {
    unsigned int value = next();
    if (bound > 256) value = value << 8 | next();
    return value % bound;
  }
  bool exhausted() const override { return at_ == end_; }

 private:
  unsigned int next() { return at_ == end_ ? 0 : *at_++; }

  const uint8_t *at_;
  const uint8_t *end_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  constexpr unsigned int kStepsMax = 400;
  if (size < 2) return 0;
  injector_reset();
  const unsigned int kind = data[0];
  const tmem_test::ModelOptions options = {
      .plain = (kind & 1) != 0,
      .memory_frames = kind & 2 ? 100u : 400u,
      .corrupt = (kind & 5) == 4,
      .failures = (kind & 8) != 0,
      .tunables = (kind & 16) != 0,
      .clients = (kind & 32) != 0,
      .narrow = (kind & 64) != 0,
      .cpus = (kind & 128) != 0,
  };
  ByteChoices choices(data + 1, size - 1);
  tmem_test::Model model(options, choices);
  while (model.steps() < kStepsMax && !choices.exhausted() && model.step()) {
  }
  if (model.finish()) return 0;
  std::fprintf(stderr, "%s\n", model.report().c_str());
  std::abort();
}
