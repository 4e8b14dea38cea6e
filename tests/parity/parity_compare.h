// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "data/device_batch.h"
#include "engine/ops/ops.h"
#include "engine/parameters/parameters.h"
#include "engine/stream.h"
#include "nas/space/supernet.h"
#include "tests/parity/parity.h"
#include "tests/parity/parity_reference.h"

namespace drnas::parity {

inline double norm(std::span<const float> values) {
  double squares = 0;
  for (float v : values) squares += static_cast<double>(v) * v;
  return std::sqrt(squares);
}

template <class T>
double relative_error(std::span<const T> out, std::span<const float> reference,
                      double least_norm = 0) {
  double squares = 0;
  for (std::size_t i = 0; i < out.size(); ++i)
    squares += std::pow(static_cast<double>(out[i]) - reference[i], 2);
  return std::sqrt(squares) / std::max({norm(reference), least_norm, 1e-30});
}

/// Every name that the slices go by. The batch norm of a pool has no `op` before its number where
/// the published network puts both into a sequence (PC-DARTS).
inline std::set<std::string> names_of(const std::vector<NamedSlice>& slices) {
  std::set<std::string> names;
  for (const NamedSlice& s : slices) {
    names.insert(s.name);
    names.insert(s.aliases.begin(), s.aliases.end());
  }
  const std::set<std::string> plain = names;
  for (const std::string& name : plain)
    if (const auto at = name.find(".op.1.running_"); at != std::string::npos)
      names.insert(name.substr(0, at) + name.substr(at + 3));
  return names;
}

/// Compares what a network gives with a reference file, group by group.
class Comparison {
 public:
  Comparison(const std::filesystem::path& path, const Setting& setting)
      : file_(path), device_(setting.device), nudge_(setting.nudge) {}

  const ReferenceFile& file() const { return file_; }
  const Errors& errors() const { return errors_; }

  /// Sets the weights to the file's; throws Error for a tensor that the network lacks. `gradients`:
  /// names of gradients that are not weights'.
  void start(const ParameterStore& store, const std::set<std::string>& gradients) const {
    std::vector<float> start = download<float>(store.weights());
    for (const NamedSlice& p : store.parameters()) {
      const std::vector<float> values = file_.values("init." + p.name, p.shape.elements());
      std::copy(values.begin(), values.end(), start.begin() + p.offset);
    }
    if (nudge_) {
      std::mt19937 rng(nudge_);
      std::normal_distribution<float> relative(0, 0x1p-22f);
      for (float& weight : start) weight *= 1 + relative(rng);
    }
    store.set_weights(start);
    std::set<std::string> names = names_of(store.parameters());
    file_.expect_only("init.", names);
    file_.expect_only("trace.final.", names);
    file_.expect_only("after.", names_of(store.statistics()));
    names.insert(gradients.begin(), gradients.end());
    file_.expect_only("grad.", names);
  }

  DeviceBatch batch(const std::string& prefix) const {
    const ReferenceFile::Batch b = file_.batch(prefix);
    return {b.images, b.labels, b.size, device_};
  }

  template <class T>
  void compare(const std::string& group, std::span<const T> out, const std::string& name,
               double least_norm = 0) {
    const auto reference = file_.values(name, static_cast<std::int64_t>(out.size()));
    keep_worst(errors_[group], relative_error(out, std::span<const float>(reference), least_norm));
  }
  void compare(const std::string& group, double out, const std::string& name) {
    compare(group, std::span<const double>(&out, 1), name);
  }
  template <class T>
  void compare_tensor(const std::string& group, const Tensor& out, const std::string& name) {
    const std::vector<T> values = download<T>(out);
    compare(group, std::span<const T>(values), name);
  }

  void compare_slices(const std::string& group, const std::string& prefix,
                      const std::vector<NamedSlice>& slices, const Tensor& buffer,
                      double least_norm = 0) {
    const std::vector<float> values = download<float>(buffer);
    for (const NamedSlice& s : slices) {
      const std::span<const float> slice(values.data() + s.offset,
                                         static_cast<std::size_t>(s.shape.elements()));
      compare(group, slice, prefix + s.name, least_norm);
      for (const std::string& alias : s.aliases) compare(group, slice, prefix + alias, least_norm);
    }
  }

  /// All slices as one vector.
  void compare_all(const std::string& group, const std::string& prefix,
                   const std::vector<NamedSlice>& slices, const Tensor& buffer) {
    const std::vector<float> values = download<float>(buffer);
    std::vector<float> out, reference;
    for (const NamedSlice& s : slices) {
      const auto first = values.begin() + s.offset;
      out.insert(out.end(), first, first + s.shape.elements());
      const std::vector<float> slice = file_.values(prefix + s.name, s.shape.elements());
      reference.insert(reference.end(), slice.begin(), slice.end());
    }
    keep_worst(errors_[group],
               relative_error(std::span<const float>(out), std::span<const float>(reference)));
  }

  /// Gradients of all weights; one that is almost zero is measured against the norm of all.
  void compare_gradients(const ParameterStore& store) {
    double squares = 0;
    for (const NamedSlice& p : store.parameters())
      squares += std::pow(norm(file_.values("grad." + p.name, p.shape.elements())), 2);
    compare_slices("grad", "grad.", store.parameters(), store.gradients(),
                   1e-3 * std::sqrt(squares));
    compare_all("grad.overall", "grad.", store.parameters(), store.gradients());
  }

  /// One pass over the file's batch at mixing weights of a leaf with a gradient: logits, loss and
  /// the gradients of all weights; that of the leaf stays in it.
  void compare_pass(const Supernet& supernet, const Variable& theta, const SupernetPass& pass) {
    const DeviceBatch given = batch("");
    Tape tape(device_);
    const Variable logits = supernet.forward(tape, Variable(given.images), theta, pass);
    const LossResult loss = cross_entropy(tape, "loss", logits, given.labels);
    compare_tensor<float>("logits", logits.value(), "logits");
    compare("loss", loss.read().loss, "loss");
    std::vector<Variable> wanted = supernet.leaves();
    wanted.push_back(theta);
    tape.backward(loss.loss, wanted);
    compare_gradients(supernet.parameters());
  }

 private:
  ReferenceFile file_;
  Device device_;
  unsigned nudge_;
  Errors errors_;
};

}  // namespace drnas::parity
