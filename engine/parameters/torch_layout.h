// SPDX-License-Identifier: MIT
#pragma once

#include "engine/parameters/parameters.h"
#include "engine/safetensors.h"

namespace drnas {

/// Puts a network's weights and running statistics into a file as PyTorch's state_dict() holds
/// them, under the published names: convolutions [c_out, c_in, h, w], linear layers [out, in], all
/// else [c]. Names follow PyTorch: BN has running_mean, linear layers have a bias, convolutions
/// none. (num_batches_tracked is left out.) The store must stay as it is until the file is written.
void export_weights(SafetensorsWriter& writer, const ParameterStore& store);
/// Throws Error naming file and tensor where one of the store's is missing or has another shape, or
/// the file has one that is none of them. Reads no values: the store may be a planned one.
void require_weights(const SafetensorsFile& file, const ParameterStore& store);
/// The reverse of export_weights(), with the same errors before anything changes.
void import_weights(const SafetensorsFile& file, const ParameterStore& store);

}  // namespace drnas
