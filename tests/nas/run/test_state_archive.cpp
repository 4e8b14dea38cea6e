// SPDX-License-Identifier: MIT
// The state of a search in an archive: everything comes back bit by bit, and what does not fit, is
// damaged or out of range is named.
#include "engine/parameters/state_archive.h"

#include <cstring>

#include "engine/files.h"
#include "engine/stream.h"
#include "nas/run/run_loop.h"
#include "nas/space/nb201/nb201_supernet.h"
#include "tests/support/change_tensor.h"
#include "tests/support/option_files.h"
#include "tests/support/reference.h"
#include "tests/support/trainer.h"

using namespace drnas;
using namespace drnas::test;
using test_files::change;
using test_files::check_fails;
using test_files::TemporaryFolder;

namespace {

namespace fs = std::filesystem;

template <class T>
void append_bits(const Tensor& t, std::vector<std::byte>& bits) {
  const auto values = download<T>(t);
  const auto bytes = std::as_bytes(std::span(values));
  bits.insert(bits.end(), bytes.begin(), bytes.end());
}

/// A small search in the middle of its work.
struct Search {
  Nb201Supernet supernet;
  std::unique_ptr<SearchMethod> method;
  Trainer trainer;
  RunProgress progress;

  explicit Search(std::uint64_t seed, int channels = 4, const char* name = "drnas")
      : supernet({channels, 1, 10, 2}, seed),
        method(make_method(name, {Nb201Supernet::edges, Nb201Supernet::ops, 3, Device::cpu})),
        trainer(supernet, *method, {}) {}

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
  std::vector<std::byte> state() const {
    const ParameterStore& s = supernet.parameters();
    std::vector<std::byte> bits;
    for (const Tensor* t : {&s.weights(), &s.velocity(), &s.statistics_buffer()})
      append_bits<float>(*t, bits);
    append_bits<double>(method->law().alpha().values, bits);
    return bits;
  }
  void archive(StateArchive& a) {
    progress.archive(a);
    a.parameters(supernet.parameters());
    method->archive(a);
    std::uint32_t draws = trainer.draws();
    a.value("draws", draws);
    if (a.loading()) trainer.set_draws(draws);
  }
  void save(const fs::path& path, const char* configuration) {
    StateArchive a({"search", configuration});
    archive(a);
    a.write(path);
  }
  void load(const fs::path& path, const char* configuration) {
    StateArchive a(path, {"search", configuration});
    archive(a);
  }
};

}  // namespace

TEST_CASE("state archive: a search goes on bit by bit where another one stopped") {
  const TemporaryFolder folder;
  const auto path = folder.path / "search.safetensors";
  Search first(1), second(2);
  first.steps(2);
  RunProgress& p = first.progress;
  p.epoch = 7;
  p.step = 123;
  p.train = {1.0 / 3, 640, 320, 600};
  p.memory.total = 1 << 20;
  p.memory.by_tag[2] = 77;
  first.save(path, "channels = 4");
  second.steps(1);
  CHECK(second.state() != first.state());
  second.load(path, "channels = 4");
  CHECK(second.state() == first.state());
  CHECK(second.progress.epoch == 7);
  CHECK(second.progress.step == 123);
  CHECK(second.progress.train.loss == 1.0 / 3);
  CHECK(second.progress.train.images == 640);
  CHECK(second.progress.train.top1 == 320);
  CHECK(second.progress.train.top5 == 600);
  CHECK(second.progress.memory.total == 1 << 20);
  CHECK(second.progress.memory.by_tag == p.memory.by_tag);
  CHECK(second.trainer.draws() == 4);
  CHECK(SafetensorsFile(path).values<std::int64_t>("adam.steps") == std::vector<std::int64_t>{2});
  first.steps(2);
  second.steps(2);
  CHECK(second.state() == first.state());
}

