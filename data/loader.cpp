// SPDX-License-Identifier: MIT
#include "data/loader.h"

#include <omp.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "data/batch_maker.h"

namespace drnas {

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
