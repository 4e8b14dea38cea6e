// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace drnas {

/// What goes wrong in differentiable searches.
enum class Alarm {
  skip,        ///< the cell collapses to skip connections
  eigenvalue,  ///< the dominant eigenvalue of the Hessian rises
  nan          ///< the validation loss is not finite
};
/// skip, eigenvalue, nan.
const char* to_string(Alarm alarm);
/// Reads names joined by commas (--stop-on). Throws Error naming an unknown one.
std::vector<Alarm> parse_alarms(const std::string& text);

/// What an epoch shows of them.
struct EpochSigns {
  int epoch = 0;              ///< counted from 1
  int skips = 0, places = 0;  ///< see Architecture
  double val_loss = 0;
  std::optional<double> eigenvalue;  ///< dominant one with respect to mu, where it was computed
  std::string genotype;              ///< of the mean
};

struct Warning {
  Alarm alarm;
  std::string text;    ///< one line
  int good_epoch = 0;  ///< the epoch to go back to
  std::string good_genotype;
};

/// Watches the epochs of a search.
///
/// skip: raised when the skip connections of the cell come to 3/8 of its edges (3 of 6 in
/// NAS-Bench-201, 3 of the normal cell's 8 in the DARTS space, more than the two that DARTS+ (Liang
/// et al., 2019) stops at); the epoch to go back to is the last one below.
///
/// eigenvalue: the early stopping of RobustDARTS (Zela et al., ICLR 2020, section 4.3): raised when
/// the mean magnitude of the last five eigenvalues is more than 1.3 times that of the five that
/// ended four values before; the epoch to go back to is that of the latter.
///
/// Each is raised when it begins; it must stop before it can be raised again.
class EarlyWarnings {
 public:
  /// Of the next epoch, in order of the epochs.
  std::vector<Warning> observe(const EpochSigns& signs);

 private:
  struct Point {
    int epoch;
    double magnitude;
    std::string genotype;
  };
  std::optional<Warning> skip_warning(const EpochSigns& signs) const;
  std::optional<Warning> eigenvalue_warning() const;
  double window_mean(std::size_t end) const;

  std::vector<Point> eigenvalues_;
  EpochSigns below_;  // last epoch with few skip connections
  bool skip_ = false, rising_ = false, nan_ = false;
};

}  // namespace drnas
