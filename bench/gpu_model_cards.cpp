// SPDX-License-Identifier: MIT
#include <algorithm>

#include "bench/gpu_model.h"

namespace drnas::bench {

// Peaks of the vendor's data sheets; of memory 90 %, of arithmetic 60 %, of the second-level cache
// what public microbenchmarks report. None has been measured with this program.
const std::vector<CardModel>& card_models() {
  static const std::vector<CardModel> cards{
      {"h100", 132, 1.7, 3.0, 5.5, 40, 290, 590, 1.3, 3.5},
      {"h200", 132, 1.7, 4.3, 5.5, 40, 290, 590, 1.3, 3.5},
      {"a100", 108, 1.4, 1.8, 4.0, 11.7, 93, 187, 1.8, 4.5},
      {"rtx4090", 128, 2.5, 0.9, 4.5, 49, 49, 99, 1.3, 3.5},
  };
  return cards;
}

double KernelTime::total() const { return std::max({memory, l2, loads, arithmetic}) + launches; }

KernelTime model_time(const simt::check::KernelCount& count, const CardModel& card,
                      const std::string& precision) {
  constexpr double sector_bytes = 32, sectors_a_wavefront = 4;
  const auto per_ms = [](double tera) { return tera * 1e9; };
  const auto wavefronts = [](const simt::check::Traffic& t) {
    return std::max(static_cast<double>(t.requests),
                    static_cast<double>(t.moved) / sectors_a_wavefront);
  };
  const auto bytes = static_cast<double>(count.bytes_read + count.bytes_written);
  KernelTime time;
  time.memory = bytes / per_ms(card.memory_tb_s);
  time.l2 = sector_bytes * static_cast<double>(count.read.moved + count.write.moved) /
            per_ms(card.l2_tb_s);
  time.loads = (wavefronts(count.read) + wavefronts(count.write) +
                static_cast<double>(count.shared_read.moved + count.shared_write.moved)) /
               (card.multiprocessors * card.gigahertz * 1e6);
  time.arithmetic = 2 * static_cast<double>(count.multiply_adds) / per_ms(card.tflops(precision));
  const bool vendor = count.threads == 0;
  time.launches =
      static_cast<double>(count.launches) * (vendor ? card.vendor_us : card.launch_us) / 1e3;
  return time;
}

}  // namespace drnas::bench
