// SPDX-License-Identifier: MIT
#include "engine/captured_step.h"

#include "engine/memory/allocator.h"
#include "engine/stream.h"

#ifdef DRNAS_WITH_CUDA
#include "kernels/core/launch.h"
#endif

namespace drnas {
namespace {

/// Temporary memory of captured steps, for the length of a scope; without checks, which wait for
/// the device.
class CapturedMemory {
 public:
  explicit CapturedMemory(Device device)
      : allocator_(Allocator::of(device)),
        before_(allocator_.set_captured(true)),
        checks_(allocator_.set_checks(false)) {}
  ~CapturedMemory() {
    allocator_.set_captured(before_);
    allocator_.set_checks(checks_);
  }
  CapturedMemory(const CapturedMemory&) = delete;
  CapturedMemory& operator=(const CapturedMemory&) = delete;

 private:
  Allocator& allocator_;
  bool before_, checks_;
};

}  // namespace

/// While it lives, memory of captured steps is theirs.
struct CapturedStep::MemoryUse {
  explicit MemoryUse(Device device) : allocator(Allocator::of(device)) {
    allocator.count_captured(1);
  }
  ~MemoryUse() { allocator.count_captured(-1); }
  MemoryUse(const MemoryUse&) = delete;
  MemoryUse& operator=(const MemoryUse&) = delete;

  Allocator& allocator;
};

#ifdef DRNAS_WITH_CUDA
using kernels::require_cuda;

static bool may_record() { return !kernels::waits_after_calls(); }

struct CapturedStep::Graph {
  cudaGraphExec_t exec = nullptr;
  std::size_t nodes = 0;

  ~Graph() {
    if (exec) cudaGraphExecDestroy(exec);
  }
  void record(const std::function<void()>& work) {
    const auto stream = static_cast<cudaStream_t>(compute_stream(Device::cuda));
    cudaGraph_t graph = nullptr;
    require_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal),
                 "start recording a step");
    try {
      work();
    } catch (...) {
      if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
      throw;
    }
    require_cuda(cudaStreamEndCapture(stream, &graph), "record a step");
    require_cuda(cudaGraphGetNodes(graph, nullptr, &nodes), "count a step's launches");
    require_cuda(cudaGraphInstantiate(&exec, graph, 0), "prepare a recorded step");
    require_cuda(cudaGraphDestroy(graph), "prepare a recorded step");
  }
  void launch() const {
    require_cuda(cudaGraphLaunch(exec, static_cast<cudaStream_t>(compute_stream(Device::cuda))),
                 "launch a recorded step");
  }
};
#else
static bool may_record() { return false; }

struct CapturedStep::Graph {
  std::size_t nodes = 0;

  void record(const std::function<void()>&) {}
  void launch() const {}
};
#endif

CapturedStep::CapturedStep(Device device, bool capture)
    : device_(device), capture_(capture && device == Device::cuda && may_record()) {}
CapturedStep::~CapturedStep() = default;
CapturedStep::CapturedStep(CapturedStep&&) noexcept = default;
CapturedStep& CapturedStep::operator=(CapturedStep&&) noexcept = default;

void CapturedStep::run(const std::function<void()>& work) {
  if (!capture_) return work();
  const CapturedMemory memory(device_);
  if (planning()) return work();
  if (!memory_) memory_ = std::make_unique<MemoryUse>(device_);
  if (!warm_) {
    work();
    warm_ = true;
    return;
  }
  if (!graph_) {
    auto graph = std::make_unique<Graph>();
    graph->record(work);
    graph_ = std::move(graph);
  }
  graph_->launch();
}

std::size_t CapturedStep::nodes() const { return graph_ ? graph_->nodes : 0; }

}  // namespace drnas
