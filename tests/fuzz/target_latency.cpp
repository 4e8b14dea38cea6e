// SPDX-License-Identifier: MIT
// Tables of latencies: what is accepted is written and read again the same.
#include <cmath>

#include "nas/space/latency_table.h"
#include "tests/fuzz/fuzz.h"

using namespace drnas;
using namespace drnas::fuzz;

namespace {

bool read(Input input) {
  static const Folder folder;
  const fs::path file = folder.write("times.json", as_text(input));
  return accepts([&] {
    const LatencyTable table = read_latency_table(file);
    for (const OperationLatency& o : table.operations) {
      require(o.median >= 0 && std::isfinite(o.median), "a time out of range");
      require(table.find(o.operation, o.shape) == &o, "an operation twice");
    }
    const std::string written = to_json(table);
    require(to_json(read_latency_table(folder.write("again.json", written))) == written,
            "differs after it was written");
  });
}

}  // namespace

DRNAS_FUZZ_TARGET(latency, read, change_bytes)
