// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_operation.h"

#include "nas/space/darts/darts_parts.h"

namespace drnas {
namespace {

using Kind = DartsOperation::Kind;

/// sep_conv_KxK and dil_conv_KxK.
SeparableOperation separable_of(const std::string& op, int stride) {
  const bool dilated = op.starts_with("dil_conv_");
  SeparableOperation separable;
  separable.kernel = op.at(op.size() - 1) - '0';
  separable.dilation = dilated ? 2 : 1;
  separable.stride = stride;
  separable.halves.resize(dilated ? 1 : 2);
  return separable;
}

void run_rectangular(Tape& tape, const DartsOperation& op, const Variable& x, const Summand& to,
                     bool training) {
  // All of the stride at the second: it reads those columns only that the first would make.
  Variable z = from_planes(tape, op.name + ".pixels", x);
  for (int k = 0; k < 2; ++k) {
    const std::string name = op.name + "." + std::to_string(k + 1);
    const Variable square = square_filter(tape, name + ".square", op.weights.at(k));
    z = conv2d(tape, name, z, square,
               {.stride = k ? op.stride : 1,
                .padding = static_cast<int>(square.value().shape().h / 2),
                .relu_input = k == 0});
  }
  add_normalised(tape, op.name, to_planes(tape, op.name + ".planes", z), op.norm, to, training);
}

}  // namespace

DartsOperation build_darts_operation(NetworkBuilder& builder, const std::string& name,
                                     const std::string& op_name, int c, int stride) {
  DartsOperation op{name, Kind::none, stride};
  if (op_name == "none") return op;
  if (op_name == "skip_connect" && stride == 1) {
    op.kind = Kind::identity;
    return op;
  }
  const auto weight = [&](const std::string& suffix, Shape shape, std::int64_t fan_in) {
    return builder.weight(name + suffix + ".weight", shape, Initial::uniform(fan_in));
  };
  if (op_name == "skip_connect") {
    op.kind = Kind::reduction;
    for (const char* half : {".conv_1", ".conv_2"})
      op.weights.push_back(weight(half, {c / 2, 1, 1, c}, c));
    op.norm = build_norm(builder, name + ".bn", c);
  } else if (op_name.ends_with("pool_3x3")) {
    op.kind = Kind::pool;
    op.max_pool = op_name.starts_with("max");
    op.norm = build_norm(builder, name + ".op.1", c, false);
  } else if (op_name.starts_with("conv_")) {
    op.kind = Kind::rectangular;
    const int k = op_name.back() - '0';
    op.weights = {weight(".1", {c, 1, k, c}, k * c), weight(".2", {c, k, 1, c}, k * c)};
    op.norm = build_norm(builder, name + ".3", c);
  } else {
    op.kind = Kind::separable;
    op.separable = separable_of(op_name, stride);
    const int k = op.separable.kernel;
    int at = 1;
    for (SeparableOperation::Half& half : op.separable.halves) {
      half.depthwise = weight(".op." + std::to_string(at), {c, k, k, 1}, k * k);
      half.pointwise = weight(".op." + std::to_string(at + 1), {c, 1, 1, c}, c);
      half.norm = build_norm(builder, name + ".op." + std::to_string(at + 2), c);
      at += 4;
    }
  }
  return op;
}

void run_darts_operation(Tape& tape, const DartsOperation& op, const Variable& x, const Summand& to,
                         bool training) {
  switch (op.kind) {
    case Kind::none:
      return;
    case Kind::identity:
      return add_identity(tape, op.name, x, to);
    case Kind::pool:
      return add_pooled(tape, op.name, x, {op.max_pool, op.stride, op.norm}, to, training);
    case Kind::separable:
      return add_separable(tape, op.name, x, op.separable, to, training);
    case Kind::reduction: {
      const Variable z = run_reduction(tape, op.name + ".convolutions", x, op.weights);
      return add_normalised(tape, op.name, z, op.norm, to, training);
    }
    case Kind::rectangular:
      return run_rectangular(tape, op, x, to, training);
  }
}

}  // namespace drnas
