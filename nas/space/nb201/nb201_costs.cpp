// SPDX-License-Identifier: MIT
#include "nas/space/nb201/nb201_costs.h"

#include "nas/space/network_builder.h"

namespace drnas {
namespace {

constexpr int none_op = 0, conv_1x1_op = 2, conv_3x3_op = 3, pool_op = 4;
constexpr int sections = 3;

int kernel_of(int op) { return op == conv_1x1_op ? 1 : op == conv_3x3_op ? 3 : 0; }

class Nb201Operation final : public SingleOperation {
 public:
  Nb201Operation(int op, const OperationShape& shape, Device device)
      : op_(op), shape_(shape), parameters_(device), builder_(parameters_) {
    build();
    builder_.allocate(0);
    build();
  }

  Tensor input(int images) const override {
    return Tensor({images, shape_.pixels, shape_.pixels, shape_.channels}, MemoryTag::activations,
                  parameters_.device());
  }

  void run(Tape& tape, const Variable& x) const override {
    Variable y = x;
    if (op_ == pool_op) y = average_pool(tape, "pool", x, 3, 1, 1);
    if (const int k = kernel_of(op_); k != 0) {
      y = conv2d(tape, "conv", x, weight_, {.padding = k / 2, .relu_input = true});
      y = run_norm(tape, "norm", norm_, y, false);
    }
    add(tape, "sum", x, y);
  }

 private:
  void build() {
    const int k = kernel_of(op_), c = shape_.channels;
    if (k == 0) return;
    weight_ = builder_.weight("weight", {c, k, k, c}, Initial::uniform(std::int64_t{k} * k * c));
    norm_ = build_norm(builder_, "norm", c);
  }

  int op_;
  OperationShape shape_;
  ParameterStore parameters_;
  NetworkBuilder builder_;
  Variable weight_;
  NormParameters norm_;
};

}  // namespace

std::vector<EdgeShape> nb201_edge_shapes(const SupernetOptions& o, int image_size) {
  std::vector<EdgeShape> shapes;
  for (int section = 0; section < sections; ++section)
    shapes.push_back({{o.channels << section, image_size >> section, 1}, o.cells});
  return shapes;
}

OperationCost nb201_operation_cost(int op, const OperationShape& shape) {
  const std::int64_t k = kernel_of(op), c = shape.channels, weights = k * k * c * c;
  if (k == 0) return {};
  return {weights * shape.pixels * shape.pixels, weights + 2 * c};
}

std::unique_ptr<SingleOperation> make_nb201_operation(int op, const OperationShape& shape,
                                                      Device device) {
  if (op == none_op) return nullptr;
  return std::make_unique<Nb201Operation>(op, shape, device);
}

}  // namespace drnas
