// SPDX-License-Identifier: MIT
// Which device a run gets, and what it says where a GPU cannot be used.
#include "engine/gpu.h"

#include <doctest/doctest.h>

#include "executor.h"

using namespace drnas;

namespace {

struct CardFor {
  explicit CardFor(simt::Card card) { simt::set_card(card); }
  ~CardFor() { simt::set_card({}); }
};

}  // namespace

TEST_CASE("gpu: auto falls back with one line, cuda fails with one line, both say why") {
  const std::pair<simt::Card, const char*> cases[] = {
      {{0, 0, 0}, "no NVIDIA driver found"},
      {{0, 13000, 9}, "no NVIDIA GPU found"},
      {{1, 12040, 9}, "the driver supports CUDA 12.4, expected 13.0 or newer"},
      {{1, 13000, 7}, "the GPU has compute capability 7.0, expected 8.0 or newer"}};
  for (const auto& [card, why] : cases) {
    const CardFor scope(card);
    std::string note;
    CHECK(cuda_problem() == why);
    CHECK(describe_gpu() == why);
    CHECK(choose_device("auto", note) == Device::cpu);
    CHECK(note == std::string("running on the CPU: ") + why);
    CHECK(choose_device("cpu", note) == Device::cpu);
    CHECK(note.empty());
    CHECK_THROWS_WITH_AS(choose_device("cuda", note),
                         (std::string("--device cuda: ") + why).c_str(), Error);
  }
}

TEST_CASE("gpu: a usable card is taken and described") {
  std::string note = "old";
  CHECK(choose_device("auto", note) == Device::cuda);
  CHECK(note.empty());
  CHECK(describe_gpu() == "host executor, compute capability 9.0, 16.00 GiB, driver 13.0");
}
