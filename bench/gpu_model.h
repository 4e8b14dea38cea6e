// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "tests/simt/check/meter.h"

namespace drnas::bench {

/// What the model takes a card to be able to do, sustained.
struct CardModel {
  const char* name;
  double multiprocessors, gigahertz;
  double memory_tb_s, l2_tb_s;  ///< terabytes a second
  double fp32_tflops, tf32_tflops, bf16_tflops;
  double launch_us, vendor_us;  ///< of a kernel of ours in a graph, of a vendor's call

  double tflops(const std::string& precision) const {
    if (precision == "bf16") return bf16_tflops;
    return precision == "tf32" ? tf32_tflops : fp32_tflops;
  }
};
const std::vector<CardModel>& card_models();

/// Milliseconds of all launches of one kernel, each of them bound by what takes it longest.
struct KernelTime {
  double memory = 0, l2 = 0, loads = 0, arithmetic = 0, launches = 0;

  double total() const;
};
KernelTime model_time(const simt::check::KernelCount& count, const CardModel& card,
                      const std::string& precision);

}  // namespace drnas::bench
