// SPDX-License-Identifier: MIT
// parity FILE...: replays reference files and fails where this engine differs from them.
#include "tests/parity.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "kernels/error.h"

namespace {

using namespace drnas;

/// Prints the errors of one file; true when all are within the tolerance.
bool report(const std::filesystem::path& file, double tolerance, double derivative_tolerance) {
  const bool table = file.extension() == ".csv";
  if (!table && file.extension() != ".safetensors")
    throw Error(file.string() + ": expected a .safetensors reference file or a beta_*.csv table");
  const parity::Errors errors = table ? parity::replay_beta(file) : parity::replay_supernet(file);
  const double allowed = table ? derivative_tolerance : tolerance;
  double worst = 0;
  std::printf("%s\n", file.filename().c_str());
  for (const auto& [group, error] : errors) {
    std::printf("  %-20s %.2e\n", group.c_str(), error);
    worst = error > worst || !(error == error) ? error : worst;
  }
  const bool good = worst <= allowed;
  std::printf("  %-20s %.2e  %s (tolerance %.0e)\n", "largest", worst, good ? "ok" : "FAILED",
              allowed);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Replays reference files and compares", "parity");
  std::vector<std::string> files;
  double tolerance = 1e-3, derivative_tolerance = 1e-10;
  app.add_option("FILE", files, "nb201_*.safetensors or beta_*.csv")->required();
  app.add_option("--tolerance", tolerance, "Largest relative error of float32 tensors")
      ->capture_default_str();
  app.add_option("--derivative-tolerance", derivative_tolerance,
                 "Largest relative error of the Beta derivative")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    bool good = true;
    for (const std::string& file : files)
      good = report(file, tolerance, derivative_tolerance) && good;
    return good ? 0 : 1;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 2;
  }
}
