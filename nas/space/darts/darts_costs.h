// SPDX-License-Identifier: MIT
#pragma once

#include "nas/space/operation_cost.h"
#include "nas/space/supernet.h"

namespace drnas {

/// See SearchSpace::edge_shapes().
std::vector<std::vector<EdgeShape>> darts_edge_shapes(const SupernetOptions& options,
                                                      int image_size);
/// `op`: a name of darts_search_ops().
OperationCost darts_operation_cost(const std::string& op, const OperationShape& shape);
/// Null for `none`, which does nothing.
std::unique_ptr<SingleOperation> make_darts_operation(const std::string& op,
                                                      const OperationShape& shape, Device device);

}  // namespace drnas
