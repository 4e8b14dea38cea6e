// SPDX-License-Identifier: MIT
#pragma once

#include "engine/parameters/parameters.h"
#include "engine/safetensors.h"

namespace drnas {

/// Puts a network's weights, momentum and running statistics into a checkpoint: "weights.NAME",
/// "velocity.NAME" (float32, convolutions [c_out, kernel, kernel, c_in]) and "statistics.NAME".
void save_parameters(SafetensorsWriter& writer, const ParameterStore& store);
/// The reverse; throws Error naming file and tensor when one is missing or has another shape.
void load_parameters(const SafetensorsFile& file, const ParameterStore& store);

/// Tables of float64 or int64 (alpha, Adam's moments and steps) under one name.
void save_table(SafetensorsWriter& writer, const std::string& name, const Tensor& table);
void load_table(const SafetensorsFile& file, const std::string& name, const Tensor& table);

}  // namespace drnas
