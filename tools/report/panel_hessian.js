// SPDX-License-Identifier: MIT
// The Hessian with respect to the architecture, and the bound of Proposition 1.
'use strict';

(() => {
  const {element, number} = drnas;
  const figures = [
    ['eigenvalue', 'dominant eigenvalue'], ['least_eigenvalue', 'least eigenvalue'],
    ['spectral_norm', 'spectral norm'], ['norm', 'Frobenius norm'], ['trace', 'trace']
  ];
  const variables = [['mu', 'μ'], ['theta', 'θ']];
  const at = (path) => (epoch) => number(epoch, path);

  function curvatureCharts(chosen) {
    const [, title] = figures.find(([key]) => key === chosen.figure);
    return variables.flatMap(([key, letter]) => {
      const value = at(`hessian.${key}.${chosen.figure}`);
      const values = drnas.runs.flatMap((run) => run.epochs.map(value)).filter(drnas.finite);
      const log = chosen.log && values.every((v) => v > 0);
      return drnas.overlay({
        title: `${title[0].toUpperCase()}${title.slice(1)} with respect to ${letter}`,
        warnings: true,
        log,
        note: chosen.log && !log ? 'Linear scale: some values are not positive.' : null,
        variants: [{label: title, value, sparse: true}]
      });
    });
  }

  const sparse = (run, value) => drnas.series(run, value).filter(([, y]) => drnas.finite(y));

  const bound = at('hessian.bound.value');

  /** The expectation's mean with two standard errors to both sides. */
  function expectationErrors(run) {
    const all = run.epochs.map((epoch) => {
      const [mean, deviation, samples] = ['mean', 'deviation', 'samples'].map(
          (key) => number(epoch, `hessian.expectation.${key}`));
      if (mean === null || deviation === null || !samples) return null;
      const error = deviation / Math.sqrt(samples);
      return [epoch.epoch, mean - 2 * error, mean + 2 * error];
    });
    return all.filter(Boolean);
  }

  /** Loss at the mean, trace term as the band above it, their sum and the expectation. */
  function boundLayers(run) {
    const gap = run.epochs.filter((epoch) => bound(epoch) !== null).map((epoch) => {
      const ends = [number(epoch, 'hessian.bound.loss'), bound(epoch)];
      return [epoch.epoch, Math.min(...ends), Math.max(...ends)];
    });
    const color = drnas.color(0);
    const line = (label, path, style) =>
        ({type: 'line', points: sparse(run, at(path)), color, dots: true, label, ...style});
    const values = sparse(run, at('hessian.bound.trace_term'));
    const layers = [
      {type: 'band', points: gap, values, color, opacity: 0.2, label: 'trace term'},
      line('loss at the mean', 'hessian.bound.loss', {dash: '7 4'}),
      line('bound: loss + trace term', 'hessian.bound.value'),
      line('sampled expectation', 'hessian.expectation.mean', {color: drnas.color(1)}),
    ];
    return layers.filter((layer) => layer.points.length);
  }

  function boundChart(run) {
    const layers = boundLayers(run);
    if (!layers.length) return [];
    const errors = {type: 'error', points: expectationErrors(run), color: drnas.color(1)};
    const note = [
      drnas.runs.length > 1 ? `${run.name}.` : null,
      'Bars: ± two standard errors of the sampled mean. The bound holds approximately, and where',
      'the Hessian with respect to μ is positive semi-definite.'
    ];
    return [drnas.chart({
      title: 'Proposition 1: bound and expected loss',
      unit: 'cross entropy',
      note: note.filter(Boolean).join(' '),
      x: drnas.epochRange([run]),
      layers: [...layers, errors, ...drnas.stageStarts(run)],
      legend: layers.map((layer) => {
        const box = layer.type === 'band';
        return {...layer, box, opacity: box ? 0.4 : 1};
      })
    })];
  }

  function boundTable(run) {
    const rows = run.epochs.filter((epoch) => number(epoch, 'hessian.bound.value') !== null);
    if (!rows.length) return [];
    const columns = [
      ['Loss at the mean', 'bound.loss'], ['Trace term', 'bound.trace_term'],
      ['Bound', 'bound.value'], ['Sampled mean', 'expectation.mean'],
      ['Deviation', 'expectation.deviation'], ['δ', 'bound.delta'],
      ['Least eigenvalue (μ)', 'mu.least_eigenvalue']
    ];
    return [element(
        'details', {class: 'numbers'},
        element(
            'summary', {},
            drnas.runs.length > 1 ? `Bound in numbers, ${run.name}` : 'Bound in numbers'),
        element(
            'div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Bound in numbers'},
            element(
                'table', {},
                element(
                    'thead', {},
                    element(
                        'tr', {}, element('th', {scope: 'col', class: 'figure'}, 'Epoch'),
                        columns.map(
                            ([title]) => element('th', {scope: 'col', class: 'figure'}, title)))),
                element(
                    'tbody', {},
                    rows.map(
                        (epoch) => element(
                            'tr', {},
                            element('th', {scope: 'row', class: 'figure'}, String(epoch.epoch)),
                            columns.map(
                                ([, path]) => element(
                                    'td', {class: 'figure'},
                                    drnas.format.number(number(epoch.hessian, path))))))))))];
  }

  drnas.hessianPanel = () => {
    const there = figures.filter(
        ([key]) => variables.some(([name]) => drnas.any(at(`hessian.${name}.${key}`))));
    if (!there.length) return [];
    const chosen = {figure: there[0][0], log: false};
    const body = drnas.charts(
        () =>
            [...curvatureCharts(chosen), ...boundChart(drnas.detailWith(at('hessian.bound.value'))),
             ...(drnas.runs.length > 1 ? drnas.overlay({
               title: 'Trace term of the bound',
               unit: 'cross entropy',
               variants:
                   [{label: 'trace term', value: at('hessian.bound.trace_term'), sparse: true}]
             }) :
                                         [])]);
    const table = drnas.live(() => boundTable(drnas.detailWith(at('hessian.bound.value'))));
    return [
      element(
          'div', {class: 'controls'},
          drnas.select(
              'Show', there, chosen.figure,
              (key) => {
                chosen.figure = key;
                body.redraw();
              }),
          drnas.checkbox(
              'Logarithmic scale', false,
              (log) => {
                chosen.log = log;
                body.redraw();
              })),
      body, table
    ];
  };
})();