TEST_CASE("state archive: another configuration, another network, a foreign file are named") {
  const TemporaryFolder folder;
  const auto path = folder.path / "search.safetensors";
  Search search(1);
  search.save(path, "one");
  const auto before = search.state();
  check_fails([&] { search.load(path, "two"); },
              {path.string(), "another configuration: it has one, the run's config.toml two"});
  Search wider(1, 8);
  check_fails([&] { wider.load(path, "one"); }, {path.string(), "weights.stem.0.weight"});
  check_fails([&] { search.load(folder.path / "none.safetensors", "one"); }, {"none.safetensors"});
  check_fails(
      [&] {
        StateArchive(path, {"training", "one"});
      },
      {path.string(), "not a checkpoint of a training", "drnas-training-3"});
  const auto foreign = folder.path / "foreign.safetensors";
  SafetensorsWriter().write(foreign);
  check_fails([&] { search.load(foreign, "one"); }, {foreign.string(), "not a checkpoint"});
  SafetensorsWriter old;
  old.set_metadata("format", "drnas-search-1");
  old.write(foreign);
  check_fails([&] { search.load(foreign, "one"); },
              {foreign.string(), "checkpoint format 1", "expected format 3", "run.json"});
  CHECK(search.state() == before);
  search.load(path, "one");
  CHECK(search.state() == before);
}

TEST_CASE("state archive: cut files and flipped bits are found before anything changes") {
  const TemporaryFolder folder;
  const auto path = folder.path / "search.safetensors", bad = folder.path / "bad.safetensors";
  Search search(1);
  search.save(path, "one");
  const auto before = search.state();
  const auto whole = read_file(path);
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{7}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    CAPTURE(length);
    write_file_atomically(bad, std::span(whole).first(length));
    check_fails([&] { search.load(bad, "one"); }, {bad.string()});
  }
  auto rng = generator(93);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), sizeof header);
  const std::size_t data = 8 + header;
  for (int flip = 0; flip < 60; ++flip) {
    auto damaged = whole;
    damaged[data + rng() % (whole.size() - data)] ^= static_cast<std::byte>(1u << rng() % 8);
    write_file_atomically(bad, damaged);
    check_fails([&] { search.load(bad, "one"); }, {bad.string(), "checksum", "was changed"});
  }
  for (int flip = 0; flip < 400; ++flip) {  // length, names, shapes, places, metadata
    auto damaged = whole;
    damaged[rng() % data] ^= static_cast<std::byte>(1u << rng() % 8);
    write_file_atomically(bad, damaged);
    check_fails([&] { search.load(bad, "one"); }, {bad.string()});
  }
  auto nameless = read_text_file(path);
  nameless.replace(nameless.find("checksum"), 8, "checksun");
  write_file_atomically(bad, nameless);
  check_fails([&] { search.load(bad, "one"); }, {bad.string(), "lost its checksum"});
  CHECK(search.state() == before);
}

TEST_CASE("state archive: numbers out of range, of another count or type are named") {
  const TemporaryFolder folder;
  const auto path = folder.path / "search.safetensors", bad = folder.path / "bad.safetensors";
  Search search(1);
  search.save(path, "one");
  using Integers = std::vector<std::int64_t>;
  for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{1} << 32}) {
    change(path, bad, "draws", Integers{value});
    check_fails([&] { search.load(bad, "one"); },
                {bad.string(), "draws is " + std::to_string(value), "0 to 4294967295"});
  }
  change(path, bad, "progress.epoch", Integers{-5});
  check_fails([&] { search.load(bad, "one"); }, {bad.string(), "progress.epoch is -5"});
  change(path, bad, "progress.step", Integers{1, 2});
  check_fails([&] { search.load(bad, "one"); }, {bad.string(), "progress.step holds 2 values"});
  change(path, bad, "progress.step", std::vector<double>{1});
  check_fails([&] { search.load(bad, "one"); }, {bad.string(), "progress.step", "I64"});
  change(path, bad, "alpha", std::vector<double>(30));
  check_fails([&] { search.load(bad, "one"); }, {bad.string(), "alpha", "[1, 1, 6, 5]"});
}

TEST_CASE("state archive: the largest numbers come back, negative ones are refused when saved") {
  const TemporaryFolder folder;
  const fs::path path = folder.path / "numbers.safetensors";
  const auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  StateArchive saved({"search", ""});
  std::uint64_t wide = largest;
  std::uint8_t narrow = 255;
  saved.value("wide", wide);
  saved.value("narrow", narrow);
  saved.write(path);
  StateArchive loaded(path, {"search", ""});
  wide = narrow = 0;
  loaded.value("wide", wide);
  loaded.value("narrow", narrow);
  CHECK(wide == largest);
  CHECK(narrow == 255);
  int negative = -1;
  check_fails([&] { saved.value("count", negative); }, {"count is -1", "expected 0 to"});
}
