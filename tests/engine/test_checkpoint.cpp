// SPDX-License-Identifier: MIT
#include "engine/parameters/checkpoint.h"
#include "engine/stream.h"

#include <cstring>

#include "engine/files.h"
#include "nas/search/search_state.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

std::vector<std::byte> bits(const Tensor& t) {
  const auto* first = t.dtype() == DType::f64 ? reinterpret_cast<const std::byte*>(t.data<double>())
                                              : reinterpret_cast<const std::byte*>(t.data());
  return {first, first + static_cast<std::size_t>(t.elements()) * size_of(t.dtype())};
}

/// Two parameters and a statistic with random contents, or with another width or name.
ParameterStore make_store(std::uint64_t seed, int width = 5, const char* name = "b") {
  ParameterStore store;
  store.add("a", {3, 3, 3, 2}, Initial::uniform(18));
  store.add(name, {1, 1, 1, width}, Initial::uniform(2));
  store.add_statistic("a.mean", {1, 1, 1, 3}, 0);
  store.allocate(seed);
  auto rng = generator(seed);
  for (const Tensor* t : {&store.velocity(), &store.statistics_buffer()}) {
    const Doubles values = normals(rng, t->elements());
    std::copy(values.begin(), values.end(), t->data());
  }
  return store;
}

void save(const std::filesystem::path& path, const ParameterStore& store) {
  SafetensorsWriter writer;
  save_parameters(writer, store);
  writer.write(path);
}

/// The slices of a flat buffer; the padding between them is nobody's.
std::vector<float> slices(const std::vector<NamedSlice>& named, const Tensor& buffer) {
  std::vector<float> values;
  for (const NamedSlice& s : named)
    values.insert(values.end(), buffer.data() + s.offset,
                  buffer.data() + s.offset + s.shape.elements());
  return values;
}

std::vector<std::vector<float>> contents(const ParameterStore& s) {
  return {slices(s.parameters(), s.weights()), slices(s.parameters(), s.velocity()),
          slices(s.statistics(), s.statistics_buffer())};
}

/// A small search in the middle of its work.
struct Search {
  Nb201Supernet supernet;
  std::unique_ptr<MixingDistribution> distribution;
  Trainer trainer;

  explicit Search(std::uint64_t seed, int channels = 4)
      : supernet({channels, 1, 10, 2}, seed),
        distribution(
            make_dirichlet({Nb201Supernet::edges, Nb201Supernet::ops, seed, Device::cpu}, 3)),
        trainer(supernet, *distribution, {}) {}

  void steps(int count) {
    auto rng = generator(91);
    for (int i = 0; i < count; ++i) {
      const Doubles pixels = normals(rng, 4 * 8 * 8 * 3);
      const std::vector<float> images(pixels.begin(), pixels.end());
      const DeviceBatch batch(images, std::vector<std::int32_t>{1, 2, 3, 1}, 8, Device::cpu);
      trainer.architecture_step(batch);
      trainer.weight_step(batch, 0.025);
    }
  }
  std::vector<std::vector<std::byte>> state() const {
    const ParameterStore& s = supernet.parameters();
    const ArchitectureParameters& a = distribution->parameters();
    return {bits(s.weights()), bits(s.velocity()),   bits(s.statistics_buffer()),
            bits(a.alpha),     bits(a.first_moment), bits(a.second_moment)};
  }
};

SearchProgress some_progress(const Trainer& trainer) {
  SearchProgress p;
  p.epoch = 7;
  p.step = 123;
  p.architecture_steps = 4567;
  p.draws = trainer.draws();
  p.train = {1.0 / 3, 640, 320, 600};
  p.memory.total = 1 << 20;
  p.memory.by_tag[2] = 77;
  return p;
}

}  // namespace

TEST_CASE("checkpoint: parameters come back bit by bit, by name") {
  const TemporaryFolder folder;
  const auto path = folder.path / "weights.safetensors";
  ParameterStore store = make_store(1);
  store.weights().data()[0] = -0.0f;
  store.weights().data()[1] = 1e-42f;  // a denormal
  save(path, store);
  const ParameterStore other = make_store(2);
  CHECK(contents(other) != contents(store));
  load_parameters(SafetensorsFile(path), other);
  CHECK(contents(other) == contents(store));
  CHECK(std::signbit(other.weights().data()[0]));
}

