// SPDX-License-Identifier: MIT
#include "meter.h"

#include <algorithm>
#include <array>

#include "../address_range.h"
#include "reserve.h"
#include "symbols.h"

namespace simt::check {
namespace {

constexpr std::uintptr_t bank_bytes = 4;
constexpr std::size_t banks = 32;

std::uintptr_t number(const std::byte* address) {
  return reinterpret_cast<std::uintptr_t>(address);
}

/// The units of `size` bytes that the entries touch, each once.
template <class Entries>
std::size_t units(const Entries& entries, std::uintptr_t size,
                  std::vector<const std::byte*>& found) {
  found.clear();
  for (const auto& e : entries)
    for (std::uintptr_t at = number(e.address) / size * size; at < number(e.address) + e.bytes;
         at += size)
      found.push_back(reinterpret_cast<const std::byte*>(at));
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found.size();
}

/// Different bytes that the entries touch.
template <class Entries>
std::int64_t bytes_of(Entries entries) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.address < b.address; });
  std::int64_t bytes = 0;
  std::uintptr_t end = 0;
  for (const auto& e : entries) {
    const std::uintptr_t from = std::max(end, number(e.address)), to = number(e.address) + e.bytes;
    if (to <= from) continue;
    bytes += static_cast<std::int64_t>(to - from);
    end = to;
  }
  return bytes;
}

std::int64_t blocks_of(std::int64_t bytes, std::int64_t size) { return (bytes + size - 1) / size; }

}  // namespace

void Traffic::add(const Traffic& other) {
  requests += other.requests;
  moved += other.moved;
  least += other.least;
  bytes += other.bytes;
  worst = std::max(worst, other.worst);
}

void KernelCount::add(const KernelCount& other) {
  launches += other.launches;
  blocks += other.blocks;
  working += other.working;
  threads += other.threads;
  bytes_read += other.bytes_read;
  bytes_written += other.bytes_written;
  multiply_adds += other.multiply_adds;
  read.add(other.read);
  write.add(other.write);
  shared_read.add(other.shared_read);
  shared_write.add(other.shared_write);
}

Meter::Meter() : sectors_(reserve<Sector>(AddressRange::bytes / sector_bytes)) {}

void Meter::start() {
  finish_work();
  on_ = true;
  counts_.clear();
  vendors_.clear();
}

KernelCounts Meter::stop() {
  finish_work();
  on_ = false;
  KernelCounts result = vendors_;
  for (const auto& [kernel, count] : counts_) result[Symbols::function(kernel)].add(count);
  return result;
}

void Meter::begin_launch(const Launch& launch) {
  if (!on_) return;
  ++launch_;
  current_ = &counts_[launch.kernel];
  ++current_->launches;
  current_->blocks += launch.blocks;
  current_->threads += launch.blocks * launch.threads;
  logs_.resize(launch.threads);
}

void Meter::vendor_call(const char* name, std::int64_t bytes_read, std::int64_t bytes_written,
                        std::int64_t multiply_adds) {
  if (!on_) return;
  KernelCount call;
  call.launches = 1;
  call.bytes_read = bytes_read;
  call.bytes_written = bytes_written;
  call.multiply_adds = multiply_adds;
  vendors_[name].add(call);
}

void Meter::end_launch() { current_ = nullptr; }

void Meter::begin_block(const void* shared) {
  shared_ = static_cast<const std::byte*>(shared);
  wrote_ = false;
}

void Meter::access(const Access& access, int thread, Space space) {
  if (!on_) return;
  if (access.write && !wrote_) {
    wrote_ = true;
    ++current_->working;
  }
  if (space == Space::device) note_bytes(access);
  logs_[static_cast<std::size_t>(thread)].push_back({access.address, Symbols::offset(access.site),
                                                     static_cast<std::uint16_t>(access.bytes),
                                                     access.write, space});
}

void Meter::note_bytes(const Access& access) {
  const auto offset = static_cast<std::size_t>(access.address - address_range().begin());
  for (std::size_t at = offset; at < offset + access.bytes; ++at) {
    Sector& sector = sectors_[at / sector_bytes];
    if (sector.launch != launch_) sector = {launch_, 0, 0};
    std::uint32_t& mask = access.write ? sector.written : sector.read;
    const std::uint32_t bit = 1u << at % sector_bytes;
    if (mask & bit) continue;
    mask |= bit;
    ++(access.write ? current_->bytes_written : current_->bytes_read);
  }
}

void Meter::end_requests() {
  if (!on_) return;
  for (std::size_t first = 0; first < logs_.size(); first += lanes)
    end_warp(first, std::min(first + lanes, logs_.size()));
  for (auto& log : logs_) log.clear();
}

/// Lanes that do the same belong together step by step; once they part, by the place in the code
/// and how often each has come there.
void Meter::end_warp(std::size_t first, std::size_t last) {
  std::size_t step = 0;
  for (bool together = true; together; ++step) {
    request_.clear();
    for (std::size_t lane = first; lane < last && together; ++lane) {
      together = logs_[lane].size() > step && logs_[lane][step].site == logs_[first][step].site;
      if (together) request_.push_back(logs_[lane][step]);
    }
    if (!together) break;
    count(request_);
  }
  std::map<std::pair<std::uint32_t, int>, Request> rest;
  for (std::size_t lane = first; lane < last; ++lane) {
    std::map<std::uint32_t, int> times;
    for (std::size_t i = step; i < logs_[lane].size(); ++i) {
      const Entry& entry = logs_[lane][i];
      rest[{entry.site, times[entry.site]++}].push_back(entry);
    }
  }
  for (const auto& [place, request] : rest) count(request);
}

void Meter::count(const Request& request) {
  const Entry& first = request.front();
  KernelCount& k = *current_;
  if (first.space == Space::device) return count_global(request, first.write ? k.write : k.read);
  count_shared(request, first.write ? k.shared_write : k.shared_read);
}

void Meter::count_global(const Request& request, Traffic& traffic) {
  const auto moved = static_cast<std::int64_t>(units(request, sector_bytes, touched_));
  const std::int64_t bytes = bytes_of(request), least = blocks_of(bytes, sector_bytes);
  traffic.add({1, moved, least, bytes, least == 1 ? moved : 0});
}

/// Accesses of 8 bytes are served for half of the lanes at once, those of 16 for a quarter.
void Meter::count_shared(const Request& request, Traffic& traffic) {
  const std::size_t at_once =
      lanes * bank_bytes / std::max<std::size_t>(request[0].bytes, bank_bytes);
  std::int64_t moved = 0, worst = 0;
  for (std::size_t begin = 0; begin < request.size(); begin += at_once) {
    const Request part(
        request.begin() + static_cast<std::ptrdiff_t>(begin),
        request.begin() + static_cast<std::ptrdiff_t>(std::min(begin + at_once, request.size())));
    units(part, bank_bytes, touched_);
    std::array<std::int64_t, banks> words{};
    for (const std::byte* word : touched_)
      ++words[static_cast<std::size_t>(word - shared_) / bank_bytes % banks];
    const std::int64_t ways = *std::max_element(words.begin(), words.end());
    moved += ways;
    worst = std::max(worst, ways);
  }
  const std::int64_t bytes = bytes_of(request);
  traffic.add({1, moved, blocks_of(bytes, banks * bank_bytes), bytes, worst});
}

Meter& meter() {
  static Meter& shared = *new Meter;  // static tensors give their memory back late
  return shared;
}

}  // namespace simt::check
