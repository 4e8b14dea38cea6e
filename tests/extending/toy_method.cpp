// SPDX-License-Identifier: MIT
#include "tests/extending/toy_method.h"

#include "engine/stream.h"
#include "tests/extending/toy_kernel.h"

namespace drnas::toys {

RandomPathLaw::RandomPathLaw(Alpha alpha) : Law(std::move(alpha)), theta_(alpha_.make_table()) {}

const Tensor& RandomPathLaw::draw(const std::uint32_t* step) {
  dispatch(theta_.device(), [&]<Device D>() {
    execute([&] {
      draw_paths<D>({alpha_.edges, alpha_.ops, 7, step}, theta_.data<double>(), compute_stream(D));
    });
  });
  return theta_;
}

std::vector<std::vector<double>> RandomPathLaw::mean() const {
  return std::vector<std::vector<double>>(static_cast<std::size_t>(alpha_.edges),
                                          std::vector<double>(alpha_.ops, 1.0 / alpha_.ops));
}

namespace {

class RandomPaths final : public SearchMethod, private AlphaUpdate {
 public:
  explicit RandomPaths(Alpha alpha) : law_(std::move(alpha)) {}

  Law& law() override { return law_; }
  AlphaUpdate& alpha_update() override { return *this; }

  MethodResult step(const MethodStep& s) override {
    return {s.trainer.run(passes::weights, s.weight_batches.next()), {}};
  }
  std::int64_t alpha_batches_used() const override { return 0; }

  Architecture choose(const SearchSpace& space, bool none) const override {
    return space.derive(law_.mean(), none);
  }
  std::vector<std::uint8_t> choose_kept(int keep) const override {
    return keep_largest(law_.mean(), law_.alpha().kept_entries(), keep);
  }
  void prune(const std::vector<std::uint8_t>& mask) override { law_.alpha().prune(mask); }
  void archive(StateArchive&) override {}  // the draws are numbered by the search

 private:
  void update(const Tensor&, const Tensor&) override {}  // no pass asks for it

  RandomPathLaw law_;
};

}  // namespace

const MethodInfo random_paths{
    .name = "random-paths",
    .summary = "one random operation an edge",
    .draws_from_dirichlet = false,
    .make = [](const MethodOptions& o) -> std::unique_ptr<SearchMethod> {
      return std::make_unique<RandomPaths>(Alpha(o.edges, o.ops, o.seed, o.device));
    }};

}  // namespace drnas::toys
