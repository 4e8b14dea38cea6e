// SPDX-License-Identifier: MIT
#include "nas/space/derived_network.h"

#include "nas/space/darts/darts_network.h"
#include "nas/space/nb201/nb201_network.h"

namespace drnas {

std::unique_ptr<DerivedNetwork> make_derived_network(const DerivedOptions& options,
                                                     std::uint64_t seed, Device device) {
  if (std::holds_alternative<Nb201Cell>(options.genotype))
    return std::make_unique<Nb201Network>(options, seed, device);
  return std::make_unique<DartsNetwork>(options, seed, device);
}

}  // namespace drnas
