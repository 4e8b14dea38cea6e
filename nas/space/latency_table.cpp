// SPDX-License-Identifier: MIT
#include "nas/space/latency_table.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/files.h"
#include "engine/parse_json.h"

namespace drnas {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* format = "drnas-latency-1";

Json to_json(const OperationLatency& o) {
  return {{"operation", o.operation},
          {"channels", o.shape.channels},
          {"pixels", o.shape.pixels},
          {"stride", o.shape.stride},
          {"median_ms", o.median},
          {"quartiles_ms", {o.lower, o.upper}},
          {"runs", o.runs}};
}

int positive(const Json& json, const char* key) {
  const Json& value = json.at(key);
  constexpr std::int64_t most = 1 << 30;
  if (!value.is_number_integer() || value < 1 || value > most)
    throw Error(std::string(key) + ": expected a whole number of at least 1");
  return value.get<int>();
}

double milliseconds(const Json& value, const char* key) {
  const double ms = value.is_number() ? value.get<double>() : -1;
  if (!(ms >= 0) || !std::isfinite(ms))
    throw Error(std::string(key) + ": expected milliseconds of at least 0");
  return ms;
}

OperationLatency operation_of(const Json& json) {
  OperationLatency o;
  o.operation = json.at("operation").get<std::string>();
  o.shape = {positive(json, "channels"), positive(json, "pixels"), positive(json, "stride")};
  o.median = milliseconds(json.at("median_ms"), "median_ms");
  o.lower = milliseconds(json.at("quartiles_ms").at(0), "quartiles_ms");
  o.upper = milliseconds(json.at("quartiles_ms").at(1), "quartiles_ms");
  o.runs = positive(json, "runs");
  return o;
}

LatencyTable table_of(const Json& json) {
  if (json.at("format") != format) throw Error(std::string("format: expected ") + format);
  LatencyTable table;
  table.space = json.at("space").get<std::string>();
  table.device = json.at("device").get<std::string>();
  table.threads = positive(json, "threads");
  table.images = positive(json, "images");
  std::set<std::pair<std::string, OperationShape>> seen;
  int number = 0;
  for (const Json& entry : json.at("operations")) {
    const std::string where = "operation " + std::to_string(++number) + ": ";
    try {
      table.operations.push_back(operation_of(entry));
    } catch (const std::exception& failure) {
      throw Error(where + json_reason(failure));
    }
    const OperationLatency& o = table.operations.back();
    if (!seen.insert({o.operation, o.shape}).second)
      throw Error(where + "the same operation and shape as one before, expected each once");
  }
  return table;
}

}  // namespace

const OperationLatency* LatencyTable::find(const std::string& operation,
                                           const OperationShape& shape) const {
  const auto found = std::find_if(operations.begin(), operations.end(), [&](const auto& o) {
    return o.operation == operation && o.shape == shape;
  });
  return found == operations.end() ? nullptr : &*found;
}

std::string to_json(const LatencyTable& table) {
  Json head = {{"format", format},
               {"space", table.space},
               {"device", table.device},
               {"threads", table.threads},
               {"images", table.images}};
  std::string text = head.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.pop_back();
  text += ",\"operations\":[";
  for (std::size_t i = 0; i < table.operations.size(); ++i)
    text += (i ? ",\n" : "\n") + to_json(table.operations[i]).dump();
  return text + "\n]}\n";
}

LatencyTable read_latency_table(const std::filesystem::path& file) {
  const std::string text = read_text_file(file);
  try {
    return table_of(parse_json<Json>(text));
  } catch (const std::exception& failure) {
    throw Error(file.string() + ": no table of latencies as drnas_search --measure-latency " +
                "writes it: " + json_reason(failure));
  }
}

}  // namespace drnas
