// SPDX-License-Identifier: MIT
#include "engine/parameters/torch_layout.h"

#include <algorithm>
#include <memory>
#include <set>

#include "engine/stream.h"

namespace drnas {
namespace {

/// How a slice lies in PyTorch.
class TorchLayout {
 public:
  explicit TorchLayout(const ParameterStore& store) {
    for (const NamedSlice& s : store.parameters()) names_.insert(s.name);
    for (const NamedSlice& s : store.statistics()) names_.insert(s.name);
  }

  std::vector<std::int64_t> extents(const NamedSlice& s) const {
    if (is_convolution(s)) return {s.shape.n, s.shape.c, s.shape.h, s.shape.w};
    if (is_weight(s) && has(s, ".bias") && !has(s, ".running_mean")) return {s.shape.w, s.shape.c};
    return {s.shape.c};
  }
  /// Places of a slice's values in PyTorch's order: index[i] of the i-th value here.
  std::vector<std::int64_t> places(const NamedSlice& s) const {
    std::vector<std::int64_t> index(static_cast<std::size_t>(s.shape.elements()));
    const auto [n, h, w, c] = s.shape;
    const std::int64_t area = h * w;
    for (std::int64_t i = 0; i < s.shape.elements(); ++i) {
      const std::int64_t channel = i % c, pixel = i / c % area, out = i / c / area;
      index[static_cast<std::size_t>(i)] =
          is_convolution(s) ? (out * c + channel) * area + pixel : i;
    }
    return index;
  }

 private:
  static bool is_weight(const NamedSlice& s) { return s.name.ends_with(".weight"); }
  bool has(const NamedSlice& s, const std::string& sibling) const {
    return names_.count(s.name.substr(0, s.name.rfind('.')) + sibling) != 0;
  }
  bool is_convolution(const NamedSlice& s) const {
    return is_weight(s) && !has(s, ".bias") && !has(s, ".running_mean");
  }

  std::set<std::string> names_;
};

/// Slice by slice while the writer writes: a second copy of all weights can be what memory lacks.
void export_slices(SafetensorsWriter& writer, const std::shared_ptr<const TorchLayout>& layout,
                   const std::vector<NamedSlice>& slices, const Tensor& buffer) {
  const auto downloaded = buffer.device() == Device::cpu
                              ? nullptr
                              : std::make_shared<std::vector<float>>(download<float>(buffer));
  for (const NamedSlice& slice : slices) {
    const auto fill = [layout, slice, downloaded, &buffer](std::span<float> there) {
      const float* values = downloaded ? downloaded->data() : buffer.data<float>();
      const std::vector<std::int64_t> places = layout->places(slice);
      for (std::size_t i = 0; i < places.size(); ++i)
        there[static_cast<std::size_t>(places[i])] =
            values[static_cast<std::size_t>(slice.offset) + i];
    };
    writer.add_computed<float>(slice.name, layout->extents(slice), fill);
    for (const std::string& alias : slice.aliases)
      writer.add_computed<float>(alias, layout->extents(slice), fill);
  }
}

/// The buffer's values with those of the file.
std::vector<float> import_slices(const SafetensorsFile& file, const TorchLayout& layout,
                                 const std::vector<NamedSlice>& slices, const Tensor& buffer) {
  std::vector<float> values = download<float>(buffer);  // what no slice covers stays
  for (const NamedSlice& slice : slices) {
    const std::vector<float> there = file.values<float>(slice.name);
    const std::vector<std::int64_t> places = layout.places(slice);
    for (std::size_t i = 0; i < places.size(); ++i)
      values[static_cast<std::size_t>(slice.offset) + i] =
          there[static_cast<std::size_t>(places[i])];
  }
  return values;
}

}  // namespace

void export_weights(SafetensorsWriter& writer, const ParameterStore& store) {
  const auto layout = std::make_shared<const TorchLayout>(store);
  export_slices(writer, layout, store.parameters(), store.weights());
  export_slices(writer, layout, store.statistics(), store.statistics_buffer());
}

void require_weights(const SafetensorsFile& file, const ParameterStore& store) {
  const TorchLayout layout(store);
  std::set<std::string> names;
  for (const auto* slices : {&store.parameters(), &store.statistics()})
    for (const NamedSlice& slice : *slices) {
      if (file.at(slice.name).shape != layout.extents(slice))
        throw Error(file.path().string() + ": tensor " + slice.name +
                    " has not the shape of the network's");
      names.insert(slice.name);
      names.insert(slice.aliases.begin(), slice.aliases.end());
    }
  for (const auto& [name, entry] : file.entries())
    if (!names.contains(name) && !name.ends_with(".num_batches_tracked"))
      throw Error(file.path().string() + ": tensor " + name +
                  " is none of the network's, expected the weights of this network");
}

void import_weights(const SafetensorsFile& file, const ParameterStore& store) {
  require_weights(file, store);
  const TorchLayout layout(store);
  store.set_weights(import_slices(file, layout, store.parameters(), store.weights()));
  upload<float>(import_slices(file, layout, store.statistics(), store.statistics_buffer()),
                store.statistics_buffer());
}

}  // namespace drnas
