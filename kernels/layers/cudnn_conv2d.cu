// SPDX-License-Identifier: MIT
// Convolutions through cuDNN's convolution calls on NHWC tensors and KRSC weights. Its heuristics
// choose, without timing anything, among its deterministic algorithms. For these layouts it
// documents forward IMPLICIT_PRECOMP_GEMM, backward data ALGO_1 and backward filter ALGO_1.
#include <cudnn.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/core/launch.h"
#include "kernels/layers/vendor_conv2d.h"

namespace drnas::kernels {
namespace {

void require(cudnnStatus_t status, const char* call, const ConvRequest& request) {
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

struct Plan {
  TensorDescriptor x, y;
  FilterDescriptor w;
  ConvolutionDescriptor convolution;
  std::vector<ConvAlgorithm> algorithms;  ///< best first
  std::size_t workspace = 0;              ///< enough for all of them
};

void set_descriptors(const Plan& plan, const ConvRequest& r) {
  const Conv2d& s = r.shape;
  const cudnnDataType_t type =
      r.numbers == ConvNumbers::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const cudnnMathType_t math =
      r.numbers == ConvNumbers::fp32 ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
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
bool allowed(ConvNumbers numbers, cudnnMathType_t math) {
  return numbers == ConvNumbers::fp32 ? math == CUDNN_FMA_MATH || math == CUDNN_DEFAULT_MATH
                                      : math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
}
cudnnMathType_t math_of(ConvNumbers numbers, cudnnMathType_t found) {
  return numbers == ConvNumbers::fp32 ? CUDNN_FMA_MATH : found;
}

/// Appends what may be used of a list of the heuristics. `workspace_bytes(algorithm, &bytes)` asks
/// for an algorithm's workspace under the math type that is set.
template <class Found, class WorkspaceBytes>
void keep_usable(Plan& plan, const ConvRequest& request, const std::vector<Found>& list,
                 const WorkspaceBytes& workspace_bytes) {
  for (const Found& found : list) {
    if (found.status != CUDNN_STATUS_SUCCESS || found.determinism != CUDNN_DETERMINISTIC ||
        !allowed(request.numbers, found.mathType))
      continue;
    const cudnnMathType_t math = math_of(request.numbers, found.mathType);
    require(cudnnSetConvolutionMathType(plan.convolution, math), "cudnnSetConvolutionMathType",
            request);
    std::size_t bytes = 0;
    if (workspace_bytes(found.algo, &bytes) == CUDNN_STATUS_SUCCESS)
      plan.algorithms.push_back({static_cast<int>(found.algo), static_cast<int>(math), bytes});
  }
}

void find_forward(cudnnHandle_t handle, Plan& plan, const ConvRequest& request) {
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

void find_backward_data(cudnnHandle_t handle, Plan& plan, const ConvRequest& request) {
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

void find_backward_weight(cudnnHandle_t handle, Plan& plan, const ConvRequest& request) {
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
  std::map<ConvRequest, std::unique_ptr<Plan>> plans;

  Library() {
    if (const cudnnStatus_t status = cudnnCreate(&handle); status != CUDNN_STATUS_SUCCESS)
      throw Error(std::string("conv2d: cannot start cuDNN: ") + cudnnGetErrorString(status));
  }

  Plan& plan(const ConvRequest& request) {
    std::unique_ptr<Plan>& kept = plans[request];
    if (!kept) kept = make_plan(request);
    return *kept;
  }

 private:
  std::unique_ptr<Plan> make_plan(const ConvRequest& request) {
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
    plan->algorithms = choose_algorithms(plan->algorithms);
    if (plan->algorithms.empty())
      refuse(request, "cuDNN has no deterministic algorithm for it that needs at most 256 MiB");
    for (const ConvAlgorithm& algorithm : plan->algorithms)
      plan->workspace = std::max(plan->workspace, algorithm.workspace);
    return plan;
  }
};

/// Never destroyed: when the process ends, the CUDA runtime may be gone before static objects are.
Library& library() {
  static Library& shared = *new Library;
  return shared;
}

cudnnStatus_t start(cudnnHandle_t handle, const Plan& plan, ConvPass pass,
                    const ConvAlgorithm& with, const void* a, const void* b, void* out,
                    void* workspace) {
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

}  // namespace

bool vendor_convolutions_there() { return true; }

std::size_t vendor_conv2d_workspace(const ConvRequest& request) {
  Library& cudnn = library();
  const std::lock_guard lock(cudnn.mutex);
  return cudnn.plan(request).workspace;
}

void vendor_conv2d(const ConvRequest& request, const void* a, const void* b, void* out,
                   void* workspace, Stream stream) {
  Library& cudnn = library();
  const std::lock_guard lock(cudnn.mutex);
  Plan& plan = cudnn.plan(request);
  require(cudnnSetStream(cudnn.handle, static_cast<cudaStream_t>(stream)), "cudnnSetStream",
          request);
  for (;;) {
    const ConvAlgorithm with = plan.algorithms.front();
    require(cudnnSetConvolutionMathType(plan.convolution, static_cast<cudnnMathType_t>(with.math)),
            "cudnnSetConvolutionMathType", request);
    const cudnnStatus_t status =
        start(cudnn.handle, plan, request.pass, with, a, b, out, workspace);
    if (status == CUDNN_STATUS_SUCCESS) {
      if (waits_after_calls()) after_call(describe(request).c_str(), stream);
      return;
    }
    const std::string call = "algorithm " + std::to_string(with.index);
    if (!refused(status)) require(status, call.c_str(), request);
    // The heuristics may list what the call then refuses; the next in the list stands in for good.
    if (plan.algorithms.size() == 1)
      refuse(request, "cuDNN refuses its last " + call + ": " + cudnnGetErrorString(status));
    plan.algorithms.erase(plan.algorithms.begin());
  }
}

}  // namespace drnas::kernels
