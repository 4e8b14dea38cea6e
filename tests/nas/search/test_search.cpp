// SPDX-License-Identifier: MIT
// Whole searches on small synthetic images: repeatable, resumable bit by bit, and safe when
// something goes wrong.
#include "nas/search/search.h"

#include <algorithm>

#include "data/dataset_info.h"
#include "engine/gpu.h"
#include "nas/search/search_inputs.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/plain_memory.h"
#ifdef DRNAS_SIMT
#include "engine/safetensors.h"
#include "executor.h"
#endif

using namespace drnas;
using namespace drnas::test;

TEST_CASE("search: two runs with one seed are bit-equal, another seed differs") {
  const ScratchFolder scratch;
  for (const char* method : {"drnas", "darts"}) {
    CAPTURE(method);
    SearchOptions first = small_search(scratch / (std::string("first-") + method).c_str());
    first.method = method;
    SearchOptions second = first, other = first;
    second.out = scratch / (std::string("second-") + method).c_str();
    other.out = scratch / (std::string("other-") + method).c_str();
    other.seed = first.seed + 1;
    CHECK(search(first).epochs_done == 3);
    search(second);
    search(other);
    check_same_run(first.out, second.out);
    CHECK(comparable_log(first.out) != comparable_log(other.out));
    CHECK(comparable_log(first.out).size() == 3);
  }
}

TEST_CASE(
    "search: stopped by SIGINT anywhere and resumed, it ends bit-equal to an uninterrupted run") {
  const ScratchFolder scratch;
  SearchOptions whole = small_search(scratch / "whole");
  whole.regulariser = "kl";
  whole.alpha_start_epoch = 1;
  search(whole);
  const auto interrupted_and_resumed = [&](const char* name, Interrupter&& observer,
                                           int epochs_before) {
    CAPTURE(name);
    SearchOptions part = whole;
    part.out = scratch / name;
    const SearchResult stopped = search(part, std::move(observer));
    CHECK(stopped.interrupted_by_signal == SIGINT);
    CHECK(stopped.epochs_done == epochs_before);
    part.resume = true;
    const SearchResult resumed = search(part);
    CHECK(resumed.interrupted_by_signal == 0);
    CHECK(resumed.epochs_done == 3);
    const auto record = nlohmann::json::parse(read_text_file(part.out / "run.json"));
    CHECK(record["program"] == "drnas_search");
    std::string note;
    const bool gpu = choose_device(part.device, note) == Device::cuda;
    CHECK(record["device"] == (gpu ? "cuda" : "cpu"));
    CHECK(record.contains("gpu") == gpu);
    CHECK(record["threads"] == part.threads);
    CHECK(record["sessions"].size() == 2);
    check_same_run(whole.out, part.out);
  };
  interrupted_and_resumed("first-epoch", Interrupter(1), 0);
  interrupted_and_resumed("middle", Interrupter(5), 1);
  interrupted_and_resumed("epoch-end", Interrupter(6), 1);
  interrupted_and_resumed("evaluation", Interrupter(4, "evaluation"), 1);
}

TEST_CASE("search: tensors peak where the plan says") {
  const ScratchFolder scratch;
  const SearchOptions o = small_search(scratch / "planned");
  std::string note;
  const SearchInputs inputs(o, false);
  const SearchMemory plan = inputs.plan(o, choose_device(o.device, note));
  const bool checks = Allocator::of(choose_device(o.device, note)).set_checks(false);
  search(o);
  Allocator::of(choose_device(o.device, note)).set_checks(checks);
  CHECK(comparable_log(o.out).back()["peak_bytes"]["total"] == plan.peak_bytes);
}

#ifdef DRNAS_SIMT
namespace {

struct Listener : SearchObserver {
  std::string lines;
  void on_message(const std::string& line) override { lines += line + "\n"; }
};

/// One limit below what resident images would need, in the one mode that the search may take.
SearchOptions without_resident_images(const SearchOptions& whole, const fs::path& out) {
  SearchOptions o = whole;
  o.memory_limit = SearchInputs(o, false).plan(o, Device::cuda).peak_bytes - 1;
  o.out = out;
  return o;
}

/// The same epochs and the same state, memory apart.
void check_same_results(const fs::path& a, const fs::path& b) {
  std::vector<nlohmann::json> first_log = comparable_log(a), second_log = comparable_log(b);
  for (auto* log : {&first_log, &second_log})
    for (nlohmann::json& epoch : *log)
      for (const char* key : {"peak_bytes", "pinned_bytes"}) CHECK(epoch.erase(key) == 1);
  CHECK(first_log.size() == 3);
  CHECK(first_log == second_log);
  CHECK(read_text_file(a / "genotype.txt") == read_text_file(b / "genotype.txt"));
  const SafetensorsFile first(a / "checkpoint.safetensors"), second(b / "checkpoint.safetensors");
  CHECK(first.entries().size() == second.entries().size());
  for (const auto& [name, entry] : first.entries()) {
    CAPTURE(name);
    if (!name.starts_with("progress.peak"))
      CHECK(std::ranges::equal(entry.data, second.at(name).data));
  }
}

}  // namespace

