// SPDX-License-Identifier: MIT
// Configuration files of both programs: what is accepted is written and read again the same.
#include "nas/options/option_table.h"
#include "nas/options/train_options.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

/// False where the text is refused.
template <class Options>
bool check(std::string_view text) {
  return accepts([&] {
    const auto keys = config_keys<Options>();
    const Options options = Options::from_config(parse_config(text, "config.toml", keys));
    options.validate();
    const std::string written = options.to_toml();
    const Options again = Options::from_config(parse_config(written, "written", keys));
    for (const OptionOf<Options>& info : options_of<Options>())
      require(same_option(options, again, info),
              std::string(info.name) + ": differs after it was written");
  });
}

bool read(Input input) {
  static const Folder folder;  // genotypes may name files, which none are there
  static const bool inside = (fs::current_path(folder.path()), true);
  require(inside, "no folder");
  const bool search = check<SearchOptions>(as_text(input));
  return check<TrainOptions>(as_text(input)) || search;
}

}  // namespace

DRNAS_FUZZ_TARGET(config, read, change_bytes)
