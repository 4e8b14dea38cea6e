// SPDX-License-Identifier: MIT
#include "tests/extending/toy_method.h"

#include "engine/stream.h"
#include "tests/extending/toy_kernel.h"

namespace drnas::toys {

RandomPathLaw::RandomPathLaw(Alpha alpha, std::uint64_t seed)
    : Law(std::move(alpha)), seed_(seed), theta_(alpha_.make_table()) {}

const Tensor& RandomPathLaw::draw(const std::uint32_t* step) {
  dispatch(theta_.device(), [&]<Device D>() {
    execute([&] {
      draw_paths<D>({alpha_.edges, alpha_.ops, seed_, step, alpha_.kept_data()},
                    theta_.data<double>(), compute_stream(D));
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
  RandomPaths(Alpha alpha, std::uint64_t seed) : law_(std::move(alpha), seed) {}

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
  // The draws are numbered by the search.
  void archive(StateArchive& a) override { a.table("alpha", law_.alpha().values); }

 private:
  void update(const Tensor&, const Tensor&) override {}  // no pass asks for it

  RandomPathLaw law_;
};

}  // namespace

const MethodInfo random_paths{.name = "random-paths",
                              .summary = "one random operation an edge",
                              .draws_from_dirichlet = false,
                              .make = [](const MethodOptions& o) -> std::unique_ptr<SearchMethod> {
                                return std::make_unique<RandomPaths>(
                                    Alpha(o.edges, o.ops, o.seed, o.device), o.seed);
                              }};

}  // namespace drnas::toys
