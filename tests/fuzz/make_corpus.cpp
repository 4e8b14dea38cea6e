// SPDX-License-Identifier: MIT
// make_fuzz_corpus CORPUS: writes the files good-* of every target, and what showed a mistake once;
// make_images.sh writes the good images.
#include <cstring>
#include <iostream>

#include "data/cache.h"
#include "nas/search/search.h"
#include "nas/space/latency_table.h"
#include "nas/space/nb201/nb201_cell.h"
#include "nas/training/train.h"
#include "tests/fuzz/gzip_parts.h"
#include "tests/fuzz/run_files.h"
#include "tests/fuzz/tiny_runs.h"

namespace drnas::fuzz {

namespace {

/// Where the corpora go.
class Corpus {
 public:
  explicit Corpus(fs::path path) : path_(std::move(path)) {}

  void add(const std::string& target, const std::string& name, const Bytes& content) const {
    add_bad(target, "good-" + name, content);
  }
  /// Not to be accepted.
  void add_bad(const std::string& target, const std::string& name, const Bytes& content) const {
    const fs::path file = path_ / target / name;
    fs::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(content.data()),
              static_cast<std::streamsize>(content.size()));
    if (!out.flush()) throw std::runtime_error("cannot write " + file.string());
  }
  void add(const std::string& target, const std::string& name, std::string_view text) const {
    add(target, name, to_bytes(text));
  }

