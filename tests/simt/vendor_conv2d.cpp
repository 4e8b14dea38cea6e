// SPDX-License-Identifier: MIT
// Stands in for the convolutions of the vendor's library: the CPU twin, run where the stream is;
// for bfloat16 on widened arrays, its result rounded.
#include "vendor_conv2d.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/core/launch.h"

namespace simt {

VendorConvolutions& vendor_convolutions() {
  static VendorConvolutions all = [] {
    const char* wanted = std::getenv("DRNAS_SIMT_VENDOR");
    VendorConvolutions of_build;
    of_build.there = !wanted || std::string_view(wanted) != "off";
    return of_build;
  }();
  return all;
}

}  // namespace simt

namespace drnas::kernels {
namespace {

constexpr std::size_t alignment = 256;

std::int64_t x_count(const Conv2d& p) { return std::int64_t{p.n} * p.h * p.w * p.c_in; }
std::int64_t y_count(const Conv2d& p) {
  return std::int64_t{p.n} * p.out_h() * p.out_w() * p.c_out;
}

/// Elements of the two operands and the result.
struct Counts {
  std::int64_t a, b, out;

  explicit Counts(const ConvRequest& r)
      : a(x_count(r.shape)), b(r.shape.weight_count()), out(y_count(r.shape)) {
    if (r.pass != ConvPass::forward) std::swap(b, out);        // x, dy -> dw
    if (r.pass == ConvPass::backward_data) std::swap(a, out);  // w, dy -> dx
  }
};

const char* name_of(ConvPass pass) {
  if (pass == ConvPass::forward) return "cuDNN forward";
  return pass == ConvPass::backward_data ? "cuDNN data gradient" : "cuDNN weight gradient";
}

void run_twin(const ConvRequest& r, const float* a, const float* b, float* out) {
  const Conv2d& p = r.shape;
  std::vector<unsigned char> memory(conv2d_workspace<Device::cpu>(p, r.pass) + alignment);
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  void* scratch = memory.data() + (alignment - address % alignment) % alignment;
  if (r.pass == ConvPass::forward) conv2d_forward<Device::cpu>(p, a, b, out, scratch, nullptr);
  if (r.pass == ConvPass::backward_data)
    conv2d_backward_data<Device::cpu>(p, b, a, out, scratch, nullptr);
  if (r.pass == ConvPass::backward_weight)
    conv2d_backward_weight<Device::cpu>(p, a, b, out, scratch, nullptr);
}

void run_rounded(const ConvRequest& r, const void* a, const void* b, void* out) {
  const Counts counts(r);
  const auto widened = [](const void* from, std::int64_t count) {
    const auto* stored = static_cast<const bfloat16*>(from);
    return std::vector<float>(stored, stored + count);
  };
  std::vector<float> result(counts.out);
  run_twin(r, widened(a, counts.a).data(), widened(b, counts.b).data(), result.data());
  for (std::int64_t i = 0; i < counts.out; ++i)
    static_cast<bfloat16*>(out)[i] = bfloat16(result[i]);
}

}  // namespace

bool vendor_convolutions_there() { return simt::vendor_convolutions().there; }

std::size_t vendor_conv2d_workspace(const ConvRequest& r) {
  auto& library = simt::vendor_convolutions();
  library.asked.insert(r);
  if (!library.there) refuse(r, "the build is without the library");
  if (library.refuses && library.refuses(r)) refuse(r, "the stand-in has no algorithm for it");
  if (!library.wants_workspace) return 0;
  // Weights in another order and rows of x; every third image count asks for a little more.
  const Conv2d& p = r.shape;
  return sizeof(float) * static_cast<std::size_t>(p.weight_count() + std::int64_t{p.w} * p.c_in) +
         static_cast<std::size_t>(p.n % 3 + static_cast<int>(r.pass));
}

void vendor_conv2d(const ConvRequest& r, const void* a, const void* b, void* out, void* workspace,
                   Stream stream) {
  const std::size_t scratch = vendor_conv2d_workspace(r);
  const auto overwrite = [=] {
    if (scratch == 0) return;
    std::memset(workspace, 0xff, scratch);
    simt::check::poisoned(workspace, scratch);
  };
  const auto work = [=] {
    overwrite();  // an operand that lies there
    const std::size_t size = r.numbers == ConvNumbers::bf16 ? sizeof(bfloat16) : sizeof(float);
    const Counts counts(r);
    simt::check::written(out, static_cast<std::size_t>(counts.out) * size);
    const auto bytes = static_cast<std::int64_t>(size);
    const Conv2d& p = r.shape;
    simt::check::vendor_call(name_of(r.pass), (counts.a + counts.b) * bytes, counts.out * bytes,
                             y_count(p) * p.weight_count() / p.c_out);
    if (r.numbers == ConvNumbers::bf16)
      run_rounded(r, a, b, out);
    else
      run_twin(r, static_cast<const float*>(a), static_cast<const float*>(b),
               static_cast<float*>(out));
    overwrite();  // a result that lies there
  };
  const std::string name = describe(r);
  require_cuda(simt::enqueue(static_cast<cudaStream_t>(stream), work), name.c_str());
  after_call(name.c_str(), stream);
}

}  // namespace drnas::kernels
