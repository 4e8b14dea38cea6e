// SPDX-License-Identifier: MIT
// Convolutions through cuDNN's convolution calls on NHWC tensors and KRSC weights. Its heuristics
// choose, without timing anything, among its deterministic algorithms. For these layouts it
// documents forward IMPLICIT_PRECOMP_GEMM, backward data ALGO_1 and backward filter ALGO_1.
#include "kernels/layers/conv2d.h"

#include <cudnn.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/core/launch.h"

namespace drnas::kernels {
namespace {

constexpr std::size_t workspace_limit = std::size_t{256} << 20;

/// Element type and arithmetic.
enum class Numbers { fp32, tf32, bf16 };

/// What a plan is for.
struct Request {
  Conv2d shape;
  ConvPass pass;
  Numbers numbers;
  auto operator<=>(const Request&) const = default;
};

std::string describe(const Request& r) {
  static constexpr const char* passes[] = {"forward", "backward_data", "backward_weight"};
  static constexpr const char* numbers[] = {"fp32", "tf32", "bf16"};
  const Conv2d& s = r.shape;
  const auto text = [](int value) { return std::to_string(value); };
  return std::string("conv2d ") + passes[static_cast<int>(r.pass)] + ", " +
         numbers[static_cast<int>(r.numbers)] + ", x [" + text(s.n) + ", " + text(s.h) + ", " +
         text(s.w) + ", " + text(s.c_in) + "], weights [" + text(s.c_out) + ", " + text(s.kernel) +
         ", " + text(s.kernel) + ", " + text(s.c_in) + "], stride " + text(s.stride) +
         ", padding " + text(s.padding);
}

void require(cudnnStatus_t status, const char* call, const Request& request) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error(describe(request) + ": " + call + ": " + cudnnGetErrorString(status));
}

template <class T, cudnnStatus_t (*create)(T*), cudnnStatus_t (*destroy)(T)>
class Descriptor {
 public:
  Descriptor() {
    if (const cudnnStatus_t status = create(&value_); status != CUDNN_STATUS_SUCCESS)
      throw Error(std::string("conv2d: cuDNN descriptor: ") + cudnnGetErrorString(status));
  }
  ~Descriptor() { destroy(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator T() const { return value_; }

 private:
  T value_ = nullptr;
};
using TensorDescriptor =
    Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor =
    Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor,
               cudnnDestroyConvolutionDescriptor>;

struct Algorithm {
  int index;  ///< of the pass's own enumeration
  cudnnMathType_t math;
  std::size_t workspace;
};

struct Plan {
  TensorDescriptor x, y;
  FilterDescriptor w;
  ConvolutionDescriptor convolution;
  std::vector<Algorithm> algorithms;  ///< best first, none needs more workspace than the first
  std::size_t workspace = 0;
};

void set_descriptors(const Plan& plan, const Request& r) {
  const Conv2d& s = r.shape;
  const cudnnDataType_t type = r.numbers == Numbers::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const cudnnMathType_t math = r.numbers == Numbers::fp32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
  require(cudnnSetTensor4dDescriptor(plan.x, CUDNN_TENSOR_NHWC, type, s.n, s.c_in, s.h, s.w),
          "cudnnSetTensor4dDescriptor of x", r);
  require(cudnnSetTensor4dDescriptor(plan.y, CUDNN_TENSOR_NHWC, type, s.n, s.c_out, s.out_h(),
                                     s.out_w()),
          "cudnnSetTensor4dDescriptor of y", r);
  require(cudnnSetFilter4dDescriptor(plan.w, type, CUDNN_TENSOR_NHWC, s.c_out, s.c_in, s.kernel,
                                     s.kernel),
          "cudnnSetFilter4dDescriptor", r);
  require(
      cudnnSetConvolution2dDescriptor(plan.convolution, s.padding, s.padding, s.stride, s.stride, 1,
                                      1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
      "cudnnSetConvolution2dDescriptor", r);
  require(cudnnSetConvolutionMathType(plan.convolution, math), "cudnnSetConvolutionMathType", r);
}

/// No mode may round its operands to float16, and fp32 must stay off tensor cores: there an entry
/// of the default kind is run as multiply-add.
bool allowed(Numbers numbers, cudnnMathType_t math) {
  return numbers == Numbers::fp32 ? math == CUDNN_FMA_MATH || math == CUDNN_DEFAULT_MATH
                                  : math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
}
cudnnMathType_t math_of(Numbers numbers, cudnnMathType_t found) {
  return numbers == Numbers::fp32 ? CUDNN_FMA_MATH : found;
}

/// Appends what may be used of a list of the heuristics. `workspace_bytes(algorithm, &bytes)` asks
/// for an algorithm's workspace under the math type that is set.
template <class Found, class WorkspaceBytes>
void keep_usable(Plan& plan, const Request& request, const std::vector<Found>& list,
                 const WorkspaceBytes& workspace_bytes) {
  for (const Found& found : list) {
    if (found.status != CUDNN_STATUS_SUCCESS || found.determinism != CUDNN_DETERMINISTIC ||
        !allowed(request.numbers, found.mathType))
      continue;
    const cudnnMathType_t math = math_of(request.numbers, found.mathType);
    require(cudnnSetConvolutionMathType(plan.convolution, math), "cudnnSetConvolutionMathType",
            request);
    std::size_t bytes = 0;
    if (workspace_bytes(found.algo, &bytes) != CUDNN_STATUS_SUCCESS) continue;
    if (bytes > (plan.algorithms.empty() ? workspace_limit : plan.workspace)) continue;
    if (plan.algorithms.empty()) plan.workspace = bytes;
    plan.algorithms.push_back({static_cast<int>(found.algo), math, bytes});
  }
}

void find_forward(cudnnHandle_t handle, Plan& plan, const Request& request) {
  int count = 0;
  require(cudnnGetConvolutionForwardAlgorithmMaxCount(handle, &count),
          "cudnnGetConvolutionForwardAlgorithmMaxCount", request);
  std::vector<cudnnConvolutionFwdAlgoPerf_t> list(count);
  require(cudnnGetConvolutionForwardAlgorithm_v7(handle, plan.x, plan.w, plan.convolution, plan.y,
                                                 count, &count, list.data()),
          "cudnnGetConvolutionForwardAlgorithm_v7", request);
  list.resize(count);
  keep_usable(plan, request, list, [&](cudnnConvolutionFwdAlgo_t algorithm, std::size_t* bytes) {
    return cudnnGetConvolutionForwardWorkspaceSize(handle, plan.x, plan.w, plan.convolution, plan.y,
                                                   algorithm, bytes);
  });
}

void find_backward_data(cudnnHandle_t handle, Plan& plan, const Request& request) {
  int count = 0;
  require(cudnnGetConvolutionBackwardDataAlgorithmMaxCount(handle, &count),
          "cudnnGetConvolutionBackwardDataAlgorithmMaxCount", request);
  std::vector<cudnnConvolutionBwdDataAlgoPerf_t> list(count);
  require(cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, plan.w, plan.y, plan.convolution,
                                                      plan.x, count, &count, list.data()),
          "cudnnGetConvolutionBackwardDataAlgorithm_v7", request);
  list.resize(count);
  keep_usable(plan, request, list,
              [&](cudnnConvolutionBwdDataAlgo_t algorithm, std::size_t* bytes) {
                return cudnnGetConvolutionBackwardDataWorkspaceSize(
                    handle, plan.w, plan.y, plan.convolution, plan.x, algorithm, bytes);
              });
}

void find_backward_weight(cudnnHandle_t handle, Plan& plan, const Request& request) {
  int count = 0;
  require(cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(handle, &count),
          "cudnnGetConvolutionBackwardFilterAlgorithmMaxCount", request);
  std::vector<cudnnConvolutionBwdFilterAlgoPerf_t> list(count);
  require(cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, plan.x, plan.y, plan.convolution,
                                                        plan.w, count, &count, list.data()),
          "cudnnGetConvolutionBackwardFilterAlgorithm_v7", request);
  list.resize(count);
  keep_usable(plan, request, list,
              [&](cudnnConvolutionBwdFilterAlgo_t algorithm, std::size_t* bytes) {
                return cudnnGetConvolutionBackwardFilterWorkspaceSize(
                    handle, plan.x, plan.y, plan.convolution, plan.w, algorithm, bytes);
              });
}

/// The process's cuDNN handle and its plans, for one caller at a time. The first use of a shape
/// must not lie in a capture.
struct Library {
  std::mutex mutex;
  cudnnHandle_t handle = nullptr;
  std::map<Request, std::unique_ptr<Plan>> plans;