TEST_CASE("checkpoint: another shape and a missing tensor are named") {
  const TemporaryFolder folder;
  const auto path = folder.path / "weights.safetensors";
  save(path, make_store(1));
  const SafetensorsFile file(path);
  check_fails([&] { load_parameters(file, make_store(1, 6)); },
              {path.string(), "weights.b", "[1, 1, 1, 6]"});
  check_fails([&] { load_parameters(file, make_store(1, 5, "c")); }, {path.string(), "weights.c"});
}

TEST_CASE("checkpoint: tables come back bit by bit; float32 is refused") {
  const TemporaryFolder folder;
  const auto path = folder.path / "table.safetensors";
  auto rng = generator(92);
  const Doubles values = normals(rng, 30);
  const Shape shape{1, 1, 6, 5};
  const Tensor table(shape, MemoryTag::optimizer, Device::cpu, DType::f64);
  for (int i = 0; i < 30; ++i) table.data<double>()[i] = values[i] / 3;
  SafetensorsWriter writer;
  save_table(writer, "alpha", table);
  const std::vector<float> narrow(30, 1.0f);
  writer.add<float>("narrow", {1, 1, 6, 5}, narrow);
  writer.write(path);
  const Tensor read = Tensor::zeros(shape, MemoryTag::optimizer, Device::cpu, DType::f64);
  load_table(SafetensorsFile(path), "alpha", read);
  CHECK(bits(read) == bits(table));
  check_fails([&] { load_table(SafetensorsFile(path), "narrow", read); }, {"narrow"});
  check_fails([&] { load_table(SafetensorsFile(path), "beta", read); }, {"beta"});
}

TEST_CASE("checkpoint: a search goes on bit by bit where another one stopped") {
  const TemporaryFolder folder;
  const auto path = folder.path / "search.safetensors";
  Search first(1), second(2);
  first.steps(2);
  const SearchProgress saved = some_progress(first.trainer);
  save_search(path, "channels = 4", saved, first.supernet, *first.distribution);
  second.steps(1);
  CHECK(second.state() != first.state());
  const SearchProgress loaded =
      load_search(path, "channels = 4", second.supernet, *second.distribution);
  CHECK(second.state() == first.state());
  CHECK(download_scalar<std::int64_t>(second.distribution->parameters().adam_steps) == 2);
  CHECK(loaded.epoch == saved.epoch);
  CHECK(loaded.step == saved.step);
  CHECK(loaded.architecture_steps == saved.architecture_steps);
  CHECK(loaded.draws == 4);
  CHECK(loaded.train.loss == saved.train.loss);
  CHECK(loaded.train.images == saved.train.images);
  CHECK(loaded.train.top1 == saved.train.top1);
  CHECK(loaded.train.top5 == saved.train.top5);
  CHECK(loaded.memory.total == saved.memory.total);
  CHECK(loaded.memory.by_tag == saved.memory.by_tag);
  second.trainer.set_draws(loaded.draws);
  first.steps(2);
  second.steps(2);
  CHECK(second.state() == first.state());
}

TEST_CASE("checkpoint: another configuration, another network, a cut or foreign file are named") {
  const TemporaryFolder folder;
  const auto path = folder.path / "search.safetensors";
  Search search(1);
  save_search(path, "one", {}, search.supernet, *search.distribution);
  const auto before = search.state();
  const auto load = [](const std::filesystem::path& from, const char* configuration, Search& to) {
    load_search(from, configuration, to.supernet, *to.distribution);
  };
  check_fails([&] { load(path, "two", search); }, {path.string(), "another configuration"});
  Search wider(1, 8);
  check_fails([&] { load(path, "one", wider); }, {path.string(), "weights.stem.0.weight"});
  check_fails([&] { load(folder.path / "none.safetensors", "one", search); }, {"none.safetensors"});
  const auto whole = read_file(path);
  const auto cut = folder.path / "cut.safetensors";
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    CAPTURE(length);
    write_file_atomically(cut, std::span(whole).first(length));
    check_fails([&] { load(cut, "one", search); }, {cut.string()});
  }
  save(cut, make_store(1));
  check_fails([&] { load(cut, "one", search); }, {cut.string(), "not a search checkpoint"});
  CHECK(search.state() == before);
  load(path, "one", search);
  CHECK(search.state() == before);
}
