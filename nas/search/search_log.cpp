// SPDX-License-Identifier: MIT
// log.jsonl of a search.
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/files.h"
#include "engine/parse_json.h"
#include "nas/search/search_events.h"

namespace drnas {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const TableAccuracy& t) {
  Json json;
  for (const TableColumn& column : table_columns)
    json[std::string(column.key)] = t.*column.accuracy;
  return json;
}

Json to_json(const PhaseMeans& p) {
  return {{"forward", p.forward}, {"backward", p.backward}, {"optimizer", p.optimizer}};
}

Json to_json(const TrajectoryRecord& t) {
  Json json = {{"samples", t.samples}, {"distinct", t.distinct}, {"agreement", t.agreement}};
  for (const auto& [name, q] : t.accuracy)
    json[name] = {{"min", q.min}, {"q1", q.q1}, {"median", q.median}, {"q3", q.q3}, {"max", q.max}};
  return json;
}

Json to_json(const Curvature& c) {
  return {{"norm", c.norm},
          {"spectral_norm", c.spectral_norm},
          {"trace", c.trace},
          {"eigenvalue", c.eigenvalue},
          {"least_eigenvalue", c.least_eigenvalue}};
}

Json to_json(const HessianRecord& h) {
  Json json = {{"batch", h.batch},           {"step", h.step},
               {"parameters", h.parameters}, {"loss", h.loss},
               {"theta", to_json(h.theta)},  {"mu", to_json(h.mu)}};
  if (h.bound)
    json["bound"] = {{"loss", h.bound->loss},
                     {"trace_term", h.bound->trace_term},
                     {"delta", h.bound->delta},
                     {"value", h.bound->value()}};
  if (h.expectation)
    json["expectation"] = {{"samples", h.expectation->samples},
                           {"mean", h.expectation->mean},
                           {"deviation", h.expectation->deviation}};
  return json;
}

/// What only some epochs have.
void add_optional(const EpochRecord& record, Json& json) {
  if (!record.kept.empty()) {
    Json& rows = json["kept"] = Json::array();
    for (const std::vector<bool>& row : record.kept) {
      rows.push_back(Json::array());
      for (const bool kept : row) rows.back().push_back(kept ? 1 : 0);
    }
  }
  if (record.skip_dropout) json["skip_dropout"] = *record.skip_dropout;
  if (!record.edge_weights.empty()) json["edge_weights"] = record.edge_weights;
  if (record.weight_phases.forward > 0)
    json["phase_ms"] = {{"architecture", to_json(record.architecture_phases)},
                        {"weight", to_json(record.weight_phases)}};
  if (record.table) json["table"] = to_json(*record.table);
  if (record.expected_cost) json["expected_cost"] = *record.expected_cost;
  if (record.trajectory) json["trajectory"] = to_json(*record.trajectory);
  if (record.hessian) json["hessian"] = to_json(*record.hessian);
  if (!record.warnings.empty()) json["warnings"] = record.warnings;
  if (!record.stopped_on.empty()) {
    json["stopped_on"] = record.stopped_on;
    json["good_epoch"] = record.good_epoch;
  }
}

}  // namespace

std::string to_json(const EpochRecord& record) {
  Json by_tag = Json::object();
  for (const auto& [tag, bytes] : record.peak_bytes_by_tag) by_tag[tag] = bytes;
  Json json = {{"epoch", record.epoch},
               {"stage", record.stage},
               {"learning_rate", record.learning_rate},
               {"train_loss", record.train_loss},
               {"train_top1", record.train_top1},
               {"val_loss", record.val_loss},
               {"val_top1", record.val_top1},
               {"genotype", record.genotype},
               {"concentrations", record.concentrations},
               {"step_ms",
                {{"architecture", record.architecture_step_ms}, {"weight", record.weight_step_ms}}},
               {"images_per_second", record.images_per_second},
               {"seconds", record.seconds},
               {"peak_bytes", {{"total", record.peak_bytes}, {"by_tag", by_tag}}},
               {"pinned_bytes", record.pinned_bytes}};
  add_optional(record, json);
  return json.dump();
}

std::string to_json(const FoundCell& selected, const FoundCell& argmax) {
  Json json = {{"genotype", selected.genotype}, {"argmax", argmax.genotype}};
  if (selected.table) json["table"] = to_json(*selected.table);
  return json.dump();
}

std::vector<EpochSigns> logged_signs(const std::filesystem::path& log, const SearchSpace& space) {
  std::vector<EpochSigns> all;
  std::error_code ignored;
  if (!std::filesystem::exists(log, ignored)) return all;
  const std::string text = read_text_file(log);
  int line = 0;
  for (std::size_t begin = 0; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view object(text.data() + begin, end - begin);
    begin = end + 1;
    try {
      const Json epoch = parse_json<Json>(object);
      const Architecture a = space.parse(epoch.at("genotype").get<std::string>(), "genotype");
      const Json& loss = epoch.at("val_loss");  // null where it was not finite
      EpochSigns signs{
          epoch.at("epoch").get<int>(),
          a.skips,
          a.places,
          loss.is_number() ? loss.get<double>() : std::numeric_limits<double>::quiet_NaN(),
          {},
          a.genotype};
      if (epoch.contains("hessian"))
        signs.eigenvalue = epoch.at("hessian").at("mu").at("eigenvalue").get<double>();
      all.push_back(std::move(signs));
    } catch (const std::exception& failure) {
      throw Error(log.string() + " line " + std::to_string(line + 1) +
                  ": no epoch of a search: " + failure.what());
    }
  }
  return all;
}

}  // namespace drnas
