// SPDX-License-Identifier: MIT
// Sets that scripts of tools/ convert to CIFAR-10's records: imagenet16-120 and svhn.
#include "data/readers.h"

namespace drnas::readers {

Source find_converted(const DatasetInfo& info, const DatasetOptions& options) {
  const Path folder = find_folder(info, options);
  RecordFiles files;
  files.train = {folder / "train.bin"};
  files.test = folder / "test.bin";
  files.side = info.side;
  files.classes = info.classes;
  require_all(files, info);
  Source source{folder, {files.train[0], files.test}, files.side, {}};
  source.read = [files = std::move(files)] {
    Dataset dataset = read_records(files);
    dataset.classes = files.classes == 10 ? digits() : numbered_classes(files.classes, 1);
    return dataset;
  };
  return source;
}

}  // namespace drnas::readers