TEST_CASE("search: images that exceed the memory limit are read from pinned memory, or copied") {
  const ScratchFolder scratch;
  SearchOptions whole = small_search(scratch / "resident");
  whole.raw_outputs = "store";
  search(whole);
  const SearchOptions pinned = without_resident_images(whole, scratch / "pinned");
  const bool checks = Allocator::of(Device::cuda).set_checks(false);
  struct Case {
    const char* name;
    std::size_t lockable;
    ImagePlace place;
  };
  for (const Case& c : {Case{"pinned", simt::Card{}.pinned_bytes, ImagePlace::pinned},
                        Case{"copied", 0, ImagePlace::host}}) {
    CAPTURE(std::string(c.name));
    SearchOptions o = pinned;
    o.out = scratch / c.name;
    simt::set_card({.pinned_bytes = c.lockable});
    std::int64_t planned = 0, bytes = 0;
    {
      const SearchMemory memory = SearchInputs(o, false).plan(o, Device::cuda);
      CHECK(memory.images.place == c.place);
      CHECK(memory.note().empty() == (c.place == ImagePlace::pinned));
      planned = memory.peak_bytes;
      bytes = memory.images.pinned_bytes();
    }
    CHECK(contains(plan_search(o),
                   c.place == ImagePlace::pinned ? "pinned on the host" : "# note: "));
    Listener listener;
    catch_stop_signals();
    run_search(o, listener);
    simt::set_card({});
    CHECK(simt::pinned_bytes() == 0);
    CHECK(contains(listener.lines, "no pinned memory for the 1.51 MiB") ==
          (c.place == ImagePlace::host));
    const nlohmann::json last = comparable_log(o.out).back();
    CHECK(last["peak_bytes"]["total"] == planned);
    CHECK(planned <= o.memory_limit);
    CHECK(last["pinned_bytes"] == bytes);
    CHECK((bytes > 0) == (c.place == ImagePlace::pinned));
    check_same_results(whole.out, o.out);
  }
  Allocator::of(Device::cuda).set_checks(checks);
}
#endif

TEST_CASE("search: the dry run says in bytes what the search then needs, and leaves no folder") {
  const PlainMemory plain;
  const ScratchFolder scratch;
  const SearchOptions o = small_search(scratch / "run");
  const std::string plan = plan_search(o), words = "\n# planned peak bytes ";
  CHECK(!fs::exists(o.out));
  const std::size_t at = plan.find(words);
  REQUIRE(at != std::string::npos);
  std::size_t digits = 0;
  const std::int64_t planned = std::stoll(plan.substr(at + words.size()), &digits);
  search(o);
  const std::int64_t peak = comparable_log(o.out).back()["peak_bytes"]["total"];
  const bool on_cuda = o.device == "cuda";
  const std::string device = on_cuda ? " on cuda\n" : " on cpu\n";
  CHECK(plan.substr(at + words.size() + digits, device.size()) == device);
  // Pixels and a label of four bytes: on a GPU among the tensors, on the CPU beside them.
  const std::int64_t images = SearchInputs(o, false).dataset.train.count * (3 * 16 * 16 + 4);
  CHECK(planned == peak + (on_cuda ? 0 : images));
}

TEST_CASE("search: the plan counts the classes of the data set") {
  const ScratchFolder scratch;
  for (const char* name : {"cat", "dog", "owl"}) fs::create_directories(scratch / "train" / name);
  for (const auto& [name, classes] : {std::pair{"cifar10", 10},
                                      {"cifar100", 100},
                                      {"imagenet16-120", 120},
                                      {"image-folder", 3}}) {
    SearchOptions o = small_search(scratch / "unused");
    o.dataset = name;
    o.data = scratch / "";
    if (const int side = dataset_info(name).side) o.image_size = side;
    CHECK(contains(plan_search_memory(o), " " + std::to_string(classes) + " classes"));
  }
}

TEST_CASE("search: a memory budget that is too small is one line and leaves no folder") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "small");
  o.memory_limit = 1024 * 1024;
  const std::string message = failure_of(o);
  CHECK(contains(message, "--memory-limit 1048576"));
  CHECK(contains(message, "the search needs"));
  CHECK(!contains(message, "\n"));
  CHECK(!fs::exists(o.out));
}

TEST_CASE("search: a cut or foreign checkpoint is named and left alone") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "run");
  search(o, Interrupter(5));
  o.resume = true;
  const fs::path checkpoint = o.out / "checkpoint.safetensors";
  const auto whole = read_file(checkpoint);
  const std::string log = read_text_file(o.out / "log.jsonl");
  write_file_atomically(checkpoint, std::span(whole).first(whole.size() / 2));
  CHECK(contains(failure_of(o), checkpoint.string()));
  CHECK(read_file(checkpoint).size() == whole.size() / 2);
  CHECK(read_text_file(o.out / "log.jsonl") == log);

  SearchOptions other = small_search(scratch / "other");
  other.channels = 8;
  search(other, Interrupter(1));
  fs::copy_file(other.out / "checkpoint.safetensors", checkpoint,
                fs::copy_options::overwrite_existing);
  CHECK(contains(failure_of(o), "another configuration"));

  write_file_atomically(checkpoint, whole);
  CHECK(search(o).epochs_done == 3);
  // Without it the epochs that are logged would be lost.
  fs::remove(checkpoint);
  const std::string finished = read_text_file(o.out / "log.jsonl");
  CHECK(
      contains(failure_of(o), "checkpoint.safetensors: is missing, but log.jsonl holds 3 epochs"));
  CHECK(read_text_file(o.out / "log.jsonl") == finished);
}

TEST_CASE(
    "search: what is not finite stops the run with the operation's name and the last good state on "
    "disk") {
  const ScratchFolder scratch;
  SearchOptions o = small_search(scratch / "run");
  o.learning_rate = 1e3;  // a few steps overflow float32
  o.learning_rate_min = 1e3;
  o.weight_decay = 0.5;
  o.grad_clip = 0;
  o.epochs = 50;
  const std::string message = failure_of(o);
  CHECK(contains(message, "is not finite"));
  CHECK(contains(message, "operation"));
  REQUIRE(fs::exists(o.out / "checkpoint.safetensors"));
}
