// SPDX-License-Identifier: MIT
#pragma once

#include "nas/method/search_method.h"

namespace drnas {

/// The bilevel search of DARTS (Liu et al., ICLR 2019, algorithm 1, first order), as the published
/// DrNAS code orders it: alpha by its rule on a validation batch, then the weights by SGD on a
/// training batch. Every pass draws its own mixing weights. The architecture is read off by the
/// ranking of `options`; pruning keeps the largest alphas.
std::unique_ptr<SearchMethod> make_bilevel(std::unique_ptr<Law> law, const MethodOptions& options);

}  // namespace drnas
