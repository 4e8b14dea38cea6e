// SPDX-License-Identifier: MIT
#include "nas/search/selection_run.h"

#include "engine/files.h"
#include "nas/search/search_inputs.h"

namespace drnas {
namespace {

std::vector<double> flat(const EdgeWeights& theta) {
  std::vector<double> values;
  for (const std::vector<double>& row : theta) values.insert(values.end(), row.begin(), row.end());
  return values;
}

}  // namespace

SelectionRun::SelectionRun(Selection& selection, const SelectionParts& parts)
    : selection_(selection), parts_(parts), judging_(passes_of(parts.options).judging) {
  parts_.trainer.set_learning_rate(parts_.options.learning_rate / 10);
  read_lines();
}

TrainerOptions SelectionRun::trainer_options(TrainerOptions options) {
  options.clip_with_alpha = false;
  options.theta_cost.clear();
  options.skip_dropout_seed.reset();
  return options;
}

SelectionPasses SelectionRun::passes_of(const SearchOptions& options) {
  if (options.select == "perturbation") return {passes::probe, true};
  PassSetting judging{
      .name = "judgement of a cell", .theta = PassTheta::given, .norm = evaluation_norm(options)};
  // An operation that does not run has no place for the weight of its edge.
  if (!search_method(options.method).edge_weights) judging.run = OperationsRun::weighted;
  return {judging, false};
}

std::int64_t SelectionRun::work_before(int decision) const {
  std::int64_t work = 0;
  for (int i = 0; i < decision; ++i)
    work += selection_.evaluations(i) * parts_.batches.evaluation->batches();
  const int rounds =
      decision == selection_.decisions() ? selection_.rounds() - 1 : selection_.round_of(decision);
  return work + rounds * tuning_steps();
}

bool SelectionRun::run(RunLoop& loop) {
  const std::int64_t left_to_tune =
      selection_.after_round() ? tuning_steps() - selection_.tuned : 0;
  Phase phase(loop, "selection", parts_.options.batch_size, work_before(selection_.decisions()),
              work_before(selection_.done()) - left_to_tune);
  while (!selection_.complete()) {
    if (selection_.after_round() && !tune(loop, phase)) return false;
    const auto evaluation = [&](const EdgeWeights& theta) { return evaluate(theta, phase); };
    const std::optional<SelectionLine> line = selection_.next(evaluation);
    if (!line) return false;
    selection_.tuned = 0;
    add_line(line->json);
    loop.checkpoint();
    if (!line->summary.empty())
      parts_.observer.on_message("selection " + std::to_string(selection_.done()) + "/" +
                                 std::to_string(selection_.decisions()) + ": " + line->summary);
  }
  return true;
}

bool SelectionRun::tune(RunLoop& loop, Phase& phase) {
  BatchSource& source = *parts_.batches.train;
  const std::int64_t rounds = selection_.round_of(selection_.done()) - 1;
  source.seek(parts_.options.epochs * source.batches() + rounds * tuning_steps() +
              selection_.tuned);
  parts_.trainer.give_theta(flat(selection_.theta()));
  while (selection_.tuned < tuning_steps() && phase.next()) {
    try {
      parts_.trainer.run(passes::tuning, source.next());
    } catch (const Error& error) {
      throw Error("selection, fine-tuning before decision " +
                  std::to_string(selection_.done() + 1) + ": " + error.what() +
                  "; expected a smaller --learning-rate or --select-tune 0");
    }
    ++selection_.tuned;
    phase.done();
    if (selection_.tuned % source.batches() == 0) loop.checkpoint();
  }
  if (selection_.tuned == tuning_steps()) return true;
  loop.checkpoint();
  return false;
}

std::optional<SelectionProbe> SelectionRun::evaluate(const EdgeWeights& theta, Phase& phase) {
  BatchSource& source = *parts_.batches.evaluation;
  source.seek((parts_.options.epochs + selection_.view()) * source.batches());
  parts_.trainer.give_theta(flat(theta));
  EpochTotals totals;
  for (std::int64_t batch = 0; batch < source.batches(); ++batch) {
    if (!phase.next()) return {};
    totals.add(parts_.trainer.run(judging_, source.next()));
    phase.done();
  }
  return SelectionProbe{"", totals.top1_percent(), totals.mean_loss()};
}

void SelectionRun::read_lines() {
  if (selection_.done() == 0) return;
  const std::filesystem::path file = parts_.folder.selection_path();
  const std::string text = read_text_file(file);
  std::size_t end = 0;
  for (int line = 0; line < selection_.done(); ++line) {
    end = text.find('\n', end);
    if (end == text.npos)
      throw Error(file.string() + ": " + std::to_string(line) + " whole lines, expected " +
                  std::to_string(selection_.done()) + ", one for each decision of the checkpoint");
    ++end;
  }
  lines_ = text.substr(0, end);
}

void SelectionRun::add_line(const std::string& json) {
  lines_ += json + "\n";
  write_file_atomically(parts_.folder.selection_path(), lines_);
}

void SelectionRun::end(const std::string& json) {
  write_file_atomically(parts_.folder.selection_path(), lines_ + json + "\n");
}

}  // namespace drnas
