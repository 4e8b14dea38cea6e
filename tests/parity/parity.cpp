// SPDX-License-Identifier: MIT
// parity FILE...: replays reference files and fails where this engine differs from them.
#include "tests/parity/parity.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "engine/gpu.h"
#include "kernels/layers/conv2d.h"
#include "nas/search/search_inputs.h"

namespace {

using namespace drnas;

struct Options {
  std::vector<std::string> files;
  double tolerance = 1e-3, derivative_tolerance = 1e-10;
  std::string device = "cpu", precision = "fp32";
};

Options parse(int argc, char** argv) {
  Options o;
  CLI::App app("Replays reference files and compares", "parity");
  app.add_option("FILE", o.files, "nb201_*.safetensors, darts_*.safetensors or beta_*.csv")
      ->required();
  app.add_option("--tolerance", o.tolerance, "Largest relative error of float32 tensors")
      ->capture_default_str();
  app.add_option("--derivative-tolerance", o.derivative_tolerance,
                 "Largest relative error of the Beta derivative")
      ->capture_default_str();
  app.add_option("--device", o.device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}))
      ->capture_default_str();
  app.add_option("--precision", o.precision, "fp32, or tf32 and bf16 on CUDA")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16"}))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    std::exit(app.exit(help));
  } catch (const CLI::ParseError& failure) {
    throw Error(failure.what());
  }
  return o;
}

/// Largest errors seen so far, of tensors and of the derivative.
struct Overall {
  double tensors = 0, derivative = 0;
};

/// Prints the errors of one file; true when all are within the tolerance.
bool report(const std::filesystem::path& file, const Options& options, Overall& overall) {
  const bool table = file.extension() == ".csv";
  if (!table && file.extension() != ".safetensors")
    throw Error(file.string() + ": expected a .safetensors reference file or a beta_*.csv table");
  std::string note;
  const Device device = choose_device(options.device, note);
  const Precision precision = choose_precision(options.precision, device, 8);
  if (precision.tf32) kernels::set_conv_math(kernels::ConvMath::tf32);
  const double allowed = table ? options.derivative_tolerance : options.tolerance;
  const parity::Closest closest =
      table ? parity::Closest{parity::replay_beta(file)}
            : parity::replay_closest(file, {device, precision.storage}, allowed);
  const parity::Errors& errors = closest.errors;
  const double worst = parity::worst_of(errors);
  if (closest.nudge > 0)
    std::printf("%s: weights moved by rounding, draw %u\n", file.filename().c_str(), closest.nudge);
  std::printf("%s\n", file.filename().c_str());
  for (const auto& [group, error] : errors) std::printf("  %-20s %.2e\n", group.c_str(), error);
  const bool good = worst <= allowed;
  std::printf("  %-20s %.2e  %s (tolerance %.0e)\n", "largest", worst, good ? "ok" : "FAILED",
              allowed);
  parity::keep_worst(table ? overall.derivative : overall.tensors, worst);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    Overall overall;
    bool good = true;
    for (const std::string& file : options.files) good = report(file, options, overall) && good;
    std::printf("overall: tensors %.2e, derivative %.2e  %s\n", overall.tensors, overall.derivative,
                good ? "ok" : "FAILED");
    return good ? 0 : 1;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 2;
  }
}
