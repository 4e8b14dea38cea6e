// SPDX-License-Identifier: MIT
#include "tests/parity/parity_reference.h"

#include <cmath>

#include "kernels/core/error.h"

namespace drnas::parity {
namespace {

constexpr const char *edge_order = "1<-0,2<-0,2<-1,3<-0,3<-1,3<-2",
                     *op_order = "none,skip_connect,nor_conv_1x1,nor_conv_3x3,avg_pool_3x3",
                     *darts_op_order =
                         "max_pool_3x3,avg_pool_3x3,skip_connect,sep_conv_3x3,"
                         "sep_conv_5x5,dil_conv_3x3,dil_conv_5x5";

}  // namespace

ReferenceFile::ReferenceFile(const std::filesystem::path& path) : file_(path) {
  channels_ = count("c");
  classes_ = count("classes");
  partial_channels_ = count("k");
  steps_ = contains("trace.alpha0") ? count("steps") : 0;
  expect_extent("init.classifier.bias", classes_);
}

std::string ReferenceFile::net() const {
  if (file_.metadata_at("space") == "nas-bench-201") return "nas-bench-201";
  expect_metadata("space", "darts");
  return file_.metadata_at("net");
}

std::string ReferenceFile::piece() const {
  const auto found = file_.metadata().find("case");
  return found == file_.metadata().end() ? std::string() : found->second;
}

int ReferenceFile::check_nb201() const {
  expect_metadata("space", "nas-bench-201");
  expect_metadata("edges", edge_order);
  expect_metadata("ops", op_order);
  // The network is allocated by these numbers, so they must be those of the tensors.
  const int cells = count("n");
  expect_extent("init.stem.0.weight", channels_);
  const auto last_cell = [](std::int64_t n) {
    return "init.cells." + std::to_string(3 * n + 1) + ".edges.3<-2.3.op.1.weight";
  };
  if (!contains(last_cell(cells)) || contains(last_cell(std::int64_t{cells} + 1)))
    fail("metadata n = " + std::to_string(cells) + " is not its number of cells a stage");
  return cells;
}

int ReferenceFile::check_darts() const {
  expect_metadata("space", "darts");
  if (contains("theta.normal"))
    expect_metadata("ops", (piece() == "edges" ? "none," : "") + std::string(darts_op_order));
  const int layers = count("layers");
  const auto cell = [](std::int64_t index) {
    return "init.cells." + std::to_string(index) + ".preprocess1.op.1.weight";
  };
  if (!contains(cell(layers - 1)) || contains(cell(layers)))
    fail("metadata layers = " + std::to_string(layers) + " is not its number of cells");
  expect_extent(cell(0), channels_);
  return layers;
}

void ReferenceFile::fail(const std::string& what) const {
  throw Error(file_.path().string() + ": " + what);
}

double ReferenceFile::number(const std::string& key) const {
  const std::string& text = file_.metadata_at(key);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value) || value < 0)
    fail("metadata " + key + " = " + text + ", expected a number of at least 0");
  return value;
}

int ReferenceFile::count(const std::string& key) const {
  const double value = number(key);
  if (value < 1 || value > 1e6 || value != std::floor(value))
    fail("metadata " + key + " = " + file_.metadata_at(key) + ", expected a whole number above 0");
  return static_cast<int>(value);
}

void ReferenceFile::expect_metadata(const std::string& key, const std::string& value) const {
  if (file_.metadata_at(key) != value)
    fail("metadata " + key + " = " + file_.metadata_at(key) + ", expected " + value);
}

void ReferenceFile::expect_extent(const std::string& tensor, int extent) const {
  const std::vector<std::int64_t>& shape = file_.at(tensor).shape;
  if (shape.empty() || shape[0] != extent)
    fail("tensor " + tensor + " has not the extent " + std::to_string(extent) +
         " that the metadata give");
}

std::vector<float> ReferenceFile::values(const std::string& name, std::int64_t count) const {
  const std::vector<float> in = file_.values<float>(name);
  if (static_cast<std::int64_t>(in.size()) != count)
    fail("tensor " + name + " holds " + std::to_string(in.size()) + " values, expected " +
         std::to_string(count));
  const std::vector<std::int64_t>& shape = file_.at(name).shape;
  if (shape.size() != 4) return in;
  const std::int64_t n = shape[0], c = shape[1], pixels = shape[2] * shape[3];
  std::vector<float> out(in.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < c; ++k)
      for (std::int64_t p = 0; p < pixels; ++p)
        out[(i * pixels + p) * c + k] = in[(i * c + k) * pixels + p];
  return out;
}

ReferenceFile::Batch ReferenceFile::batch(const std::string& prefix) const {
  const std::string images = prefix + "input", labels = prefix + "target";
  const std::vector<std::int64_t>& shape = file_.at(images).shape;
  if (shape.size() != 4 || shape[0] < 1 || shape[1] != 3 || shape[2] < 1 || shape[2] != shape[3])
    fail("tensor " + images + ": expected square images [n, 3, size, size]");
  const auto targets = file_.values<std::int64_t>(labels);
  if (static_cast<std::int64_t>(targets.size()) != shape[0])
    fail("tensor " + labels + " holds " + std::to_string(targets.size()) + " labels for " +
         std::to_string(shape[0]) + " images");
  for (const std::int64_t target : targets)
    if (target < 0 || target >= classes_)
      fail("tensor " + labels + ": label " + std::to_string(target) + " of " +
           std::to_string(classes_) + " classes");
  return {values(images, file_.at(images).elements()),
          {targets.begin(), targets.end()},
          static_cast<int>(shape[2])};
}

void ReferenceFile::expect_only(const std::string& prefix,
                                const std::set<std::string>& names) const {
  for (const auto& [name, entry] : file_.entries())
    if (name.starts_with(prefix) && !names.count(name.substr(prefix.size())))
      fail("tensor " + name + " has no counterpart in the network");
}

}  // namespace drnas::parity
