// SPDX-License-Identifier: MIT
// Runs the targets over their corpora and over a few changes of each file; needs no fuzzer.
// fuzz_corpora CORPUS [TARGET...]: exit code 1 where a reader did what it must not. Files whose
// names begin with "good" must be accepted, so that a corpus that has grown stale is noticed. The
// working directory gets the inputs of findings; where the process ends, fuzz-last-input is left.
#include <sys/resource.h>

#include <algorithm>
#include <iostream>

#include "tests/fuzz/fuzz.h"

namespace drnas::fuzz {

namespace {

constexpr int changes_of_a_file = 24;
constexpr long most_kibibytes = 2l << 20;  // that the process holds at any time
constexpr const char* last_input = "fuzz-last-input";

void write_input(const fs::path& file, Input input) {
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(input.data()),
            static_cast<std::streamsize>(input.size()));
}

class Runner {
 public:
  Runner(const Target& target, fs::path place) : target_(target), place_(std::move(place)) {}

  void run(const fs::path& file, Rng& rng) {
    const Bytes whole = read_bytes(file);
    const bool good = file.filename().string().starts_with("good");
    const std::string name = file.string();
    if (!read(whole, name) && good) fail(name, "is refused, expected to be read: make it anew");
    const Change change{rng, [&](Bytes& bytes) { change_at_random(bytes, rng); }};
    for (int i = 1; i <= changes_of_a_file; ++i) {
      Bytes changed = whole;
      for (unsigned times = 1 + rng() % 3; times > 0; --times) target_.change(changed, change);
      read(changed, name + ", change " + std::to_string(i));
    }
  }

  int inputs() const { return inputs_; }
  int findings() const { return findings_; }

 private:
  bool read(const Bytes& input, const std::string& name) {
    ++inputs_;
    write_input(place_ / last_input, input);
    bool accepted = false;
    try {
      accepted = target_.read(input);
    } catch (const std::exception& failure) {
      fail(name, failure.what());
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    if (usage.ru_maxrss > most_kibibytes) fail(name, "took more than 2 GiB");
    return accepted;
  }
  void fail(const std::string& name, const std::string& what) {
    const std::string kept =
        "fuzz-finding-" + std::string(target_.name) + "-" + std::to_string(++findings_);
    std::error_code ignored;
    fs::copy_file(place_ / last_input, place_ / kept, fs::copy_options::overwrite_existing,
                  ignored);
    std::cout << name << ": " << what << " (" << (place_ / kept).string() << ")\n";
  }

  const Target& target_;
  fs::path place_;
  int inputs_ = 0, findings_ = 0;
};

/// Findings of one target.
int run_target(const Target& target, const fs::path& corpus, const fs::path& place) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(corpus / target.name))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  Rng rng = test::generator(4242);
  Runner runner(target, place);
  for (const fs::path& file : files) runner.run(file, rng);
  std::cout << target.name << ": " << files.size() << " files, " << runner.inputs() << " inputs, "
            << runner.findings() << " findings" << std::endl;
  if (files.empty()) std::cout << (corpus / target.name).string() << ": expected files\n";
  return files.empty() ? 1 : runner.findings();
}

int run(const fs::path& corpus, const std::vector<std::string>& names) {
  const fs::path place = fs::current_path();  // some targets change it
  int findings = 0;
  std::sort(targets().begin(), targets().end(),
            [](const Target& a, const Target& b) { return std::string_view(a.name) < b.name; });
  for (const Target& target : targets())
    if (names.empty() || std::find(names.begin(), names.end(), target.name) != names.end())
      findings += run_target(target, corpus, place);
  fs::remove(place / last_input);
  return findings == 0 ? 0 : 1;
}

}  // namespace
}  // namespace drnas::fuzz

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: fuzz_corpora CORPUS [TARGET...]\n";
    return 2;
  }
  try {
    return drnas::fuzz::run(std::filesystem::absolute(argv[1]), {argv + 2, argv + argc});
  } catch (const std::exception& failure) {
    std::cerr << "error: " << failure.what() << '\n';
    return 2;
  }
}
