// SPDX-License-Identifier: MIT
// Reference files of PyTorch replayed through the engine's CUDA side: those of the project, and
// those in DRNAS_GOLDEN_DIR where it is set.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "executor.h"
#include "tests/parity/golden.h"
#include "tests/parity/parity.h"

namespace fs = std::filesystem;

namespace {

std::vector<fs::path> reference_files() {
  std::vector<fs::path> folders{DRNAS_REFERENCES}, files;
  if (const auto golden = drnas::test::golden_directory()) folders.push_back(*golden);
  for (const fs::path& folder : folders)
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().filename().string().starts_with("nb201_") &&
          entry.path().extension() == ".safetensors")
        files.push_back(entry.path());
  return files;
}

}  // namespace

TEST_CASE("simt parity: one training pass in bfloat16 storage stays near the reference") {
  for (const fs::path& file : reference_files()) {
    CAPTURE(file.filename().string());
    const drnas::parity::Errors errors =
        drnas::parity::replay_supernet(file, {drnas::Device::cuda, drnas::DType::bf16});
    // Seven bits of mantissa: the forward pass keeps two digits, gradients lose most where batch
    // norm's backward pass subtracts what is common to all pixels.
    CHECK(errors.at("loss") < 1e-3);
    CHECK(errors.at("trace.losses") < 1e-3);
    CHECK(errors.at("logits") < 1e-2);
    CHECK(errors.at("after") < 3e-2);
    CHECK(errors.at("grad.overall") < 0.4);
  }
}

TEST_CASE("simt parity: single pieces of methods agree through the CUDA kernels") {
  const auto golden = drnas::test::golden_directory();
  if (!golden || !fs::is_directory(*golden / "methods")) return;
  for (const auto& entry : fs::directory_iterator(*golden / "methods")) {
    CAPTURE(entry.path().filename().string());
    for (const auto& [group, error] : drnas::parity::replay(entry.path(), {drnas::Device::cuda})) {
      CAPTURE(group);
      CHECK(error < 1e-3);
    }
  }
}

TEST_CASE("simt parity: reference files agree through the CUDA kernels") {
  const std::vector<fs::path> files = reference_files();
  REQUIRE(files.size() >= 2);
  for (const fs::path& file : files) {
    CAPTURE(file.filename().string());
    const drnas::parity::Errors errors =
        drnas::parity::replay_supernet(file, {drnas::Device::cuda});
    for (const auto& [group, error] : errors) {
      CAPTURE(group);
      CHECK(error < 1e-3);
    }
  }
  simt::check_device_memory();
  for (const std::string& fault : simt::take_faults()) FAIL_CHECK(fault);
}
