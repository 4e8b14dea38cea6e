// SPDX-License-Identifier: MIT
// The parity program's replay notices what differs and refuses what it cannot read.
#include "tests/parity/parity.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>

#include "engine/safetensors.h"
#include "tests/parity/golden.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"

using namespace drnas;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

/// A small reference file of the project's own, taken apart.
struct Reference {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, std::vector<std::int64_t>> integers;
  std::map<std::string, std::string> metadata;

  explicit Reference(const char* name) {
    const SafetensorsFile file(std::filesystem::path(DRNAS_REFERENCES) / name);
    metadata = file.metadata();
    for (const auto& [name, entry] : file.entries()) {
      shapes[name] = entry.shape;
      if (entry.dtype == "F32") values[name] = file.values<float>(name);
      if (entry.dtype == "I64") integers[name] = file.values<std::int64_t>(name);
    }
  }
  parity::Errors replay(const std::filesystem::path& path, const parity::Setting& setting) const {
    SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.set_metadata(key, value);
    for (const auto& [name, v] : values) writer.add<float>(name, shapes.at(name), v);
    for (const auto& [name, v] : integers) writer.add<std::int64_t>(name, shapes.at(name), v);
    writer.write(path);
    return parity::replay(path, setting);
  }
};

using Change = std::function<void(Reference&)>;

parity::Errors replay_changed(const Change& change, const parity::Setting& setting = {},
                              const char* name = "nb201_c4_n1_k1.safetensors") {
  const TemporaryFolder folder;
  Reference reference(name);
  change(reference);
  return reference.replay(folder.path / "changed.safetensors", setting);
}

double replay_table(const std::string& text) {
  const TemporaryFolder folder;
  std::ofstream(folder.path / "beta.csv") << text;
  return parity::replay_beta(folder.path / "beta.csv").at("dx_da");
}

}  // namespace

TEST_CASE("parity: every group holds, and a changed reference shows in its own group") {
  const parity::Errors good = replay_changed([](Reference&) {});
  CHECK(good.size() == 14);
  for (const auto& result : good) {
    CAPTURE(result.first);
    CHECK(result.second < 1e-4);
  }
  const std::pair<const char*, const char*> groups[] = {
      {"logits", "logits"},
      {"loss", "loss"},
      {"grad", "grad.cells.0.edges.1<-0.3.op.1.weight"},
      {"grad.theta", "grad.theta"},
      {"after", "after.stem.1.running_var"},
      {"eval_logits", "eval_logits"},
      {"trace.grad_theta", "trace.1.grad_theta"},
      {"trace.grad_beta", "trace.1.grad_beta"},
      {"trace.grad_alpha", "trace.1.grad_alpha"},
      {"trace.alpha", "trace.1.alpha"},
      {"trace.grad_norm", "trace.1.grad_norm"},
      {"trace.losses", "trace.losses"},
      {"trace.final", "trace.final.classifier.bias"}};
  for (const auto& kind : groups)
    for (const bool not_a_number : {false, true}) {
      const char *const group = kind.first, *const tensor = kind.second;
      CAPTURE(tensor);
      const parity::Errors found = replay_changed([&](Reference& r) {
        std::vector<float>& v = r.values.at(tensor);
        if (not_a_number)
          v[0] = NAN;
        else
          for (float& value : v) value *= 1.01f;
      });
      for (const auto& [name, error] : found)
        if (name == "grad.overall" && std::string(group) == "grad")
          CHECK((not_a_number ? std::isnan(error) : error > 1e-4));
        else if (name != group)
          CHECK(error < 1e-4);
        else if (not_a_number)
          CHECK(std::isnan(error));
        else
          CHECK(error == doctest::Approx(0.01 / 1.01).epsilon(0.02));
    }
}

TEST_CASE("parity: weights moved by rounding stay near the reference, and near no wrong one") {
  const parity::Errors unmoved = replay_changed([](Reference&) {});
  for (unsigned nudge = 1; nudge <= 3; ++nudge) {
    CAPTURE(nudge);
    const parity::Setting moved{.nudge = nudge};
    const parity::Errors good = replay_changed([](Reference&) {}, moved);
    CHECK(good != unmoved);
    for (const auto& [group, error] : good) CHECK(error < 1e-4);
    const parity::Errors wrong = replay_changed(
        [](Reference& r) {
          for (float& v : r.values.at("grad.cells.0.edges.1<-0.3.op.1.weight")) v *= 1.01f;
        },
        moved);
    CHECK(wrong.at("grad") == doctest::Approx(0.01 / 1.01).epsilon(0.02));
  }
}

TEST_CASE("parity: a changed start shows in what follows") {
  for (const char* tensor : {"init.cells.2.edges.3<-1.2.op.1.weight", "theta", "input"}) {
    CAPTURE(tensor);
    const parity::Errors found = replay_changed([&](Reference& r) {
      std::vector<float>& v = r.values.at(tensor);
      std::reverse(v.begin(), v.end());
    });
    CHECK(found.at("logits") > 1e-3);
    CHECK(found.at("grad") > 1e-3);
  }
}

