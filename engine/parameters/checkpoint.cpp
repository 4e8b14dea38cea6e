// SPDX-License-Identifier: MIT
#include "engine/parameters/checkpoint.h"

#include <algorithm>
#include <set>

#include "engine/stream.h"

namespace drnas {
namespace {

constexpr const char *weights_prefix = "weights.", *velocity_prefix = "velocity.",
                     *statistics_prefix = "statistics.";

std::vector<std::int64_t> extents(const Shape& s) { return {s.n, s.h, s.w, s.c}; }

/// On the CPU without a copy.
void save_slices(SafetensorsWriter& writer, const std::string& prefix,
                 const std::vector<NamedSlice>& slices, const Tensor& buffer) {
  const bool here = buffer.device() == Device::cpu;
  const std::vector<float> downloaded = here ? std::vector<float>() : download<float>(buffer);
  const float* const values = here ? buffer.data<float>() : downloaded.data();
  for (const NamedSlice& slice : slices) {
    const std::span<const float> part(values + slice.offset,
                                      static_cast<std::size_t>(slice.shape.elements()));
    if (here)
      writer.add_view(prefix + slice.name, extents(slice.shape), part);
    else
      writer.add(prefix + slice.name, extents(slice.shape), part);
  }
}

void require_shape(const SafetensorsFile& file, const std::string& name, const Shape& shape) {
  if (file.at(name).shape != extents(shape))
    throw Error(file.path().string() + ": tensor " + name + " has not the expected shape " +
                to_string(shape));
}

/// All slices, and no others under the prefix.
void require_slices(const SafetensorsFile& file, const std::string& prefix,
                    const std::vector<NamedSlice>& slices) {
  std::set<std::string> names;
  for (const NamedSlice& slice : slices) {
    require_shape(file, prefix + slice.name, slice.shape);
    names.insert(prefix + slice.name);
  }
  for (const auto& [name, entry] : file.entries())
    if (name.starts_with(prefix) && !names.contains(name))
      throw Error(file.path().string() + ": tensor " + name +
                  " is none of the network's, expected the weights of this network");
}

template <class T>
std::vector<T> values_of_shape(const SafetensorsFile& file, const std::string& name,
                               const Shape& shape) {
  require_shape(file, name, shape);
  return file.values<T>(name);
}

/// The buffer's values with those of the file.
std::vector<float> load_slices(const SafetensorsFile& file, const std::string& prefix,
                               const std::vector<NamedSlice>& slices, const Tensor& buffer) {
  std::vector<float> values = download<float>(buffer);  // what no slice covers stays
  for (const NamedSlice& slice : slices) {
    const auto slice_values = file.values<float>(prefix + slice.name);
    std::copy(slice_values.begin(), slice_values.end(), values.begin() + slice.offset);
  }
  return values;
}

}  // namespace

void save_parameters(SafetensorsWriter& writer, const ParameterStore& store) {
  save_slices(writer, weights_prefix, store.parameters(), store.weights());
  save_slices(writer, velocity_prefix, store.parameters(), store.velocity());
  save_slices(writer, statistics_prefix, store.statistics(), store.statistics_buffer());
}

void require_parameters(const SafetensorsFile& file, const ParameterStore& store) {
  require_slices(file, weights_prefix, store.parameters());
  require_slices(file, velocity_prefix, store.parameters());
  require_slices(file, statistics_prefix, store.statistics());
}

void load_parameters(const SafetensorsFile& file, const ParameterStore& store) {
  require_parameters(file, store);
  store.set_weights(load_slices(file, weights_prefix, store.parameters(), store.weights()));
  upload<float>(load_slices(file, velocity_prefix, store.parameters(), store.velocity()),
                store.velocity());
  upload<float>(load_slices(file, statistics_prefix, store.statistics(), store.statistics_buffer()),
                store.statistics_buffer());
}

void save_table(SafetensorsWriter& writer, const std::string& name, const Tensor& table) {
  if (table.dtype() == DType::i64)
    writer.add<std::int64_t>(name, extents(table.shape()), download<std::int64_t>(table));
  else
    writer.add<double>(name, extents(table.shape()), download<double>(table));
}

void load_table(const SafetensorsFile& file, const std::string& name, const Tensor& table) {
  if (table.dtype() == DType::i64)
    upload<std::int64_t>(values_of_shape<std::int64_t>(file, name, table.shape()), table);
  else
    upload<double>(values_of_shape<double>(file, name, table.shape()), table);
}

}  // namespace drnas