 private:
  fs::path path_;
};

Bytes random_bytes(std::size_t count, Rng& rng) {
  Bytes bytes(count);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(rng());
  return bytes;
}

void add_safetensors(const Corpus& corpus, const Folder& folder) {
  const fs::path file = folder.path() / "small.safetensors";
  SafetensorsWriter writer;
  writer.set_metadata("format", "pt");
  writer.add<float>("weight", {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  writer.add<double>("alpha", {1, 2}, std::vector<double>{0.5, -1});
  writer.add<std::int64_t>("steps", {1}, std::vector<std::int64_t>{7});
  writer.add<std::uint8_t>("kept", {0}, std::vector<std::uint8_t>{});
  writer.write(file);
  corpus.add("safetensors", "small", read_bytes(file));
  SafetensorsWriter().write(file);
  corpus.add("safetensors", "empty", read_bytes(file));
  const std::string foreign = R"({"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})";
  Bytes bytes = {static_cast<std::uint8_t>(foreign.size()), 0, 0, 0, 0, 0, 0, 0};
  bytes.insert(bytes.end(), foreign.begin(), foreign.end());
  bytes.insert(bytes.end(), {1, 2, 3, 4});
  corpus.add("safetensors", "without-metadata", bytes);
}

/// Its configuration replaced by what stands for it.
Bytes run_file(const fs::path& file) {
  auto parts = take_apart(read_bytes(file));
  if (!parts) throw std::runtime_error(file.string() + ": no safetensors file");
  parts->header["__metadata__"]["configuration"] = own_configuration;
  return put_together(std::move(*parts));
}

void add_checkpoints(const Corpus& corpus, const Folder& folder) {
  SearchOptions search = tiny_search(folder.path() / "search");
  SearchObserver silent;
  run_search(search, silent);
  corpus.add("search_checkpoint", "stage-2", run_file(search.out / "checkpoint.safetensors"));
  const TrainOptions training = tiny_training(folder.path() / "training");
  TrainObserver quiet;
  run_training(training, quiet);
  corpus.add("training_file", "checkpoint", run_file(training.out / "checkpoint.safetensors"));
  corpus.add("training_file", "weights", run_file(training.out / "weights.safetensors"));
}

void add_cache(const Corpus& corpus, const Folder& folder, Rng& rng) {
  Dataset dataset;
  dataset.name = "image-folder";
  dataset.classes = {"a", "b", "c"};
  dataset.mean = {0.5f, 0.4f, 0.3f};
  dataset.deviation = {0.2f, 0.2f, 0.25f};
  dataset.train = {2, 4, random_bytes(96, rng), {0, 2}, {}};
  dataset.test = {1, 4, random_bytes(48, rng), {1}, {}};
  const fs::path file = folder.path() / "packed.cache";
  const auto write = [&] {
    cache::write(file, {dataset.name, 4, "3 files, 99 bytes, crc 1"}, dataset);
    return read_bytes(file);
  };
  corpus.add("cache", "small", write());
  dataset.test.labels[0] = 1 << 30;
  corpus.add_bad("cache", "label-beyond-the-classes", write());
  dataset.test.labels[0] = 1;
  dataset.deviation[1] = 0;
  corpus.add_bad("cache", "deviation-0", write());
}

void add_records(const Corpus& corpus, Rng& rng) {
  const auto records = [&](int count, std::size_t label_bytes) {
    Bytes all;
    for (int r = 0; r < count; ++r) {
      for (std::size_t i = 0; i < label_bytes; ++i) all.push_back(static_cast<std::uint8_t>(r));
      const Bytes pixels = random_bytes(12, rng);
      all.insert(all.end(), pixels.begin(), pixels.end());
    }
    return all;
  };
  corpus.add("records", "one-label-byte", joined({{0, 0, 0}, records(2, 1), records(3, 1)}));
  corpus.add("records", "two-label-bytes", joined({{0, 1, 1}, records(1, 2), records(5, 2)}));
  std::string names;
  for (int c = 0; c < 100; ++c) names += "name " + std::to_string(c) + "\n";
  corpus.add("class_names", "hundred", names);
}

void add_idx(const Corpus& corpus, Rng& rng) {
  Bytes images = {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28};
  const Bytes pixels = random_bytes(784, rng);
  images.insert(images.end(), pixels.begin(), pixels.end());
  const Bytes labels = {0, 0, 8, 1, 0, 0, 0, 1, 7};
  corpus.add("idx", "plain", joined({images, labels}));
  corpus.add("idx", "packed-labels", joined({images, packed(labels)}));
  Bytes dark = images;
  std::fill(dark.begin() + 16, dark.end(), std::uint8_t{0});
  corpus.add("idx", "packed", joined({packed(dark), packed(labels)}));
  corpus.add("gzip", "one-member", packed(to_bytes("Some text, some text, some text.")));
  const Bytes none = packed({});
  Bytes two = packed(to_bytes("first ")), second = packed(to_bytes("second"));
  two.insert(two.end(), second.begin(), second.end());
  corpus.add("gzip", "two-members", two);
  corpus.add("gzip", "plain", "not packed");
  Bytes members;
  for (int i = 0; i < 150; ++i) members.insert(members.end(), none.begin(), none.end());
  corpus.add("gzip", "empty-members", members);
  Bytes bomb = labels;
  bomb.resize(60000);
  corpus.add_bad("idx", "more-than-the-header-promises", joined({packed(images), packed(bomb)}));
}

void add_table(const Corpus& corpus) {
  std::string text = "+architecture,cifar10_test,cifar100_test,imagenet16_120_test\n";
  for (int cell = 0; cell < 3; ++cell)
    text += to_string(Nb201Cell::from_index(cell)) + ",10.0,1.25,0.83\n";
  corpus.add("table", "first-rows", text);
}

void add_genotypes(const Corpus& corpus) {
  corpus.add("genotype", "nb201",
             "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|"
             "nor_conv_3x3~2|\n");
  int number = 0;
  for (const NamedGenotype& named : search_space("darts").named_genotypes())
    if (number++ % 3 == 0) corpus.add("genotype", std::string(named.name), named.text);
  corpus.add("genotype", "json",
             R"({"normal": [["sep_conv_3x3", 0], ["skip_connect", 1]], "normal_concat": [2],)"
             R"( "reduce": [["max_pool_3x3", 0], ["dil_conv_5x5", 1]], "reduce_concat": [2]})");
}

void add_latencies(const Corpus& corpus) {
  LatencyTable table{"nas-bench-201", "cpu, made up", 2, 64, {}};
  corpus.add("latency", "empty", to_json(table));
  for (const char* operation : {"skip_connect", "nor_conv_3x3"})
    table.operations.push_back({operation, {16, 32, 1}, 0.25, 0.125, 0.5, 15});
  corpus.add("latency", "two", to_json(table));
}

/// Without its comments, which name a commit.
std::string config_text(const fs::path& file) {
  std::string kept;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (!line.empty() && line[0] != '#') kept += line + "\n";
  return kept;
}

void add_runs(const Corpus& corpus, const Folder& folder) {
  SearchOptions options = tiny_search("run");
  const auto config = [&] { return config_text(folder.write("config.toml", options.to_toml())); };
  const std::string own = config();
  corpus.add("config", "search", own);
  corpus.add("config", "training",
             config_text(folder.write("train.toml", tiny_training("run").to_toml())));
  corpus.add("config", "short",
             "preset = \"darts-cifar10\"  # a comment\nout = 'a b'\nseeds = [1, 2]\n"
             "memory-limit = 2G\nhessian = \"every=5,step=0.05\"\n");
  std::string log, line;
  std::ifstream in(folder.path() / "search" / "log.jsonl");
  while (std::getline(in, line)) log += line + "\n";
  const std::string genotype = config_text(folder.path() / "search" / "genotype.txt");
  const std::string sessions =
      R"({"program":"drnas_search","version":"0.1.0","sessions":[{"version":"0.1.0"}]})";
  const Bytes run = joined({to_bytes(own), to_bytes(log), to_bytes(sessions), to_bytes(genotype)});
  corpus.add("report", "search", run);
  corpus.add("run_folder", "search", run);
  corpus.add_bad("report", "genotype-of-two-lines",
                 joined({to_bytes(own), to_bytes(log), {}, to_bytes("|none~0|\n+|none~0|")}));
  options.hessian = "every=1";
  options.trajectory = 2;
  options.stage_epochs = {};
  options.partial_channels = {1};
  options.keep_ops = {};
  options.out = folder.path() / "evidence";
  SearchObserver silent;
  run_search(options, silent);
  std::ifstream evidence(options.out / "log.jsonl");
  for (log.clear(); std::getline(evidence, line);) log += line + "\n";
  options.out = "run";
  const Bytes second = joined({to_bytes(config()), to_bytes(log), {}, to_bytes(genotype)});
  corpus.add("report", "evidence",
             joined({to_bytes(config()), to_bytes(log), to_bytes("null"), to_bytes(genotype)}));
  corpus.add("run_folder", "evidence", second);
}

void run(const fs::path& path) {
  const Corpus corpus(path);
  const Folder folder;
  Rng rng(1);
  add_safetensors(corpus, folder);
  add_checkpoints(corpus, folder);
  add_cache(corpus, folder, rng);
  add_records(corpus, rng);
  add_idx(corpus, rng);
  add_table(corpus);
  add_genotypes(corpus);
  add_latencies(corpus);
  add_runs(corpus, folder);
  corpus.add("image_list", "two-lists",
             joined({to_bytes("a/0.png\nb/1.png\n"), to_bytes("a/1.png\r\n\nb/2 and more.png")}));
  corpus.add_bad("image_list", "name-longer-than-any-file",
                 joined({to_bytes("a/0.png\n"), Bytes(5000, 'x')}));
  corpus.add_bad("image", "pgm-16-bit", to_bytes("P5\n2 2\n65535\n12345678"));
  corpus.add_bad("image", "ppm-without-width", to_bytes("P6\n0 5\n255\n"));
}

}  // namespace
}  // namespace drnas::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_fuzz_corpus CORPUS\n";
    return 2;
  }
  try {
    drnas::fuzz::run(argv[1]);
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << "error: " << failure.what() << '\n';
    return 2;
  }
}
