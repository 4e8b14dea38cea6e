// SPDX-License-Identifier: MIT
#pragma once

#include "nas/space/operation_cost.h"
#include "nas/space/supernet.h"

namespace drnas {

/// The shapes of the operations of any edge in a network of these sizes.
std::vector<EdgeShape> nb201_edge_shapes(const SupernetOptions& options, int image_size);
/// `op`: its place in Nb201Cell::op_name.
OperationCost nb201_operation_cost(int op, const OperationShape& shape);
/// Null for `none`, which does nothing.
std::unique_ptr<SingleOperation> make_nb201_operation(int op, const OperationShape& shape,
                                                      Device device);

}  // namespace drnas
