// SPDX-License-Identifier: MIT
// The seam of search spaces: all that the rest asks of one. nas/space/registry.cpp lists them; what
// only one space knows lies in its own folder.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nas/space/accuracy_table.h"
#include "nas/space/architecture.h"
#include "nas/space/cell_graph.h"
#include "nas/space/derived_network.h"
#include "nas/space/operation_cost.h"
#include "nas/space/supernet.h"

namespace drnas {

/// What of a space is a name, a number or a yes or no.
struct SpaceFacts {
  std::string_view name;   ///< as --space takes it
  std::string_view title;  ///< in words
  std::string_view cells;  ///< what --cells counts, after a number
  int least_cells;         ///< that a network has
  bool half_storage;       ///< supernets can store activations in bfloat16 (CUDA)
  bool clips_with_alpha;   ///< the published code's norm that clips weight gradients includes
                           ///< dL_train/dalpha
  bool imagenet_stem;      ///< networks can start with three convolutions of stride 2
  bool none_option;        ///< `none` can be made a candidate operation
  bool auxiliary_head;     ///< derived networks can have one, and drop path
};

/// Weights of operations, [edges][operations]: theta, or what an architecture is read off by.
using EdgeWeights = std::vector<std::vector<double>>;

/// What a selection decides in one kind of cell (SearchSpace::decisions): the operations of some
/// rows of theta, and which `inputs` of the rows that lead to a node stay.
struct CellDecisions {
  std::vector<int> edges;
  std::vector<std::vector<int>> nodes = {};
  int inputs = 0;
};

/// A search space: edges that each mix candidate operations. Immutable, one object a space.
class SearchSpace {
 public:
  virtual ~SearchSpace() = default;
  virtual const SpaceFacts& facts() const = 0;

  /// The columns of theta, `none` among them where it is a candidate.
  virtual std::vector<std::string> operations(bool none) const = 0;
  /// The rows of theta, for messages: "3<-1", "normal 2<-0".
  virtual std::vector<std::string> edges() const = 0;
  /// The columns of theta by the memory that an operation takes, raw outputs and their backward
  /// pass, the largest first.
  virtual std::vector<int> operations_by_memory(bool none) const = 0;
  /// Cells with mixed edges, which SupernetOptions::rebuild_cells counts.
  virtual int mixed_cells(const SupernetOptions& options) const = 0;
  /// Multiply-adds of all convolutions in one image's forward pass, nothing pruned.
  virtual double multiply_adds(const SupernetOptions& options, int image_size) const = 0;

  /// For each row of theta: where its operations run in a derived network of these sizes, whose
  /// operations see all channels. Empty: the space states no costs.
  virtual std::vector<std::vector<EdgeShape>> edge_shapes(const SupernetOptions& /*options*/,
                                                          int /*image_size*/) const {
    return {};
  }
  /// Of the operation in a column of theta.
  virtual OperationCost operation_cost(int /*column*/, bool /*none*/,
                                       const OperationShape& /*shape*/) const {
    return {};
  }
  /// The same operation on its own; null where it does nothing.
  virtual std::unique_ptr<SingleOperation> make_operation(int /*column*/, bool /*none*/,
                                                          const OperationShape& /*shape*/,
                                                          Device /*device*/) const {
    return nullptr;
  }

  /// Allocates and initialises all weights.
  virtual std::unique_ptr<Supernet> make_supernet(const SupernetOptions& options,
                                                  std::uint64_t seed, Device device) const = 0;
  /// The same; `seed` also keys drop path. Throws Error where an operation does not fit (an odd
  /// width at stride 2, an image too small for the auxiliary head).
  virtual std::unique_ptr<DerivedNetwork> make_network(const DerivedOptions& options,
                                                       std::uint64_t seed, Device device) const = 0;

  /// The architecture that weights stand for. Throws Error for another shape or a value that is not
  /// a number.
  virtual Architecture derive(const EdgeWeights& weights, bool none) const = 0;
  /// The same of at most `most` identities (P-DARTS, Chen et al., ICCV 2019): as long as the normal
  /// cell has more, the weakest of them loses its weight and the cell is read off again. Throws
  /// Error where the space has no such cell, or where an edge is left without operation.
  virtual Architecture derive_with_skips(const EdgeWeights& weights, bool none, int most) const;
  /// The choices that a found cell stands for, kind by kind of cell: a node that keeps all of its
  /// inputs has none.
  virtual std::vector<CellDecisions> decisions() const;
  /// Reads a genotype in any form that the field uses. Throws Error, beginning with `what`, that
  /// says where it goes wrong and what was expected.
  virtual Architecture parse(std::string_view text, const std::string& what) const = 0;
  /// Does the text look like a genotype of this space, right or wrong?
  virtual bool recognises(std::string_view text) const = 0;
  /// What such a text looks like, for messages.
  virtual std::string_view genotype_form() const = 0;
  virtual std::span<const NamedGenotype> named_genotypes() const = 0;

  /// Accuracies of all architectures: those of a file, or where it is empty those that the library
  /// carries; null where there are none. Throws Error naming file and line, or that the space has
  /// no tables.
  virtual std::shared_ptr<const AccuracyTable> accuracy_table(
      const std::filesystem::path& file) const = 0;

  /// The cells of a genotype. Throws as parse() does.
  virtual std::vector<CellGraph> cell_graphs(const std::string& genotype) const = 0;
  /// The edges of a cell's graph as FROM→TO, in the order of theta's rows of one kind of cell.
  virtual std::vector<std::string> edge_labels() const = 0;
};

/// Extents of theta.
struct ThetaShape {
  int edges, operations;
};
ThetaShape theta_shape(const SearchSpace& space, bool none = false);
/// The same with the column of SupernetOptions::edge_weights.
ThetaShape theta_shape(const SupernetOptions& network);
/// A row and a column of theta.
struct ThetaEntry {
  std::size_t edge, operation;
};
/// Those of an architecture's choices, as far as theta has them.
std::vector<ThetaEntry> entries_of(const Architecture& architecture, const SearchSpace& space,
                                   bool none);
/// The node that each edge enters, numbered over all kinds of cells; edges of one node are
/// adjacent.
std::vector<int> node_of_edge(const SearchSpace& space);
/// [edges * operations]: 1 for the `count` operations of each edge that take the most memory, of
/// those that the network has, for plans before alpha is known.
std::vector<std::uint8_t> heaviest_operations(const SupernetOptions& network, int count);

/// All spaces.
std::span<const SearchSpace* const> search_spaces();
/// Adds a program's own, which lives as long as the program, before options are read. Throws Error
/// where the name is taken.
void add_search_space(const SearchSpace& space);
/// "nas-bench-201 or darts".
std::string search_space_names();
/// Null for an unknown name.
const SearchSpace* find_search_space(std::string_view name);
/// Throws Error that lists the known ones.
const SearchSpace& search_space(std::string_view name);

}  // namespace drnas