  Library() {
    if (const cudnnStatus_t status = cudnnCreate(&handle); status != CUDNN_STATUS_SUCCESS)
      throw Error(std::string("conv2d: cannot start cuDNN: ") + cudnnGetErrorString(status));
  }

  Plan& plan(const Request& request) {
    std::unique_ptr<Plan>& kept = plans[request];
    if (!kept) kept = make_plan(request);
    return *kept;
  }

 private:
  std::unique_ptr<Plan> make_plan(const Request& request) {
    auto plan = std::make_unique<Plan>();
    set_descriptors(*plan, request);
    switch (request.pass) {
      case ConvPass::forward:
        find_forward(handle, *plan, request);
        break;
      case ConvPass::backward_data:
        find_backward_data(handle, *plan, request);
        break;
      case ConvPass::backward_weight:
        find_backward_weight(handle, *plan, request);
        break;
    }
    if (plan->algorithms.empty())
      throw Error(describe(request) +
                  ": cuDNN has no deterministic algorithm for it that needs at most 256 MiB");
    return plan;
  }
};

/// Never destroyed: when the process ends, the CUDA runtime may be gone before static objects are.
Library& library() {
  static Library& shared = *new Library;
  return shared;
}

/// Starts one pass: forward (x, w) -> y; backward_data (w, dy) -> dx; backward_weight (x, dy) ->
/// dw.
cudnnStatus_t start(cudnnHandle_t handle, const Plan& plan, ConvPass pass, const Algorithm& with,
                    const void* a, const void* b, void* out, void* workspace) {
  const float one = 1.0f, zero = 0.0f;
  switch (pass) {
    case ConvPass::forward:
      return cudnnConvolutionForward(handle, &one, plan.x, a, plan.w, b, plan.convolution,
                                     static_cast<cudnnConvolutionFwdAlgo_t>(with.index), workspace,
                                     with.workspace, &zero, plan.y, out);
    case ConvPass::backward_data:
      return cudnnConvolutionBackwardData(handle, &one, plan.w, a, plan.y, b, plan.convolution,
                                          static_cast<cudnnConvolutionBwdDataAlgo_t>(with.index),
                                          workspace, with.workspace, &zero, plan.x, out);
    case ConvPass::backward_weight:
      return cudnnConvolutionBackwardFilter(
          handle, &one, plan.x, a, plan.y, b, plan.convolution,
          static_cast<cudnnConvolutionBwdFilterAlgo_t>(with.index), workspace, with.workspace,
          &zero, plan.w, out);
  }
  return CUDNN_STATUS_BAD_PARAM;
}

/// Refused before anything ran: bad parameters are 2000 and some, not supported 3000 and some.
bool refused(cudnnStatus_t status) {
  return status >= CUDNN_STATUS_BAD_PARAM && status < CUDNN_STATUS_NOT_SUPPORTED + 1000;
}

void run(const Request& request, const void* a, const void* b, void* out, void* workspace,
         Stream stream) {
  Library& cudnn = library();
  const std::lock_guard lock(cudnn.mutex);
  Plan& plan = cudnn.plan(request);
  require(cudnnSetStream(cudnn.handle, static_cast<cudaStream_t>(stream)), "cudnnSetStream",
          request);
  for (;;) {
    const Algorithm with = plan.algorithms.front();
    require(cudnnSetConvolutionMathType(plan.convolution, with.math), "cudnnSetConvolutionMathType",
            request);
    const cudnnStatus_t status =
        start(cudnn.handle, plan, request.pass, with, a, b, out, workspace);
    if (status == CUDNN_STATUS_SUCCESS) return;
    // The heuristics may list what the call then refuses; the next in the list stands in for good.
    if (!refused(status) || plan.algorithms.size() == 1)
      require(status, ("algorithm " + std::to_string(with.index)).c_str(), request);
    plan.algorithms.erase(plan.algorithms.begin());
  }
}

std::size_t workspace_bytes(const Request& request) {
  Library& cudnn = library();
  const std::lock_guard lock(cudnn.mutex);
  return cudnn.plan(request).workspace;
}

Numbers float_numbers() { return conv_math() == ConvMath::tf32 ? Numbers::tf32 : Numbers::fp32; }

}  // namespace

template <>
std::size_t conv2d_workspace<Device::cuda>(const Conv2d& p, ConvPass pass) {
  return workspace_bytes({p, pass, float_numbers()});
}

template <>
void conv2d_forward<Device::cuda>(const Conv2d& p, const float* x, const float* w, float* y,
                                  void* workspace, Stream stream) {
  run({p, ConvPass::forward, float_numbers()}, x, w, y, workspace, stream);
}

template <>
void conv2d_backward_data<Device::cuda>(const Conv2d& p, const float* dy, const float* w, float* dx,
                                        void* workspace, Stream stream) {
  run({p, ConvPass::backward_data, float_numbers()}, w, dy, dx, workspace, stream);
}

template <>
void conv2d_backward_weight<Device::cuda>(const Conv2d& p, const float* x, const float* dy,
                                          float* dw, void* workspace, Stream stream) {
  run({p, ConvPass::backward_weight, float_numbers()}, x, dy, dw, workspace, stream);
}

std::size_t conv2d_workspace_bfloat16(const Conv2d& p, ConvPass pass) {
  return workspace_bytes({p, pass, Numbers::bf16});
}

void conv2d_forward(const Conv2d& p, const bfloat16* x, const bfloat16* w, bfloat16* y,
                    void* workspace, Stream stream) {
  run({p, ConvPass::forward, Numbers::bf16}, x, w, y, workspace, stream);
}

void conv2d_backward_data(const Conv2d& p, const bfloat16* dy, const bfloat16* w, bfloat16* dx,
                          void* workspace, Stream stream) {
  run({p, ConvPass::backward_data, Numbers::bf16}, w, dy, dx, workspace, stream);
}

void conv2d_backward_weight(const Conv2d& p, const bfloat16* x, const bfloat16* dy, bfloat16* dw,
                            void* workspace, Stream stream) {
  run({p, ConvPass::backward_weight, Numbers::bf16}, x, dy, dw, workspace, stream);
}

}  // namespace drnas::kernels
