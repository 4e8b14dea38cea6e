// SPDX-License-Identifier: MIT
#include "nas/space/cell_graph.h"

namespace drnas {

std::string edge_label(int from, int to) { return std::to_string(from) + "→" + std::to_string(to); }

std::string_view op_family(std::string_view op) {
  if (op.empty()) return "concat";
  if (op == "none") return "none";
  if (op.starts_with("skip")) return "skip";
  return op.find("pool") == op.npos ? "conv" : "pool";
}

}  // namespace drnas
