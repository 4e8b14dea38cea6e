// SPDX-License-Identifier: MIT
#include "nas/run/event_file.h"

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <random>

#include "nas/run/event_observer.h"
#include "tests/nas/run/event_reader.h"
#include "tests/nas/search/search_runs.h"
#include "tests/support/option_files.h"

using namespace drnas;
using namespace drnas::test;
using test_files::TemporaryFolder;

namespace {

EpochRecord random_epoch(int epoch, std::mt19937& words) {
  std::uniform_real_distribution<double> uniform(0.1, 4);
  EpochRecord r;
  r.epoch = epoch;
  for (double* value : {&r.learning_rate, &r.train_loss, &r.train_top1, &r.val_loss, &r.val_top1,
                        &r.images_per_second, &r.architecture_step_ms, &r.weight_step_ms})
    *value = uniform(words);
  r.genotype = "|x~0|" + std::to_string(epoch);
  r.peak_bytes = 3 << 19;
  for (int edge = 0; edge < 3; ++edge) {
    r.concentrations.emplace_back();
    for (int op = 0; op < 5; ++op) r.concentrations.back().push_back(uniform(words));
  }
  return r;
}

StepProgress training_step(int epoch, std::int64_t step, std::int64_t steps, double loss) {
  StepProgress p;
  p.epoch = epoch;
  p.step = step;
  p.steps = steps;
  p.loss = loss;
  return p;
}

struct Listener : SearchObserver {
  std::vector<std::string> lines;
  int epochs = 0, steps = 0, starts = 0;
  void on_start(const RunStart&) override { ++starts; }
  void on_message(const std::string& line) override { lines.push_back(line); }
  void on_step(const StepProgress&) override { ++steps; }
  void on_epoch(const EpochRecord&) override { ++epochs; }
};

std::vector<double> doubles(const std::string& packed) {
  std::vector<double> values;
  for (std::size_t at = 0; at < packed.size(); at += 8)
    values.push_back(from_bytes<double>(packed, at));
  return values;
}

std::vector<std::int64_t> steps_of(const Events& events, const std::string& tag) {
  std::vector<std::int64_t> steps;
  for (const auto& [step, value] : events.scalars.at(tag)) steps.push_back(step);
  return steps;
}

using Steps = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("event file: checksums as TFRecord masks them") {
  std::mt19937 words(5);
  for (int size = 1; size < 300; size += 7) {
    std::string bytes;
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(words());
    CHECK(masked_crc32c(bytes) == bitwise_masked(bytes));
  }
}

TEST_CASE("event file: scalars, a histogram and a text come back") {
  const TemporaryFolder folder;
  const fs::path events_in = folder.path / "a" / "tensorboard";
  std::mt19937 words(6);
  std::normal_distribution<double> normal(-3, 2);
  std::vector<double> values(200);
  for (double& v : values) v = normal(words);
  {
    EventFile file(events_in);
    EventSummary summary;
    summary.scalar("loss/a", 0.1);
    summary.scalar("loss/nan", std::nan(""));
    summary.histogram("h", values);
    summary.histogram("nothing", {});
    summary.text("t", "**x**");
    file.write(300, summary);
    file.write(std::int64_t{1} << 40, summary);
    CHECK(read_events(events_in).scalars.at("loss/a").size() == 2);  // while the file is open
  }
  const Events events = read_events(events_in);
  CHECK(events.scalars.at("loss/a").at(300) == 0.1f);
  CHECK(events.scalars.at("loss/a").contains(std::int64_t{1} << 40));
  CHECK(std::isnan(events.scalars.at("loss/nan").at(300)));
  CHECK(events.others.size() == 2);
  const Fields h = read_fields(one(events.others.at("h").at(300), 5));
  const auto [least, largest] = std::minmax_element(values.begin(), values.end());
  double sum = 0, squares = 0;
  for (const double v : values) sum += v, squares += v * v;
  CHECK(from_bytes<double>(one(h, 1)) == *least);
  CHECK(from_bytes<double>(one(h, 2)) == *largest);
  CHECK(from_bytes<double>(one(h, 3)) == 200);
  CHECK(from_bytes<double>(one(h, 4)) == doctest::Approx(sum));
  CHECK(from_bytes<double>(one(h, 5)) == doctest::Approx(squares));
  const std::vector<double> limits = doubles(one(h, 6)), counts = doubles(one(h, 7));
  REQUIRE(limits.size() == counts.size());
  CHECK(limits.back() == *largest);
  double below = -1e300, counted = 0;
  for (std::size_t bin = 0; bin < limits.size(); ++bin) {
    CHECK(limits[bin] > below);
    CHECK(counts[bin] == std::count_if(values.begin(), values.end(),
                                       [&](double v) { return v > below && v <= limits[bin]; }));
    below = limits[bin];
    counted += counts[bin];
  }
  CHECK(counted == 200);
  const Fields text = events.others.at("t").at(300);
  CHECK(one(read_fields(one(text, 8)), 8) == "**x**");
  CHECK(one(read_fields(one(read_fields(one(text, 9)), 1)), 1) == "text");
}

TEST_CASE("event file: a later file sorts after the earlier ones, whatever the clock says") {
  for (const char* first :
       {"events.out.tfevents.1000000000.drnas-0001", "events.out.tfevents.9999999999.drnas-0001"}) {
    const TemporaryFolder folder;
    std::string last = first;
    write_file_atomically(folder.path / last, std::string_view(""));
    for (int i = 0; i < 3; ++i) {
      const std::string name = EventFile(folder.path).path().filename().string();
      CHECK(name > last);
      last = name;
    }
  }
}

TEST_CASE("event observer: what an epoch of a search gives") {
  const TemporaryFolder folder;
  std::mt19937 words(7);
  Listener listener;
  EpochRecord r = random_epoch(2, words);
  r.kept = {{true, true, false, true, true},
            {true, false, false, false, true},
            {true, false, false, false, false}};
  r.table = TableAccuracy{94.25, 73.5, 46.75};
  r.trajectory = TrajectoryRecord{7, 3, 0.25, {{"cifar10", {1, 2, 3, 4, 5}}}};
  r.hessian = HessianRecord{};
  r.hessian->mu = {1.5, 2.5, 3.5, -4.5, -5.5};
  {
    EventObserver<EpochRecord> observer(listener, folder.path);
    observer.on_start({0, 0, 40});
    observer.on_epoch(r);
  }
  const Events events = read_events(folder.path);
  const auto value = [&](const char* tag) {
    CAPTURE(tag);
    REQUIRE(events.scalars.contains(tag));
    REQUIRE(events.scalars.at(tag).size() == 1);
    return events.scalars.at(tag).at(80);
  };
  CHECK(value("loss/train") == static_cast<float>(r.train_loss));
  CHECK(value("loss/val") == static_cast<float>(r.val_loss));
  CHECK(value("top1/train") == static_cast<float>(r.train_top1));
  CHECK(value("top1/val") == static_cast<float>(r.val_top1));
  CHECK(value("schedule/learning_rate") == static_cast<float>(r.learning_rate));
  CHECK(value("speed/images_per_second") == static_cast<float>(r.images_per_second));
  CHECK(value("memory/peak_mib") == 1.5);
  CHECK(value("table/cifar100") == 73.5);
  CHECK(value("trajectory_cifar10/q3") == 4);
  CHECK(value("hessian_mu/norm") == 1.5);
  CHECK(value("hessian_mu/trace") == 3.5);
  CHECK(value("hessian_mu/eigenvalue") == -4.5);
  double entropy = 0;
  for (std::size_t edge = 0; edge < 3; ++edge) {
    double sum = 0;
    for (std::size_t op = 0; op < 5; ++op) sum += r.kept[edge][op] ? r.concentrations[edge][op] : 0;
    for (std::size_t op = 0; op < 5; ++op) {
      const double p = r.kept[edge][op] ? r.concentrations[edge][op] / sum : 0;
      if (p > 0) entropy -= p * std::log(p);
    }
  }
  CHECK(value("architecture/mean_entropy") == doctest::Approx(entropy / 3));
  const Fields edge = read_fields(one(events.others.at("concentrations/edge_01").at(80), 5));
  CHECK(from_bytes<double>(one(edge, 3)) == 2);
  CHECK(events.others.at("genotype").size() == 1);
  CHECK(listener.epochs == 1);
  CHECK(listener.lines.empty());
}

TEST_CASE("event observer: a session that goes on shows no step twice and loses none before it") {
  std::mt19937 words(8);
  constexpr std::int64_t steps = 4;
  struct Case {
    std::int64_t epoch, step;  // of the checkpoint
  };
  // The killed session came to the end of epoch 3 and two steps further.
  for (const Case& c : {Case{0, 0}, Case{1, 2}, Case{2, 0}, Case{2, steps}, Case{3, 0}}) {
    CAPTURE(c.epoch);
    CAPTURE(c.step);
    const TemporaryFolder folder;
    Listener listener;
    const auto run = [&](EventObserver<EpochRecord>& o, std::int64_t epoch, std::int64_t step,
                         std::int64_t until) {
      o.on_start({epoch, step, steps});
      for (; epoch * steps + step < until; step = 0, ++epoch) {
        for (; step < steps && epoch * steps + step < until; ++step)
          o.on_step(training_step(static_cast<int>(epoch) + 1, step + 1, steps, 0.5));
        if (step == steps) o.on_epoch(random_epoch(static_cast<int>(epoch) + 1, words));
        if (step < steps) return;
      }
    };
    {
      EventObserver<EpochRecord> killed(listener, folder.path);
      run(killed, 0, 0, 3 * steps + 2);
    }
    EventObserver<EpochRecord> second(listener, folder.path);
    second.on_start({c.epoch, c.step, steps});
    if (c.step == steps) second.on_epoch(random_epoch(static_cast<int>(c.epoch) + 1, words));
    run(second, c.step == steps ? c.epoch + 1 : c.epoch, c.step == steps ? 0 : c.step, 5 * steps);
    const Events events = read_events(folder.path);
    CHECK(events.files == 2);
    CHECK(events.starts == 2);
    CHECK(steps_of(events, "loss/train") == Steps{4, 8, 12, 16, 20});
    CHECK(steps_of(events, "loss/step") ==
          Steps{1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19});
  }
}

TEST_CASE("event observer: where nothing can be written, the run goes on with one warning") {
  const TemporaryFolder folder;
  std::mt19937 words(9);
  Listener listener;
  const auto three_epochs = [&](const fs::path& place) {
    listener = {};
    EventObserver<EpochRecord> observer(listener, place);
    observer.on_start({0, 0, 4});
    for (int epoch = 1; epoch <= 3; ++epoch) observer.on_epoch(random_epoch(epoch, words));
  };
  write_file_atomically(folder.path / "file", std::string_view("x"));
  three_epochs(folder.path / "file");
  CHECK(listener.epochs == 3);
  REQUIRE(listener.lines.size() == 1);
  CHECK(contains(listener.lines[0], (folder.path / "file").string()));

  // A limit on the size of files stands for a full disk.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small{900, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  three_epochs(folder.path / "full");
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK(listener.epochs == 3);
  REQUIRE(listener.lines.size() == 1);
  CHECK(contains(listener.lines[0], "--tensorboard: cannot write"));
  CHECK(contains(listener.lines[0], "no more events"));
}

TEST_CASE("event files of whole searches: nothing without the option, the same search with it") {
  const ScratchFolder scratch;
  SearchOptions plain = small_search(scratch / "plain"), watched = plain, part = plain;
  watched.tensorboard = part.tensorboard = true;
  watched.out = scratch / "watched";
  part.out = scratch / "part";
  search(plain);
  search(watched);
  CHECK_FALSE(fs::exists(plain.out / "tensorboard"));
  CHECK(comparable_log(plain.out) == comparable_log(watched.out));
  const Events whole = read_events(watched.out / "tensorboard");
  CHECK(whole.files == 1);
  CHECK(steps_of(whole, "loss/val") == Steps{3, 6, 9});
  CHECK(steps_of(whole, "loss/step") == Steps{1, 2, 4, 5, 7, 8});
  CHECK(search(part, Interrupter(4, "evaluation")).interrupted_by_signal == SIGINT);
  part.resume = true;
  search(part);
  const Events resumed = read_events(part.out / "tensorboard");
  CHECK(resumed.files == 2);
  for (const auto& scalar : whole.scalars) {
    const std::string& tag = scalar.first;
    CAPTURE(tag);
    if (tag.starts_with("speed/"))
      CHECK(steps_of(resumed, tag) == steps_of(whole, tag));
    else
      CHECK(resumed.scalars.at(tag) == scalar.second);
  }
}
