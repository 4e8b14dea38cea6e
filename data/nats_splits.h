// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "data/dataset.h"
#include "data/loader.h"

namespace drnas {

/// Does NAS-Bench-201 have a split of this data set?
bool has_nats_split(std::string_view dataset);
/// The images of weights and alpha as in NAS-Bench-201's own baselines: lists of the CIFAR-10
/// training set; for CIFAR-100 and ImageNet-16-120 all training images and a half of the test set,
/// which is appended to dataset.train. Throws Error for another data set or another number of
/// images.
SearchSplit split_as_nats(Dataset& dataset);

}  // namespace drnas
