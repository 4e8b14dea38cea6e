// SPDX-License-Identifier: MIT
#include "nas/space/darts/darts_network.h"

namespace drnas {
namespace {

constexpr int auxiliary_window = 5, auxiliary_width = 128, auxiliary_features = 768;

std::string number(std::int64_t value) { return std::to_string(value); }

}  // namespace

DartsNetwork::DartsNetwork(const DerivedOptions& options, std::uint64_t seed, Device device)
    : options_(options),
      genotype_(parse_darts_genotype(options.genotype.text, "genotype")),
      seed_(seed),
      parameters_(device),
      builder_(parameters_) {
  check_darts_genotype(genotype_, "network");
  check();
  build();
  builder_.allocate(seed);
  build();
}

bool DartsNetwork::reduces(int cell) const {
  return cell == options_.layers / 3 || cell == 2 * options_.layers / 3;
}

int DartsNetwork::stem_pixels() const {
  return options_.imagenet ? halved(halved(halved(options_.image_size))) : options_.image_size;
}

void DartsNetwork::check() const {
  const DerivedOptions& o = options_;
  if (o.layers < 1 || o.channels < 1 || o.classes < 1 || o.image_size < 1)
    throw Error("network: " + number(o.layers) + " cells, " + number(o.channels) + " channels, " +
                number(o.classes) + " classes, images of " + number(o.image_size) +
                " pixels, expected at least 1 of each");
  if (o.imagenet && o.channels % 2 != 0)
    throw Error("network: " + number(o.channels) +
                " channels, expected an even number for the ImageNet stem");
  const auto halve = [&](int pixels, const std::string& where) {
    if (pixels % 2 != 0)
      throw Error("network: images of " + number(o.image_size) + " pixels leave " + number(pixels) +
                  " before " + where + ", expected an even number to halve");
    return pixels / 2;
  };
  if (o.imagenet) halve(halved(halved(o.image_size)), "the first cell");
  int pixels = stem_pixels();
  for (int i = 0; i < o.layers; ++i) {
    if (reduces(i)) pixels = halve(pixels, "cell " + number(i));
    if (!o.auxiliary || i != auxiliary_cell()) continue;
    const int stride = o.imagenet ? 2 : 3, most = auxiliary_window + 2 * stride - 1;
    if (pixels < auxiliary_window + stride || pixels > most)
      throw Error("network: images of " + number(o.image_size) + " pixels leave " + number(pixels) +
                  " for the auxiliary head, expected " + number(auxiliary_window + stride) +
                  " to " + number(most));
  }
}

void DartsNetwork::build() {
  cells_.clear();
  draws_ = 0;
  int c = options_.channels;
  const int width = options_.imagenet ? c : 3 * c;
  stem_ = options_.imagenet ? build_imagenet_stem(builder_, c / 2, c)
                            : build_cifar_stem(builder_, width);
  int before = width, last = width, pixels = stem_pixels();
  bool reduced = options_.imagenet;
  for (int i = 0; i < options_.layers; ++i) {
    const bool reduction = reduces(i);
    if (reduction) c *= 2;
    Cell cell{"cells." + number(i),
              reduction ? &genotype_.reduce : &genotype_.normal,
              reduction,
              c,
              pixels,
              {},
              {}};
    cell.preprocess = {build_preprocess(builder_, cell.name + ".preprocess0", before, c, reduced),
                       build_preprocess(builder_, cell.name + ".preprocess1", last, c, false)};
    for (const DartsGene& gene : cell.genotype->genes) {
      Operation op{build_darts_operation(builder_,
                                         cell.name + "._ops." + number(std::ssize(cell.operations)),
                                         gene.op, c, reduction && gene.source < 2 ? 2 : 1),
                   gene.source};
      if (op.drops()) op.draw = draws_++;
      cell.operations.push_back(std::move(op));
    }
    before = last;
    last = c * static_cast<int>(cell.genotype->concat.size());
    reduced = reduction;
    pixels = cell.out_pixels();
    cells_.push_back(std::move(cell));
    if (options_.auxiliary && i == auxiliary_cell()) build_auxiliary(last);
  }
  classifier_weight_ =
      builder_.weight("classifier.weight", {1, 1, options_.classes, last}, Initial::uniform(last));
  classifier_bias_ =
      builder_.weight("classifier.bias", {1, 1, 1, options_.classes}, Initial::uniform(last));
}

void DartsNetwork::build_auxiliary(int channels) {
  AuxiliaryHead head;
  const std::string name = "auxiliary_head.", features = name + "features.";
  head.narrow = builder_.weight(features + "2.weight", {auxiliary_width, 1, 1, channels},
                                Initial::uniform(channels));
  head.narrow_norm = build_norm(builder_, features + "3", auxiliary_width);
  head.wide = builder_.weight(features + "5.weight", {auxiliary_features, 2, 2, auxiliary_width},
                              Initial::uniform(4 * auxiliary_width));
  if (!options_.imagenet) head.wide_norm = build_norm(builder_, features + "6", auxiliary_features);
  head.weight =
      builder_.weight(name + "classifier.weight", {1, 1, options_.classes, auxiliary_features},
                      Initial::uniform(auxiliary_features));
  head.bias = builder_.weight(name + "classifier.bias", {1, 1, 1, options_.classes},
                              Initial::uniform(auxiliary_features));
  auxiliary_ = std::move(head);
}

NetworkCost DartsNetwork::cost() const {
  NetworkCost cost;
  for (const NamedSlice& p : parameters_.parameters()) {
    cost.parameters_with_auxiliary += p.shape.elements();
    if (!p.name.starts_with("auxiliary_head.")) cost.parameters += p.shape.elements();
  }
  const auto add = [&](const Variable& weight, int height, int width) {
    cost.multiply_adds += weight.value().elements() * height * width;
  };
  int pixels = options_.image_size;
  for (const DartsStemLayer& layer : stem_) {
    if (layer.stride == 2) pixels = halved(pixels);
    add(layer.weight, pixels, pixels);
  }
  for (const Cell& cell : cells_) {
    const int out = cell.out_pixels();
    for (const DartsPreprocess& p : cell.preprocess)
      for (const Variable& weight : p.weights) add(weight, cell.pixels, cell.pixels);
    for (const Operation& op : cell.operations) {
      for (const SeparableOperation::Half& half : op.separable.halves)
        for (const Variable& weight : {half.depthwise, half.pointwise}) add(weight, out, out);
      // The first of two rectangular convolutions has the stride along its row only.
      for (const Variable& weight : op.weights)
        add(weight, weight.value().shape().w > 1 ? out * op.stride : out, out);
    }
  }
  add(classifier_weight_, 1, 1);
  return cost;
}

}  // namespace drnas
