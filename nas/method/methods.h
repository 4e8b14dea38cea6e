// SPDX-License-Identifier: MIT
// The methods that there are, each defined in the file of its name.
#pragma once

#include "nas/method/search_method.h"

namespace drnas {

extern const MethodInfo drnas_method, darts_method, snas_method, gdas_method, gdas_v1_method,
    dsnas_method, gaea_method, gaea_bilevel_method, gaea_pc_darts_method, pc_darts_method,
    proxyless_method, proxyless_two_method, parsec_method, darts_second_order_method,
    sdarts_rs_method, sdarts_adv_method, setn_method, bayesnas_method, p_darts_method;

}  // namespace drnas
