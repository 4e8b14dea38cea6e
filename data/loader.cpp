// SPDX-License-Identifier: MIT
#include "data/loader.h"

#include <omp.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

#include "kernels/augment.h"
#include "kernels/error.h"
#include "kernels/philox.h"

namespace drnas {
namespace {

/// Makes the batch of a position from nothing but the options, the images and the position.
class BatchMaker {
 public:
  BatchMaker(const ImageSet& images, std::vector<std::int32_t> indices, const Dataset& constants,
             const LoaderOptions& options)
      : images_(images), indices_(std::move(indices)), options_(options) {
    std::copy(constants.mean.begin(), constants.mean.end(), mean_);
    std::copy(constants.deviation.begin(), constants.deviation.end(), deviation_);
    check();
  }

  std::int64_t batches() const { return (count() + options_.batch_size - 1) / options_.batch_size; }

  void make(std::int64_t position, Batch& batch) const {
    if (position < 0 || position > std::numeric_limits<std::uint32_t>::max()) {
      throw Error("loader: batch " + std::to_string(position) + ", expected 0 to 2^32 - 1");
    }
    const std::vector<std::int32_t> chosen = choose(position);
    batch.count = static_cast<int>(chosen.size());
    batch.size = images_.size;
    const std::size_t side = static_cast<std::size_t>(images_.size);
    batch.images.resize(chosen.size() * side * side * 3);
    batch.labels.resize(chosen.size());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      batch.labels[i] = images_.labels[static_cast<std::size_t>(chosen[i])];
    }
    kernels::Augment p{};
    p.pixels = images_.pixels.data();
    p.indices = chosen.data();
    p.out = batch.images.data();
    p.batch = batch.count;
    p.size = images_.size;
    p.padding = options_.augment ? images_.size / 8 : 0;
    p.flip = options_.augment;
    p.cutout = options_.cutout;
    std::copy(mean_, mean_ + 3, p.mean);
    std::copy(deviation_, deviation_ + 3, p.deviation);
    p.seed = options_.seed;
    const auto step = static_cast<std::uint32_t>(position);
    p.step = &step;
    p.purpose = static_cast<std::uint32_t>(options_.replacement ? kernels::Purpose::validation
                                                                : kernels::Purpose::augment);
    kernels::augment<Device::cpu>(p, nullptr);
  }

 private:
  std::int64_t count() const { return static_cast<std::int64_t>(indices_.size()); }

  void check() const {
    if (options_.batch_size < 1) {
      throw Error("loader: batch size " + std::to_string(options_.batch_size) +
                  ", expected at least 1");
    }
    if (options_.prefetch < 0 || options_.cutout < 0) {
      throw Error("loader: prefetch " + std::to_string(options_.prefetch) + " and cutout " +
                  std::to_string(options_.cutout) + ", expected 0 or more");
    }
    if (indices_.empty()) throw Error("loader: no images, expected at least one");
    if (options_.replacement && options_.batch_size > count()) {
      throw Error("loader: batch size " + std::to_string(options_.batch_size) +
                  ", expected at most " + std::to_string(count()) +
                  ", the number of images to draw from");
    }
    for (std::int32_t index : indices_) {
      if (index < 0 || index >= images_.count) {
        throw Error("loader: image " + std::to_string(index) + ", expected 0 to " +
                    std::to_string(images_.count - 1));
      }
    }
  }

  /// Image numbers of one batch: a slice of the epoch's permutation, or the head of one that
  /// belongs to the batch alone.
  std::vector<std::int32_t> choose(std::int64_t position) const {
    const std::int64_t epoch = position / batches();
    const std::int64_t first =
        options_.replacement ? 0 : position % batches() * options_.batch_size;
    const std::int64_t last = std::min(first + options_.batch_size, count());
    const kernels::RandomStream stream(options_.seed, options_.replacement
                                                          ? kernels::Purpose::validation
                                                          : kernels::Purpose::shuffle);
    const auto key = static_cast<std::uint32_t>(options_.replacement ? position : epoch);
    const auto n = static_cast<std::uint32_t>(count());
    std::vector<std::int32_t> chosen;
    chosen.reserve(static_cast<std::size_t>(last - first));
    for (std::int64_t i = first; i < last; ++i) {
      auto from = static_cast<std::uint32_t>(i);
      if (options_.replacement || options_.shuffle) from = stream.permuted(from, n, key);
      chosen.push_back(indices_[from]);
    }
    return chosen;
  }

  const ImageSet& images_;
  std::vector<std::int32_t> indices_;
  LoaderOptions options_;
  float mean_[3], deviation_[3];
};

}  // namespace

/// The worker makes batches in order into `ready_`, at most `prefetch` of them. A seek starts a new
/// generation: batches of an older one are dropped. A failure is queued like a batch and stays at
/// the front until a seek.
struct Loader::Impl {
  struct Item {
    Batch batch;
    std::exception_ptr failure;
  };

  Impl(const ImageSet& images, std::vector<std::int32_t> indices, const Dataset& constants,
       const LoaderOptions& options)
      : maker(images, std::move(indices), constants, options),
        depth(static_cast<std::size_t>(options.prefetch)) {
    if (depth > 0) worker = std::thread([this] { work(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    if (worker.joinable()) worker.join();
  }

  void work() {
    omp_set_num_threads(
        1);  // this thread's own setting: augmentation stays on it, no second pool starts
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return stopping || (!failed && ready.size() < depth); });
      if (stopping) return;
      const std::int64_t made_position = next_made, made_generation = generation;
      ++next_made;
      Item item;
      if (!spare.empty()) {
        item.batch = std::move(spare.back());
        spare.pop_back();
      }
      lock.unlock();
      try {
        maker.make(made_position, item.batch);
      } catch (...) {
        item.failure = std::current_exception();
      }
      lock.lock();
      if (made_generation == generation) {
        failed = item.failure != nullptr;
        ready.push_back(std::move(item));
        changed.notify_all();
      } else {
        spare.push_back(std::move(item.batch));
      }
    }
  }

  const Batch& next() {
    if (depth == 0) {
      maker.make(position, current);
    } else {
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return !ready.empty(); });
      if (ready.front().failure) std::rethrow_exception(ready.front().failure);
      spare.push_back(std::move(current));
      current = std::move(ready.front().batch);
      ready.pop_front();
      lock.unlock();
      changed.notify_all();
    }
    ++position;
    return current;
  }

  void seek(std::int64_t to) {
    if (to < 0) throw Error("loader: position " + std::to_string(to) + ", expected 0 or more");
    {
      const std::lock_guard lock(mutex);
      position = next_made = to;
      ++generation;
      failed = false;
      for (Item& item : ready) spare.push_back(std::move(item.batch));
      ready.clear();
    }
    changed.notify_all();
  }

  const BatchMaker maker;
  const std::size_t depth;
  std::int64_t position = 0;  // of the next batch; touched by the caller's thread alone
  Batch current;

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::deque<Item> ready;
  std::vector<Batch> spare;  // buffers to use again
  std::int64_t next_made = 0, generation = 0;
  bool failed = false, stopping = false;

  std::thread worker;
};

Loader::Loader(const ImageSet& images, std::vector<std::int32_t> indices, const Dataset& constants,
               LoaderOptions options)
    : impl_(std::make_unique<Impl>(images, std::move(indices), constants, options)) {}
Loader::~Loader() = default;

std::int64_t Loader::batches() const { return impl_->maker.batches(); }
const Batch& Loader::next() { return impl_->next(); }
std::int64_t Loader::position() const { return impl_->position; }
void Loader::seek(std::int64_t position) { impl_->seek(position); }

}  // namespace drnas
