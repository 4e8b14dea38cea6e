// SPDX-License-Identifier: MIT
#include "nas/run/machine.h"

#include <omp.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/gpu.h"
#include "engine/memory/allocator.h"
#include "engine/version.h"
#include "kernels/layers/conv2d_plan.h"

namespace drnas {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

std::int64_t machine_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGE_SIZE);
  return pages > 0 && size > 0 ? static_cast<std::int64_t>(pages) * size : 0;
}

void require_memory(std::int64_t bytes, Device device) {
  const std::int64_t all = machine_memory();
  if (device == Device::cpu && all > 0 && bytes > all)
    throw Error("tensors need " + format_bytes(bytes) + ", this machine has " + format_bytes(all) +
                "; expected a smaller --batch-size or network");
}

std::string utc_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string session_facts(Device device) {
  const bool gpu = device == Device::cuda;
  nlohmann::ordered_json facts = {{"started", utc_time()},
                                  {"version", version()},
                                  {"commit", git_commit()},
                                  {"compiler", compiler()},
                                  {"device", gpu ? "cuda" : "cpu"},
                                  {"processor", processor()},
                                  {"cores", omp_get_num_procs()},
                                  {"threads", omp_get_max_threads()},
                                  {"memory_bytes", machine_memory()},
                                  {"onednn", kernels::onednn_version()}};
  if (gpu) facts["gpu"] = describe_gpu();
  if (*cuda_version() != '\0') facts["cuda"] = cuda_version();
  if (*cudnn_version() != '\0') facts["cudnn"] = cudnn_version();
  return facts.dump();
}

}  // namespace drnas
