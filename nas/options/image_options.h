// SPDX-License-Identifier: MIT
// What the search and the training ask of their images alike. Both option structs name these
// members the same.
#pragma once

#include <set>

#include "data/dataset.h"
#include "data/dataset_info.h"
#include "nas/options/option_check.h"

namespace drnas {

/// Data set, size and transforms.
template <class Options>
void check_images(const Options& o, const OptionChecker<Options>& check) {
  const DatasetInfo* const info = find_dataset_info(o.dataset);
  check.require(info != nullptr, "dataset", dataset_names());
  // Exact halvings: two in the cells, and three more in ImageNet's stem.
  const int step = o.stem == "imagenet" ? 32 : 4, least = std::max(8, step);
  check.require(
      o.image_size >= least && o.image_size <= 512 && o.image_size % step == 0, "image-size",
      "a multiple of " + std::to_string(step) + " of " + std::to_string(least) + " to 512" +
          (step == 4 ? "" : " with --stem imagenet, which halves three times before the cells"));
  const int own = info->side;
  check.require(own == 0 || o.image_size == own, "image-size",
                std::to_string(own) + ", the size of " + o.dataset +
                    " (others are for image-folder and synthetic)");
  check.integer("cutout", o.cutout, 0, o.image_size);
  const bool folder = info->folder_of_images, resized = o.augment == "resized-crop";
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

/// Classes of the network, without reading the data: those of an image folder are counted where it
/// is there, else ImageNet's with its stem and 10 without.
template <class Options>
int classes_before_reading(const Options& o) {
  return expected_classes(dataset_info(o.dataset), o.data, o.stem == "imagenet" ? 1000 : 10);
}

/// What a preset says of another data set's images does not hold for this one.
template <class Options>
void fit_to_dataset(Options& options, const std::set<std::string_view>& given) {
  const DatasetInfo* const info = find_dataset_info(options.dataset);
  if (info == nullptr) return;  // the checks name it
  if (!given.contains("image-size") && info->side != 0) options.image_size = info->side;
  if (!given.contains("augment") && !info->folder_of_images) options.augment = Options{}.augment;
  if (!given.contains("colour-jitter") && options.augment != "resized-crop")
    options.colour_jitter = false;
}

}  // namespace drnas
