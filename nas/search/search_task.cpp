// SPDX-License-Identifier: MIT
#include "nas/search/search_task.h"

#include <algorithm>

#include "engine/parameters/widening.h"
#include "nas/search/perturbation_selection.h"
#include "nas/search/sampled_selection.h"

namespace drnas {
namespace {

/// By the data set of the search, or the first where the table has no such column.
TablePlace place_of(const AccuracyTable& table, int number, std::string_view dataset) {
  const auto* const found =
      std::find_if(std::begin(table_columns), std::end(table_columns),
                   [&](const TableColumn& c) { return c.dataset == dataset; });
  const TableColumn& column = found == std::end(table_columns) ? table_columns[0] : *found;
  return {column.title, table.place(number, column.accuracy), table.size()};
}

}  // namespace

void StepTimes::add(const StepResult& step) {
  total += step.total_ms;
  phases.forward += step.forward_ms;
  phases.backward += step.backward_ms;
  phases.optimizer += step.optimizer_ms;
}

void StepTimes::enter(double steps, double& mean, PhaseMeans& means) const {
  mean = total / steps;
  means = {phases.forward / steps, phases.backward / steps, phases.optimizer / steps};
}

SearchTask::SearchTask(const SearchOptions& options, const SearchInputs& inputs,
                       const SearchMemory& memory, const RunFolder& folder,
                       SearchObserver& observer, Device device)
    : options_(options),
      inputs_(inputs),
      first_memory_(memory),
      folder_(folder),
      observer_(observer),
      device_(device),
      stages_(stages_of(options, theta_shape(space(), options.none_op).operations)),
      method_(search_method(options.method).make(method_options(options, device))),
      batches_(inputs.batch_sources(options, device, memory)),
      evidence_(evidence_options(options), space(), options.none_op, inputs.table.get()) {}

void SearchTask::resumed(const RunFolder& folder) {
  ending_ = evidence_.recall(logged_signs(folder.log_path(), space()));
}

std::optional<TableAccuracy> SearchTask::table_entry(const Architecture& architecture) const {
  if (!inputs_.table || !architecture.number) return {};
  return inputs_.table->at(*architecture.number);
}

void SearchTask::begin() {
  build(first_memory_);
  if (options_.method != "drnas" || options_.base != "drnas")
    observer_.on_message("method " + options_.method + ", base " + options_.base);
}

void SearchTask::build(const SearchMemory& memory) {
  extents_ = memory.extents;
  supernet_ = make_supernet(memory.network, stage_seed(options_, stage()), device_);
  trainer_ = std::make_unique<SupernetTrainer>(*supernet_, method_->law(), &method_->alpha_update(),
                                               inputs_.trainer(options_, stage()));
}

void SearchTask::seek(const RunProgress& progress) {
  batches_.train->seek(progress.epoch * steps() + progress.step);
  batches_.alpha->seek(method_->alpha_batches_used());
}

void SearchTask::begin_epoch(RunProgress& progress) {
  if (stage_at(stages_, progress.epoch).number > stage_) enter_next_stage(progress);
  learning_rate_ = weight_learning_rate(options_, stage(), progress.epoch);
  trainer_->set_learning_rate(learning_rate_);
  trainer_->set_skip_dropout(skip_dropout(options_, stage(), progress.epoch));
  alpha_learns_ = alpha_learns(options_, stage(), progress.epoch);
  alpha_steps_before_ = alpha_epochs_before(options_, stages_, progress.epoch) * steps();
  architecture_times_ = weight_times_ = {};
  method_->begin_epoch(progress.epoch);
}

StepResult SearchTask::step(const RunProgress& progress) {
  if (options_.rate_moves == "step") {
    const double share = static_cast<double>(progress.step) / static_cast<double>(steps());
    trainer_->set_learning_rate(weight_learning_rate(options_, stage(), progress.epoch, share));
  }
  const MethodResult result = method_->step({*trainer_, *batches_.train, *batches_.alpha,
                                             alpha_learns_, alpha_steps_before_ + progress.step});
  if (result.alpha) architecture_times_.add(*result.alpha);
  weight_times_.add(result.weights);
  return result.weights;
}

bool SearchTask::evaluate(RunLoop& loop, const RunProgress& progress) {
  const std::uint32_t draws = trainer_->draws();
  BatchSource& source = *batches_.evaluation;
  source.seek(progress.epoch * source.batches());
  evaluated_ = {};
  Phase phase(loop, "evaluation", options_.batch_size, source.batches());
  while (phase.next()) {
    evaluated_.add(trainer_->run(method_->evaluation(), source.next()));
    phase.done();
  }
  evidence_record_ = {};
  evaluation_seconds_ = phase.seconds();
  if (phase.complete() && measure(loop, progress) && end_method_epoch(loop, progress)) return true;
  trainer_->set_draws(draws);  // the evaluation will start again
  return false;
}

std::function<bool(std::int64_t, std::int64_t)> SearchTask::ticks(
    RunLoop& loop, const char* name, std::optional<Phase>& phase) const {
  return
      [&loop, name, &phase, images = options_.batch_size](std::int64_t done, std::int64_t passes) {
        if (!phase) phase.emplace(loop, name, images, passes);
        phase->reach(done);
        return phase->next() || phase->complete();
      };
}

bool SearchTask::measure(RunLoop& loop, const RunProgress& progress) {
  std::optional<Phase> phase;
  return evidence_.measure(progress.epoch, *trainer_, method_->law(), chosen(),
                           *batches_.evaluation, ticks(loop, "Hessian", phase), evidence_record_);
}

bool SearchTask::end_method_epoch(RunLoop& loop, const RunProgress& progress) {
  std::optional<Phase> phase;
  const auto tick = ticks(loop, "curvature", phase);
  return method_->end_epoch({progress.epoch, *trainer_, *batches_.alpha, tick});
}

void SearchTask::log_epoch(RunLoop& loop, const EpochBasics& basics) {
  const Architecture found = chosen();
  EpochRecord r;
  static_cast<EpochBasics&>(r) = basics;
  r.learning_rate = learning_rate_;
  r.pinned_bytes = first_memory_.images.pinned_bytes();
  r.val_loss = evaluated_.mean_loss();
  r.val_top1 = evaluated_.top1_percent();
  r.stage = static_cast<int>(stage_);
  if (!options_.skip_dropout.empty()) r.skip_dropout = skip_dropout(options_, stage(), r.epoch - 1);
  r.genotype = found.genotype;
  r.table = table_entry(found);
  r.concentrations = method_->law().concentrations();
  r.edge_weights = method_->law().edge_weights();
  if (inputs_.cost) r.expected_cost = inputs_.cost->expected(method_->law().mean());
  const std::vector<std::uint8_t>& kept = supernet_->options().kept;
  const std::ptrdiff_t columns = method_->law().alpha().ops;
  for (auto row = kept.begin(); row != kept.end(); row += columns)
    r.kept.emplace_back(row, row + columns);
  const double timed = static_cast<double>(std::max<std::int64_t>(1, loop.steps_timed()));
  architecture_times_.enter(timed, r.architecture_step_ms, r.architecture_phases);
  weight_times_.enter(timed, r.weight_step_ms, r.weight_phases);
  enter_evidence(loop, found, r);
  folder_.append_log(to_json(r));
  folder_.write_genotype(r.genotype);
  observer_.on_epoch(r);
  for (const std::string& warning : r.warnings)
    observer_.on_message("warning, epoch " + std::to_string(r.epoch) + ": " + warning);
}

void SearchTask::enter_evidence(const RunLoop& loop, const Architecture& found, EpochRecord& r) {
  EvidenceRecord& e = evidence_record_;
  r.seconds = {{"train", loop.train_seconds()}, {"evaluation", evaluation_seconds_}};
  if (e.trajectory) r.seconds["trajectory"] = e.trajectory_seconds;
  if (e.hessian_seconds > 0) r.seconds["hessian"] = e.hessian_seconds;
  r.trajectory = std::move(e.trajectory);
  r.hessian = std::move(e.hessian);
  r.warnings = std::move(e.warnings);
  std::optional<double> eigenvalue;
  if (r.hessian) eigenvalue = r.hessian->mu.eigenvalue;
  Verdict verdict =
      evidence_.judge({r.epoch, found.skips, found.places, r.val_loss, eigenvalue, found.genotype});
  r.warnings.insert(r.warnings.end(), verdict.warnings.begin(), verdict.warnings.end());
  ending_ = std::move(verdict.ending);
  if (!ending_) return;
  r.stopped_on = to_string(ending_->alarm);
  r.good_epoch = ending_->good_epoch;
}

void SearchTask::archive(StateArchive& a, RunProgress& progress) {
  progress.archive(a);
  std::uint32_t draws = a.loading() ? 0 : trainer_->draws();
  std::vector<std::int64_t> kept;
  if (!a.loading()) kept.assign(supernet_->options().kept.begin(), supernet_->options().kept.end());
  a.value("stage", stage_);
  a.list("kept", kept);
  a.value("draws", draws);
  if (inputs_.cost) archive_cost(a);
  if (a.loading()) rebuild(a.path(), progress.epoch, kept);
  a.parameters(supernet_->parameters());
  method_->archive(a);
  if (a.loading()) trainer_->set_draws(draws);
  archive_selection(a);
}

std::unique_ptr<Selection> SearchTask::make_selection() const {
  EdgeWeights theta = method_->law().mean();
  const std::vector<double> weights = method_->law().edge_weights();
  for (std::size_t edge = 0; edge < weights.size(); ++edge) theta[edge].push_back(weights[edge]);
  if (options_.select == "sampled")
    return std::make_unique<SampledSelection>(space(), options_.none_op, theta,
                                              options_.select_cells, options_.seed);
  return std::make_unique<PerturbationSelection>(space(), options_.none_op, theta,
                                                 supernet_->options().kept, options_.seed);
}

void SearchTask::archive_selection(StateArchive& a) {
  if (a.loading()) {
    const std::string held = a.has("select.done")    ? "perturbation"
                             : a.has("sampled.done") ? "sampled"
                                                     : "";
    if (held.empty()) return;
    if (options_.select != held)
      throw Error(a.path().string() + ": holds a selection, expected --select " + held);
    selection_ = make_selection();
  }
  if (!selection_) return;
  int tune = options_.select_tune;
  if (options_.select == "perturbation") a.value("select.tune", tune);
  if (tune != options_.select_tune)
    throw Error(a.path().string() + ": its selection was begun with --select-tune " +
                std::to_string(tune) + ", expected the same");
  selection_->archive(a);
}

bool SearchTask::conclude(RunLoop& loop) {
  if (options_.select == "argmax") return true;
  if (!selection_) {
    selection_ = make_selection();
    if (SelectionRun::passes_of(options_).tuning) supernet_->parameters().velocity().clear();
  }
  if (!selection_->complete()) {
    trainer_.reset();
    Allocator::of(device_).prepare(extents_);
    trainer_ = std::make_unique<SupernetTrainer>(
        *supernet_, method_->law(), nullptr,
        SelectionRun::trainer_options(inputs_.trainer(options_, stage())));
  }
  SelectionRun run(*selection_, {options_, *trainer_, batches_, folder_, observer_});
  if (!run.run(loop)) return false;
  run.end(to_json(selected_cell(), argmax_cell()));
  return true;
}

/// The costs of a resumed search may lie elsewhere, but have to be the same.
void SearchTask::archive_cost(StateArchive& a) const {
  std::uint32_t sum = inputs_.cost->checksum();
  a.value("cost.checksum", sum);
  if (sum != inputs_.cost->checksum())
    throw Error(a.path().string() + ": belongs to other costs than those of --cost " +
                options_.cost + ", expected those that the run was started with");
}

void SearchTask::rebuild(const std::filesystem::path& file, std::int64_t epoch,
                         const std::vector<std::int64_t>& kept) {
  // A stage's last checkpoint stands at the first epoch of the next one.
  const bool known = stage_ >= 1 && stage_ <= static_cast<std::int64_t>(stages_.size());
  if (!known || epoch < stage().first_epoch || epoch > stage().end_epoch())
    throw Error(file.string() + ": stage " + std::to_string(stage_) + " at epoch " +
                std::to_string(epoch + 1) + " does not match the run's stages");
  if (stage_ == 1) return begin();
  std::vector<std::uint8_t> now_kept;
  for (const std::int64_t k : kept) now_kept.push_back(k != 0 ? 1 : 0);
  method_->prune(now_kept);
  const SearchMemory memory =
      inputs_.plan_stage(options_, device_, first_memory_, stage(), now_kept);
  if (stage().anew) Allocator::of(device_).prepare(memory.extents);
  build(memory);
}

/// Prunes each edge to the operations with the largest alpha, and widens what they see or starts
/// anew.
void SearchTask::enter_next_stage(RunProgress& progress) {
  const MemoryPeak ended = progress.memory;
  ++stage_;
  const std::vector<std::uint8_t> kept = method_->choose_kept(stage().keep_ops);
  std::optional<StoredParameters> old;
  if (!stage().anew) old.emplace(supernet_->parameters());
  const std::uint32_t draws = trainer_->draws();
  trainer_.reset();
  supernet_.reset();
  const SearchMemory memory = inputs_.plan_stage(options_, device_, first_memory_, stage(), kept);
  Allocator::of(device_).reset_peak();
  Allocator::of(device_).prepare(memory.extents);
  if (stage().anew) method_->restart(stage_seed(options_, stage()));
  method_->prune(kept);
  build(memory);
  if (old) widen(*old, supernet_->parameters(), options_.seed, static_cast<std::uint32_t>(stage_));
  trainer_->set_draws(draws);
  progress.memory = {};
  tell_stage(ended, memory);
}

void SearchTask::tell_stage(const MemoryPeak& ended, const SearchMemory& memory) {
  observer_.on_message("stage " + std::to_string(stage_ - 1) + ": peak " + peak_text(ended));
  const int cells = memory.network.rebuild_cells;
  const std::string what = stage().anew ? std::to_string(stage().cells) + " cells, from the start, "
                                        : "K " + std::to_string(stage().partial_channels) + ", ";
  observer_.on_message(
      "stage " + std::to_string(stage_) + ": " + what + std::to_string(stage().keep_ops) +
      " operations an edge, " + std::to_string(supernet_->parameters().count()) +
      " parameters, planned peak " + format_bytes(memory.peak_bytes) +
      (stage().anew ? "" : " of " + format_bytes(first_memory_.peak_bytes)) +
      (cells ? ", raw outputs of " + std::to_string(cells) + " cells rebuilt" : ""));
}

FoundCell SearchTask::cell(const Architecture& found) const {
  FoundCell cell;
  cell.genotype = found.genotype;
  cell.table = table_entry(found);
  if (cell.table) cell.place = place_of(*inputs_.table, *found.number, options_.dataset);
  if (inputs_.cost) {
    const double cost = inputs_.cost->of(found, space(), options_.none_op);
    cell.cost = {cost, cost / inputs_.cost->mean, inputs_.cost->unit};
  }
  return cell;
}

FoundCell SearchTask::argmax_cell() const {
  return cell(ending_ ? space().parse(ending_->good_genotype, "genotype") : chosen());
}

SearchResult SearchTask::result(const RunLoop& loop) const {
  SearchResult result;
  static_cast<FoundCell&>(result) = argmax_cell();
  if (selection_ && selection_->complete()) {
    result.argmax = argmax_cell();
    static_cast<FoundCell&>(result) = selected_cell();
  }
  folder_.write_genotype(result.genotype);
  result.epochs_done = loop.epochs_done();
  result.genotype_epoch = ending_ ? ending_->good_epoch : result.epochs_done;
  if (ending_) result.stopped_on = to_string(ending_->alarm);
  result.interrupted_by_signal = loop.stopped_by_signal();
  result.out = folder_.path();
  result.seconds = loop.seconds();
  return result;
}

}  // namespace drnas
