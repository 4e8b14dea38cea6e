// SPDX-License-Identifier: MIT
// Passes that run only operations whose mixing weight is not zero: the same results as where all
// run, and nothing of the others moves.
#include "engine/stream.h"
#include "nas/space/darts/darts_space.h"
#include "nas/space/nb201/nb201_space.h"
#include "nas/space/search_space.h"
#include "nas/step/supernet_trainer.h"
#include "tests/nas/space/given_theta.h"
#include "tests/support/reference.h"

using namespace drnas;
using namespace drnas::test;

namespace {

#ifdef DRNAS_SIMT
constexpr Device device = Device::cuda;  // the host executor runs this file as well, slowly
constexpr int draws = 1, differences = 3;
#else
constexpr Device device = Device::cpu;
constexpr int draws = 3, differences = 40;
#endif

struct Net {
  std::unique_ptr<Supernet> supernet;
  GivenTheta law;
  SupernetTrainer trainer;
  DeviceBatch batch;
  int edges, ops;

  Net(const SearchSpace& space, int partial_channels, const Doubles& pixels,
      RawOutputs mode = RawOutputs::rebuild_1x1)
      : supernet(make_supernet({.channels = 8,
                                .cells = space.facts().least_cells,
                                .classes = 4,
                                .partial_channels = partial_channels,
                                .raw_outputs = mode,
                                .space = &space},
                               5, device)),
        trainer(*supernet, law, nullptr, {.clip_with_alpha = false, .capture = false}),
        batch(4, 16, device),
        edges(theta_shape(space).edges),
        ops(theta_shape(space).operations) {
    batch.assign(std::vector<float>(pixels.begin(), pixels.end()),
                 std::vector<std::int32_t>{0, 3, 1, 2});
  }
  /// In evaluation mode, with or without a gradient.
  PassOutcome evaluate(const Doubles& theta, bool differentiate) {
    const PassSetting setting{.name = differentiate ? "slope" : "value",
                              .theta = PassTheta::given,
                              .norm = PassNorm::running,
                              .theta_gradient = differentiate};
    trainer.give_theta(theta);
    return {trainer.run(setting, batch).loss, download<double>(trainer.theta_gradient()), {}, {}};
  }
  /// From the running statistics that the network has, which stay unless they are to move.
  PassOutcome run(const Doubles& theta, OperationsRun which, bool moves = false) {
    const PassSetting setting{.name = which == OperationsRun::all        ? "all"
                                      : which == OperationsRun::weighted ? "some"
                                                                         : "gates",
                              .theta = PassTheta::given,
                              .weight_gradients = true,
                              .theta_gradient = true,
                              .run = which};
    const ParameterStore& store = supernet->parameters();
    const std::vector<float> before = download<float>(store.statistics_buffer());
    trainer.give_theta(theta);
    PassOutcome o{trainer.run(setting, batch).loss, download<double>(trainer.theta_gradient()),
                  download<float>(store.gradients()), download<float>(store.statistics_buffer())};
    if (!moves) upload<float>(before, store.statistics_buffer());
    return o;
  }
};

/// One operation an edge, now and then none or two.
Doubles sampled(std::mt19937_64& rng, int edges, int ops) {
  Doubles theta(static_cast<std::size_t>(edges) * ops);
  for (int e = 0; e < edges; ++e) {
    for (unsigned k = rng() % 8 == 0 ? rng() % 3 : 1; k > 0; --k)
      theta[static_cast<std::size_t>(e) * ops + rng() % ops] = 0.5 + 0.1 * static_cast<double>(k);
  }
  return theta;
}

template <class T>
double largest(const std::vector<T>& values) {
  double most = 0;
  for (const T v : values) most = std::max(most, std::abs(static_cast<double>(v)));
  return most;
}

}  // namespace

