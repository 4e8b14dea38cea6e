// SPDX-License-Identifier: MIT
// A data set of one's own: a reader and a row. docs/extending.md walks through it.
#pragma once

#include "data/dataset_info.h"

namespace drnas::toys {

/// Four classes of 8 x 8 images, each bright in one quarter, from a text file of labels:
/// FOLDER/labels.txt. add_dataset(quarters) makes it --dataset quarters.
extern const DatasetInfo quarters;

}  // namespace drnas::toys
