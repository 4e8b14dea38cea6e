// SPDX-License-Identifier: MIT
#include "engine/checkpoint.h"

#include <algorithm>

namespace drnas {
namespace {

std::vector<std::int64_t> extents(const Shape& s) { return {s.n, s.h, s.w, s.c}; }

void save_slices(SafetensorsWriter& writer, const std::string& prefix,
                 const std::vector<NamedSlice>& slices, const Tensor& buffer) {
  for (const NamedSlice& slice : slices)
    writer.add<float>(
        prefix + slice.name, extents(slice.shape),
        {buffer.data() + slice.offset, static_cast<std::size_t>(slice.shape.elements())});
}

template <class T>
std::vector<T> values_of_shape(const SafetensorsFile& file, const std::string& name,
                               const Shape& shape) {
  if (file.at(name).shape != extents(shape))
    throw Error(file.path().string() + ": tensor " + name + " has not the expected shape " +
                to_string(shape));
  return file.values<T>(name);
}

void load_slices(const SafetensorsFile& file, const std::string& prefix,
                 const std::vector<NamedSlice>& slices, const Tensor& buffer) {
  for (const NamedSlice& slice : slices) {
    const auto values = values_of_shape<float>(file, prefix + slice.name, slice.shape);
    std::copy(values.begin(), values.end(), buffer.data() + slice.offset);
  }
}

}  // namespace

void save_parameters(SafetensorsWriter& writer, const ParameterStore& store) {
  save_slices(writer, "weights.", store.parameters(), store.weights());
  save_slices(writer, "velocity.", store.parameters(), store.velocity());
  save_slices(writer, "statistics.", store.statistics(), store.statistics_buffer());
}

void load_parameters(const SafetensorsFile& file, const ParameterStore& store) {
  load_slices(file, "weights.", store.parameters(), store.weights());
  load_slices(file, "velocity.", store.parameters(), store.velocity());
  load_slices(file, "statistics.", store.statistics(), store.statistics_buffer());
}

void save_table(SafetensorsWriter& writer, const std::string& name, const Tensor& table) {
  writer.add<double>(name, extents(table.shape()),
                     {table.data<double>(), static_cast<std::size_t>(table.elements())});
}

void load_table(const SafetensorsFile& file, const std::string& name, const Tensor& table) {
  const auto values = values_of_shape<double>(file, name, table.shape());
  std::copy(values.begin(), values.end(), table.data<double>());
}

}  // namespace drnas