TEST_CASE("single path: what runs gives the same results, what does not stays") {
  auto rng = generator(321);
  for (const SearchSpace* space : {&nb201_space(), &darts_space()})
    for (const int parts : {1, 2}) {
      CAPTURE(space->facts().name);
      CAPTURE(parts);
      Net net(*space, parts, normals(rng, 4 * 16 * 16 * 3));
      const std::vector<float> start =
          download<float>(net.supernet->parameters().statistics_buffer());
      for (int draw = 0; draw < draws; ++draw) {
        const Doubles theta = sampled(rng, net.edges, net.ops);
        const PassOutcome all = net.run(theta, OperationsRun::all),
                          some = net.run(theta, OperationsRun::weighted);
        CHECK(some.loss == doctest::Approx(all.loss).epsilon(1e-5));
        const double scale = largest(all.dtheta), weight_scale = largest(all.gradients);
        for (std::size_t i = 0; i < theta.size(); ++i) {
          // A weight of zero leaves its operation out, and its derivative with it.
          if (theta[i] != 0) CHECK(std::abs(some.dtheta[i] - all.dtheta[i]) < 1e-4 * scale);
          if (theta[i] == 0) CHECK(some.dtheta[i] == 0);
        }
        // A number added to a node has the same derivative on all of its edges.
        const PassOutcome gates = net.run(theta, OperationsRun::gates);
        for (int e = 0; e < net.edges; ++e) {
          double number = 0;
          for (int o = 0; o < net.ops; ++o) {
            const std::size_t i = static_cast<std::size_t>(e) * net.ops + o;
            if (theta[i] != 0) CHECK(gates.dtheta[i] == some.dtheta[i]);
            if (theta[i] != 0) continue;
            if (number == 0) number = gates.dtheta[i];
            CHECK(gates.dtheta[i] == number);
          }
        }
        // All that a pass computes with weight zero is zero too.
        for (std::size_t i = 0; i < all.gradients.size(); ++i)
          CHECK(std::abs(some.gradients[i] - all.gradients[i]) < 1e-3 * weight_scale);
        // A statistic moves as where all run, or not at all.
        int moved = 0, rested = 0;
        for (std::size_t i = 0; i < start.size(); ++i) {
          const bool same = std::abs(some.statistics[i] - all.statistics[i]) <
                            1e-4 * (1 + std::abs(all.statistics[i]));
          CHECK((same || some.statistics[i] == start[i]));
          moved += some.statistics[i] != start[i];
          rested += some.statistics[i] == start[i] && all.statistics[i] != start[i];
        }
        CHECK(moved > 0);
        CHECK(rested > moved);
      }
    }
}

TEST_CASE(
    "evaluation mode: fixed statistics in the gradient of theta, whatever is kept or rebuilt") {
  auto rng = generator(322);
  for (const SearchSpace* space : {&nb201_space(), &darts_space()}) {
    CAPTURE(space->facts().name);
    const Doubles pixels = normals(rng, 4 * 16 * 16 * 3);
    Doubles theta, first;
    std::uniform_real_distribution<double> share(0.1, 0.4);
    for (const RawOutputs mode :
         {RawOutputs::store, RawOutputs::rebuild_1x1, RawOutputs::rebuild}) {
      CAPTURE(to_string(mode));
      Net net(*space, 2, pixels, mode);
      while (static_cast<int>(theta.size()) < net.edges * net.ops) theta.push_back(share(rng));
      // Running statistics that are not those of the batch.
      const Doubles by_batch = net.run(theta, OperationsRun::all, true).dtheta;
      const PassOutcome here = net.evaluate(theta, true);
      const Doubles& gradient = here.dtheta;
      if (first.empty()) {
        first = gradient;
        constexpr double h = 3e-4;  // short, as ReLUs change side
        double error = 0, otherwise = 0;
        for (std::size_t i = 0; i < theta.size(); i += 1 + theta.size() / differences) {
          Doubles more = theta, less = theta;
          more[i] += h;
          less[i] -= h;
          const double slope =
              (net.evaluate(more, false).loss - net.evaluate(less, false).loss) / (2 * h);
          error = std::max(error, std::abs(slope - gradient[i]));
          otherwise = std::max(otherwise, std::abs(slope - by_batch[i]));
        }
        // A rounding of each of the two losses, and 2 % for what the difference leaves out.
        const double bound = here.loss * float_epsilon / h + 0.02 * largest(gradient);
        CHECK(error < bound);
        // The gradient through the batch's statistics would not pass.
        CHECK(otherwise > 3 * bound);
      }
      CHECK(gradient == first);
    }
  }
}
