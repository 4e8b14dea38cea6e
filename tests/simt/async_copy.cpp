// SPDX-License-Identifier: MIT
// kernels/core/async_copy.h on the executor: a copy arrives only when its thread waits for it.
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "executor.h"
#include "warp.h"

namespace simt {
namespace {

constexpr unsigned char poison_value = 0xff;

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  bool present;
  const void* site;
};
struct ThreadCopies {
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};
std::vector<ThreadCopies> all;  // by thread of the block

ThreadCopies& own() {
  return all[threadIdx.x + blockDim.x * (threadIdx.y + std::size_t{blockDim.y} * threadIdx.z)];
}

void arrive(const Copy& copy) {
  check::arrived(copy.to, copy.bytes, copy.site);
  if (copy.present)
    std::memcpy(copy.to, copy.from, copy.bytes);
  else
    std::memset(copy.to, 0, copy.bytes);
}

}  // namespace

void begin_copies(int threads) { all.resize(static_cast<std::size_t>(threads)); }

void end_copies() {
  std::size_t lost = 0;
  for (ThreadCopies& thread : all) {
    lost += thread.open.size();
    for (const auto& group : thread.groups) lost += group.size();
    thread = {};
  }
  if (lost > 0)
    report_fault("block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) +
                 ") ended with " + std::to_string(lost) + " copies that no thread waited for");
}

void copy_async(void* to, const void* from, std::size_t bytes, bool present) {
  const void* const site = __builtin_return_address(0);
  if (present) check::packed(from, bytes, false, site);
  check::packed(to, bytes, true, site);
  check::poisoned(to, bytes);
  std::memset(to, poison_value, bytes);
  own().open.push_back({to, from, bytes, present, site});
}

void commit_copies() { own().groups.push_back(std::exchange(own().open, {})); }

void wait_for_copies(int pending) {
  auto& groups = own().groups;
  const std::size_t keep = static_cast<std::size_t>(pending);
  while (groups.size() > keep) {
    for (const Copy& copy : groups.front()) arrive(copy);
    groups.erase(groups.begin());
  }
}

}  // namespace simt
