// SPDX-License-Identifier: MIT
#pragma once

#include "engine/parameters/parameters.h"
#include "engine/safetensors.h"

namespace drnas {

/// Puts a network's weights, momentum and running statistics into a checkpoint: "weights.NAME",
/// "velocity.NAME" (float32, convolutions [c_out, kernel, kernel, c_in]) and "statistics.NAME".
/// Of a store on the CPU the writer keeps no copy: nothing may change before it writes.
void save_parameters(SafetensorsWriter& writer, const ParameterStore& store);
/// Throws Error naming file and tensor where one of the store's is missing or has another shape, or
/// the file has weights of a larger network. Reads no values: the store may be a planned one.
void require_parameters(const SafetensorsFile& file, const ParameterStore& store);
/// The reverse of save_parameters(), with the same errors before anything changes.
void load_parameters(const SafetensorsFile& file, const ParameterStore& store);

/// Tables of float64 or int64 (alpha, Adam's moments and steps) under one name.
void save_table(SafetensorsWriter& writer, const std::string& name, const Tensor& table);
void load_table(const SafetensorsFile& file, const std::string& name, const Tensor& table);

}  // namespace drnas
