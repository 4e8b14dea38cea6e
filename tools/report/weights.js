// SPDX-License-Identifier: MIT
// Figures of the concentrations of an epoch: mean weights, entropy, sums.
'use strict';

(() => {
  drnas.kept = (epoch, row, op) => !epoch.kept || !epoch.kept[row] || Boolean(epoch.kept[row][op]);

  /** Weights of a row that may be counted: non-negative and finite, 0 for pruned operations. */
  function counted(epoch, row) {
    return epoch.concentrations[row].map(
        (value, op) =>
            (drnas.kept(epoch, row, op) && drnas.finite(value) && value > 0 ? value : 0));
  }

  /** Mean of the Dirichlet of a row, null where the row has no weight. */
  drnas.meanWeights = (epoch, row) => {
    if (!epoch.concentrations || !epoch.concentrations[row]) return null;
    const values = counted(epoch, row);
    const sum = values.reduce((a, b) => a + b, 0);
    return sum > 0 ? values.map((value) => value / sum) : null;
  };

  /** Entropy of a row's mean weights in nats. */
  drnas.entropy = (epoch, row) => {
    const weights = drnas.meanWeights(epoch, row);
    return weights && weights.reduce((sum, w) => (w > 0 ? sum - w * Math.log(w) : sum), 0);
  };

  const overRows = (epoch, value) => {
    const values =
        (epoch.concentrations || []).map((ignored, row) => value(epoch, row)).filter(drnas.finite);
    return values.length ? drnas.mean(values) : null;
  };
  drnas.meanEntropy = (epoch) => overRows(epoch, drnas.entropy);
  drnas.meanSum = (epoch) =>
      overRows(epoch, (e, row) => counted(e, row).reduce((a, b) => a + b, 0) || null);
  /** Largest mean weight of a row, averaged over the rows. */
  drnas.meanLargest = (epoch) => overRows(epoch, (e, row) => {
    const weights = drnas.meanWeights(e, row);
    return weights && Math.max(...weights);
  });

  /** Rows of a run with their labels, cell by cell: { cell, edge, row }. */
  drnas.rows = (run) => run.cells.flatMap(
      (cell) =>
          (cell.edges || []).map((edge, i) => ({cell, edge, row: (cell.first_row || 0) + i})));

  const quantities = {
    theta: (epoch, row) => drnas.meanWeights(epoch, row),
    beta: (epoch, row) => (epoch.concentrations && epoch.concentrations[row]) || null,
  };
  drnas.weightRow = (epoch, row, quantity) => quantities[quantity](epoch, row);

  /** Range of a heat map: small differences stay pale instead of filling all of it. */
  drnas.heatRange = (low, high) =>
      (low <= high ? [Math.min(low, high - 0.1 * Math.abs(high)), high] : [0, 1]);

  /** Range of the values of a cell's kept operations over all epochs. */
  drnas.weightRange = (run, cell, quantity) => {
    let low = Infinity, high = -Infinity;
    for (const epoch of run.epochs)
      for (const {row} of drnas.rows(run).filter((r) => r.cell === cell)) {
        const values = drnas.weightRow(epoch, row, quantity);
        if (values)
          values.forEach((value, op) => {
            if (!drnas.finite(value) || !drnas.kept(epoch, row, op)) return;
            low = Math.min(low, value);
            high = Math.max(high, value);
          });
      }
    return drnas.heatRange(low, high);
  };
})();
