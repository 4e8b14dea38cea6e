// SPDX-License-Identifier: MIT
// One fault a name, so that a test can see each tool find what it is for; `none` has none, but all
// the ways in which drnas lets threads wait for each other.
//   planted NAME
#include <omp.h>

#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/core/parallel.h"

namespace {

constexpr int count = 1000, rounds = 100;
volatile int sink = 0;

/// Regions, reductions, critical sections and a barrier, then a worker that waits for its turn.
void none() {
  std::vector<int> values(count);
  int sum = 0;
  for (int round = 0; round < rounds; ++round) {
    drnas::kernels::parallel_ranges(count, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++values[static_cast<std::size_t>(i)];
#pragma omp barrier
      const int other = values[static_cast<std::size_t>(count - 1 - begin)];
#pragma omp critical
      sum += other;
    });
#pragma omp parallel for reduction(+ : sum)
    for (int i = 0; i < count; ++i) sum += values[static_cast<std::size_t>(i)];
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool ready = false;
  std::thread worker([&] {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return ready; });
    ++values[0];
  });
  ++values[0];
  {
    const std::lock_guard lock(mutex);
    ready = true;
  }
  changed.notify_all();
  worker.join();
}

/// Ranges that overlap by one element.
void race() {
  std::vector<int> values(count + 1);
  for (int round = 0; round < rounds; ++round)
    drnas::kernels::parallel_ranges(count, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i <= end; ++i) ++values[static_cast<std::size_t>(i)];
    });
  sink = values[0];
}

void leak() {
  auto* lost = new int[count];
  lost[0] = sink;
  sink = lost[0];
}

void overflow() {
  const std::unique_ptr<int[]> values(new int[count]());
  sink = count;
  sink = values[static_cast<std::size_t>(sink)];
}

void undefined() {
  sink = std::numeric_limits<int>::max();
  sink = sink + 1;
}

void cast() {
  volatile double large = 1e30;
  sink = static_cast<int>(large);
}

void without_value() {
  const std::unique_ptr<int[]> values(new int[count]);
  sink = 7;
  if (values[static_cast<std::size_t>(sink)] == 1) std::puts("one");
}

}  // namespace

int main(int count_of_arguments, char** arguments) {
  const std::map<std::string, std::function<void()>> faults = {{"none", none},
                                                               {"race", race},
                                                               {"leak", leak},
                                                               {"overflow", overflow},
                                                               {"undefined", undefined},
                                                               {"cast", cast},
                                                               {"without_value", without_value}};
  const auto fault = faults.find(count_of_arguments == 2 ? arguments[1] : "");
  if (fault == faults.end()) {
    std::fputs("usage: planted none|race|leak|overflow|undefined|cast|without_value\n", stderr);
    return 2;
  }
  fault->second();
  std::puts("done");
  return 0;
}
