// SPDX-License-Identifier: MIT
// What the search and the training ask of their images alike. Both option structs name these
// members the same.
#pragma once

#include <set>

#include "data/dataset.h"
#include "nas/option_check.h"

namespace drnas {

/// Side of a data set's images; 0 where --image-size chooses it.
inline int own_image_size(std::string_view dataset) {
  if (dataset == "image-folder" || dataset == "synthetic") return 0;
  return dataset == "imagenet16-120" ? 16 : 32;
}

/// Data set, size and transforms.
template <class Options>
void check_images(const Options& o, const OptionChecker<Options>& check) {
  check.one_of("dataset", o.dataset, dataset_names());
  // Two halvings by stride 2, exact.
  check.require(o.image_size >= 8 && o.image_size <= 512 && o.image_size % 4 == 0, "image-size",
                "a multiple of 4 of 8 to 512");
  const int own = own_image_size(o.dataset);
  check.require(own == 0 || o.image_size == own, "image-size",
                std::to_string(own) + ", the size of " + o.dataset +
                    " (others are for image-folder and synthetic)");
  check.integer("cutout", o.cutout, 0, o.image_size);
  const bool folder = o.dataset == "image-folder", resized = o.augment == "resized-crop";
  check.one_of("augment", o.augment, Names{"crop-flip", "resized-crop"});
  check.require(folder || !resized, "augment", "crop-flip with --dataset " + o.dataset);
  check.require(resized || !o.colour_jitter, "colour-jitter",
                "false without --augment resized-crop");
  check.require(!resized || o.cutout == 0, "cutout", "0 with --augment resized-crop");
}

/// How to read the data set.
template <class Options>
DatasetOptions dataset_options(const Options& o, bool write_cache) {
  DatasetOptions d;
  d.name = o.dataset;
  d.folder = o.data;
  d.cache = o.cache;
  d.image_size = o.image_size;
  d.seed = o.seed;
  d.write_cache = write_cache;
  d.decode = o.augment != "resized-crop";
  return d;
}

/// What a preset says of another data set's images does not hold for this one.
template <class Options>
void fit_to_dataset(Options& options, const std::set<std::string_view>& given) {
  if (!given.contains("image-size") && own_image_size(options.dataset) != 0)
    options.image_size = own_image_size(options.dataset);
  if (!given.contains("augment") && options.dataset != "image-folder")
    options.augment = Options{}.augment;
  if (!given.contains("colour-jitter") && options.augment != "resized-crop")
    options.colour_jitter = false;
}

}  // namespace drnas
