// SPDX-License-Identifier: MIT
// The search methods that there are: a new one adds a line here.
#include <algorithm>
#include <vector>

#include "engine/choices.h"
#include "nas/method/methods.h"

namespace drnas {

namespace {

std::vector<const MethodInfo*>& methods() {
  static std::vector<const MethodInfo*> all{
      &drnas_method,         &darts_method,     &darts_second_order_method,
      &pc_darts_method,      &sdarts_rs_method, &sdarts_adv_method,
      &snas_method,          &gdas_method,      &gdas_v1_method,
      &dsnas_method,         &proxyless_method, &proxyless_two_method,
      &parsec_method,        &gaea_method,      &gaea_bilevel_method,
      &gaea_pc_darts_method, &setn_method,      &bayesnas_method,
      &p_darts_method};
  return all;
}

}  // namespace

std::span<const MethodInfo* const> search_methods() { return methods(); }

void add_search_method(const MethodInfo& method) {
  if (find_search_method(method.name))
    throw Error("method '" + std::string(method.name) + "': the name is taken");
  methods().push_back(&method);
}

std::string search_method_names() {
  return choices(search_methods(), [](const MethodInfo* method) {
    return std::string(method->name) + " (" + std::string(method->summary) + ")";
  });
}

const MethodInfo* find_search_method(std::string_view name) {
  for (const MethodInfo* method : search_methods())
    if (method->name == name) return method;
  return nullptr;
}

const MethodInfo& search_method(std::string_view name) {
  if (const MethodInfo* method = find_search_method(name)) return *method;
  throw Error("--method " + std::string(name) + ": expected " + search_method_names());
}

std::vector<std::uint8_t> keep_largest(const std::vector<std::vector<double>>& alpha,
                                       const std::vector<std::uint8_t>& kept, int keep) {
  std::vector<std::uint8_t> next;
  for (std::size_t row = 0; row < alpha.size(); ++row) {
    const std::vector<double>& values = alpha[row];
    std::vector<int> order;
    for (std::size_t op = 0; op < values.size(); ++op)
      if (kept.empty() || kept[row * values.size() + op]) order.push_back(static_cast<int>(op));
    if (keep < 1 || keep > static_cast<int>(order.size()))
      throw Error("stage: an edge with " + std::to_string(order.size()) +
                  " operations cannot keep " + std::to_string(keep));
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return values[a] > values[b]; });
    std::vector<std::uint8_t> row_kept(values.size(), 0);
    for (int i = 0; i < keep; ++i) row_kept[static_cast<std::size_t>(order[i])] = 1;
    next.insert(next.end(), row_kept.begin(), row_kept.end());
  }
  return next;
}

}  // namespace drnas