TEST_CASE("parity: steps of a method hang on its options, its draws and every result") {
  const auto steps = [](const char* name, const Change& change) {
    return replay_changed(change, {}, name);
  };
  const char* const gdas = "method_step_gdas.safetensors";
  const parity::Errors good = steps(gdas, [](Reference&) {});
  CHECK(good.size() == 7);
  for (const auto& result : good) CHECK(result.second < 1e-4);
  const std::pair<const char*, const char*> groups[] = {
      {"grad_alpha", "trace.1.grad_alpha"},   {"alpha_move", "trace.1.alpha_move"},
      {"alpha_loss", "trace.0.alpha_loss"},   {"weight_loss", "trace.1.weight_loss"},
      {"weight_norm", "trace.0.weight_norm"}, {"move", "move.stem.0.weight"},
      {"after", "after.stem.1.running_mean"}};
  for (const auto& [group, tensor] : groups) {
    CAPTURE(tensor);
    const parity::Errors found = steps(gdas, [&, name = tensor](Reference& r) {
      for (float& value : r.values.at(name)) value *= 1.01f;
    });
    for (const auto& [name, error] : found) CHECK((error > 1e-4) == (name == group));
  }
  const char* const changes[][3] = {{gdas, "seed", "1"},
                                    {gdas, "nesterov", "0"},
                                    {gdas, "weights_first", "0"},
                                    {gdas, "epoch", "0"},
                                    {gdas, "method", "gdas-v1"},
                                    {"method_step_setn.safetensors", "seed", "9"},
                                    {"method_step_gaea.safetensors", "clip_with_alpha", "0"},
                                    {"method_step_sdarts-adv.safetensors", "seed", "1"}};
  for (const auto& [name, key, value] : changes) {
    CAPTURE(key);
    const parity::Errors found =
        steps(name, [k = key, v = value](Reference& r) { r.metadata.at(k) = v; });
    double worst = 0;
    for (const auto& result : found) parity::keep_worst(worst, result.second);
    CHECK(worst > 1e-3);
  }
  check_fails([&] { steps(gdas, [](Reference& r) { r.metadata["method"] = "other"; }); },
              {"--method other"});
}

TEST_CASE("parity: files that cannot be replayed are named in one line") {
  const auto refused = [](const Change& change, std::initializer_list<std::string> parts) {
    check_fails([&] { replay_changed(change); }, parts);
  };
  for (const char* key : {"space", "edges", "ops"})
    refused([&](Reference& r) { r.metadata[key] = "other"; }, {key, "other"});
  for (const char* key : {"c", "n", "k", "classes", "steps"})
    for (const char* value : {"0", "-1", "x", "", "2.5", "99999999999"})
      refused([&](Reference& r) { r.metadata[key] = value; }, {"metadata", key});
  refused([](Reference& r) { r.metadata["n"] = "2"; }, {"metadata n = 2"});
  refused([](Reference& r) { r.metadata["c"] = "8"; }, {"init.stem.0.weight"});
  refused([](Reference& r) { r.metadata["clip"] = "nan"; }, {"clip"});
  for (const char* name : {"theta", "trace.0.arch_theta", "trace.alpha0", "logits"})
    refused(
        [&](Reference& r) {
          r.values.at(name).resize(1000, 0.2f);
          r.shapes.at(name) = {1000};
        },
        {name, "1000"});
  refused([](Reference& r) { r.integers.at("target")[0] = 10; }, {"target", "label 10"});
  refused([](Reference& r) { r.integers.at("target")[1] = -1; }, {"target", "label -1"});
  refused([](Reference& r) { r.shapes.at("input") = {2 * 3 * 32 * 32}; }, {"input"});
  refused([](Reference& r) { r.values.erase("grad.classifier.bias"); }, {"grad.classifier.bias"});
  refused(
      [](Reference& r) {
        r.values["after.stem.7.running_var"] = {1.0f};
        r.shapes["after.stem.7.running_var"] = {1};
      },
      {"after.stem.7.running_var", "no counterpart"});
}

TEST_CASE("parity: the Beta table") {
  // Beta(1, 1) is uniform: x^a at a = 1, so dx/da = -x ln x.
  CHECK(replay_table("x,a,b,dx_da\n0.5,1,1,0.34657359027997264\n") < 1e-14);
  CHECK(replay_table("x,a,b,dx_da\n0.5,1,1,0.34657359028\n") > 1e-14);
  CHECK(std::isnan(replay_table("x,a,b,dx_da\n0.5,1,1,nan\n0.5,1,1,0.34657359027997264\n")));
  check_fails([] { replay_table("x,a,b,dx_da\n"); }, {"beta.csv", "rows"});
  check_fails([] { replay_table("x,a,b\n0.5,1,1\n"); }, {"dx_da"});
}

TEST_CASE("derived network: reference files of the published implementation") {
  for (const char* name :
       {"darts_derived_c8_l4.safetensors", "darts_derived_imagenet_c8_l4.safetensors"}) {
    const auto file = test::golden_file(name);
    if (!file) continue;
    for (const auto& result : parity::replay_closest(*file, {}, 5e-5).errors) {
      CAPTURE(name);
      CAPTURE(result.first);
      CHECK(result.second < 5e-5);
    }
  }
}
