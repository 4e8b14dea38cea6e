// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/planes/planes.h"

namespace drnas::kernels {

/// Plane `channel` of an image.
template <class T>
DRNAS_HD inline T* plane_of(const PlanesOf<T>& planes, std::int64_t pixels, std::int64_t image,
                            std::int64_t channel) {
  return planes.data + image * planes.stride + channel * pixels;
}

/// Coefficients [3, c] of one channel: dz = slope_g g + slope_z z + constant.
struct GradientCoefficients {
  float slope_g, slope_z, constant;

  DRNAS_HD GradientCoefficients(const float* coefficients, int c, int channel)
      : slope_g(coefficients ? coefficients[channel] : 1.0f),
        slope_z(coefficients ? coefficients[c + channel] : 0.0f),
        constant(coefficients ? coefficients[2 * c + channel] : 0.0f) {}
};

}  // namespace drnas::kernels
