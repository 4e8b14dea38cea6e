// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_costs.h"

#include <map>

#include "nas/space/darts/darts_genotype.h"
#include "nas/space/darts/darts_operation.h"
#include "nas/space/darts/darts_parts.h"

namespace drnas {
namespace {

class DartsSingleOperation final : public SingleOperation {
 public:
  DartsSingleOperation(std::string op, const OperationShape& shape, Device device)
      : op_(std::move(op)), shape_(shape), parameters_(device), builder_(parameters_) {
    build();
    builder_.allocate(0);
    build();
  }

  Tensor input(int images) const override { return planes(images, shape_.pixels); }

  void run(Tape& tape, const Variable& x) const override {
    const Tensor sum = planes(static_cast<int>(x.value().shape().n), shape_.pixels / shape_.stride);
    run_darts_operation(tape, operation_, x, {Variable(sum, "sum"), false, {}}, false);
  }

 private:
  void build() {
    operation_ = build_darts_operation(builder_, "op", op_, shape_.channels, shape_.stride);
  }
  Tensor planes(int images, int pixels) const {
    return Tensor({images, pixels, pixels, shape_.channels}, MemoryTag::activations,
                  parameters_.device(), DType::f32, Layout::planes);
  }

  std::string op_;
  OperationShape shape_;
  ParameterStore parameters_;
  NetworkBuilder builder_;
  DartsOperation operation_;
};

}  // namespace

std::vector<std::vector<EdgeShape>> darts_edge_shapes(const SupernetOptions& o, int image_size) {
  int pixels = o.imagenet_stem ? halved(halved(halved(image_size))) : image_size, c = o.channels;
  std::vector<std::map<OperationShape, int>> cells(2 * std::size_t{darts_edges});
  for (int i = 0; i < o.cells; ++i) {
    const bool reduction = i == o.cells / 3 || i == 2 * o.cells / 3;
    if (reduction) c *= 2;
    std::size_t row = reduction ? darts_edges : 0;
    for (int to = 2; to < 2 + darts_nodes; ++to)
      for (int from = 0; from < to; ++from) {
        const int stride = reduction && from < 2 ? 2 : 1;
        ++cells[row++][{c, reduction && stride == 1 ? pixels / 2 : pixels, stride}];
      }
    if (reduction) pixels /= 2;
  }
  std::vector<std::vector<EdgeShape>> shapes;
  for (const auto& edge : cells) {
    shapes.emplace_back();
    for (const auto& [shape, count] : edge) shapes.back().push_back({shape, count});
  }
  return shapes;
}

OperationCost darts_operation_cost(const std::string& op, const OperationShape& shape) {
  const std::int64_t c = shape.channels, k = op.back() - '0', norm = 2 * c;
  const std::int64_t out = shape.pixels / shape.stride, area = out * out;
  if (op == "skip_connect" && shape.stride == 2) return {c * c * area, c * c + norm};
  const std::int64_t halves = op.starts_with("sep_conv_") ? 2 : op.starts_with("dil_conv_") ? 1 : 0;
  const std::int64_t weights = halves * (k * k * c + c * c);
  return {weights * area, weights + halves * norm};
}

std::unique_ptr<SingleOperation> make_darts_operation(const std::string& op,
                                                      const OperationShape& shape, Device device) {
  if (op == "none") return nullptr;
  return std::make_unique<DartsSingleOperation>(op, shape, device);
}

}  // namespace drnas
