// SPDX-License-Identifier: MIT
#include "fenced_pool.h"

namespace {
[[maybe_unused]] const bool before_tests =
    drnas::Allocator::of(drnas::Device::cuda).set_fenced(true);
}  // namespace
