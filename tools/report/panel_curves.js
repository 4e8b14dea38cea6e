// SPDX-License-Identifier: MIT
// Loss and accuracy, the trajectory of sampled cells, measures of exploration.
'use strict';

(() => {
  const {element, number} = drnas;
  const datasets = ['cifar10', 'cifar100', 'imagenet16_120'];
  const at = (path) => (epoch) => number(epoch, path);

  /** Which run the panel shows, where there are several. */
  drnas.detailName = () => drnas.live(
      () =>
          (drnas.runs.length < 2 ?
               [] :
               element(
                   'p', {class: 'note before'}, 'Run ', element('b', {}, drnas.detail().name),
                   ', chosen by “In detail”.')));
  /** Charts that follow what the reader chooses, with what their bands mean. */
  drnas.charts = (draw) => drnas.live(() => {
    const note = drnas.bandNote();
    return [
      note ? element('p', {class: 'note before'}, note) : null,
      element('div', {class: 'charts'}, draw())
    ];
  });

  drnas.curvesPanel = () => {
    let log = false;
    const draw = () => {
      const pair =
          (a, b) => [{label: 'training', value: at(a)}, {label: 'validation', value: at(b)}];
      return [
        ...drnas.overlay({
          title: 'Loss',
          unit: 'cross entropy',
          variants: pair('train_loss', 'val_loss'),
          warnings: true,
          log
        }),
        ...drnas.overlay({
          title: 'Accuracy',
          unit: '%',
          show: drnas.format.percent,
          variants: pair('train_top1', 'val_top1'),
          warnings: true
        }),
        ...drnas.overlay({
          title: 'Learning rate',
          variants: [{label: 'weights', value: at('learning_rate')}],
          zero: true
        }),
      ];
    };
    if (!draw().length) return [];
    const body = drnas.charts(draw);
    return [
      element(
          'div', {class: 'controls'},
          drnas.checkbox(
              'Logarithmic loss', log,
              (checked) => {
                log = checked;
                body.redraw();
              })),
      body
    ];
  };

  function bandChart(run, name) {
    const with_ = run.epochs.filter((epoch) => epoch.trajectory && epoch.trajectory[name]);
    if (!with_.length) return [];
    const part = (key) => with_.map((epoch) => [epoch.epoch, number(epoch.trajectory[name], key)]);
    const band = (low, high) => with_.map(
        (epoch) =>
            [epoch.epoch, number(epoch.trajectory[name], low),
             number(epoch.trajectory[name], high)]);
    const text = (low, high) => with_.map((epoch) => {
      const t = epoch.trajectory[name], point = [epoch.epoch, number(t, high)];
      point.text = `${drnas.format.percent(t[low])} to ${drnas.format.percent(t[high])}`;
      return point;
    });
    const color = drnas.color(0), other = drnas.color(1), show = drnas.format.percent;
    const cell = run.epochs.map((epoch) => [epoch.epoch, number(epoch, `table.${name}`)]);
    const layers = [
      {
        type: 'band',
        points: band('min', 'max'),
        values: text('min', 'max'),
        color,
        opacity: 0.14,
        label: 'smallest to largest'
      },
      {
        type: 'band',
        points: band('q1', 'q3'),
        values: text('q1', 'q3'),
        color,
        opacity: 0.3,
        label: 'quartiles'
      },
      {type: 'line', points: part('median'), color, label: 'median'},
      ...(cell.some(([, y]) => drnas.finite(y)) ?
              [{type: 'line', points: cell, color: other, dash: '7 4', label: 'mean cell'}] :
              []),
    ];
    const samples = number(with_[with_.length - 1], 'trajectory.samples');
    return [drnas.chart({
      title: `${drnas.format.dataset(name)}: sampled cells`,
      unit: '% test accuracy',
      show,
      x: drnas.epochRange([run]),
      layers: [...layers, ...drnas.stageStarts(run)],
      note: [
        drnas.runs.length > 1 ? `${run.name}.` : null,
        samples ? `${samples} cells sampled each epoch.` : null
      ].filter(Boolean)
                .join(' '),
      legend: layers.map((layer) => ({
                           ...layer,
                           box: layer.type === 'band',
                           opacity: layer.type === 'band' ? layer.opacity + 0.15 : 1
                         }))
    })];
  }

  drnas.trajectoryPanel = () => {
    const there = datasets.filter(
        (name) => drnas.any(at(`trajectory.${name}.median`)) || drnas.any(at(`table.${name}`)));
    if (!there.length) return [];
    let name = there[0];
    const draw = () =>
        [...bandChart(drnas.detailWith(at(`trajectory.${name}.median`)), name),
         ...drnas.overlay({
           title: `${drnas.format.dataset(name)}: cell of the mean weights`,
           unit: '% test accuracy',
           show: drnas.format.percent,
           warnings: true,
           variants: [{label: 'mean cell', value: at(`table.${name}`)}]
         }),
         ...(drnas.runs.length > 1 ? drnas.overlay({
           title: `${drnas.format.dataset(name)}: median of sampled cells`,
           unit: '% test accuracy',
           show: drnas.format.percent,
           variants: [{label: 'median', value: at(`trajectory.${name}.median`)}]
         }) :
                                     []),
         ...(drnas.runs.length > 1 ? drnas.overlay({
           title: `${drnas.format.dataset(name)}: spread between quartiles`,
           unit: 'percentage points',
           zero: true,
           variants: [{
             label: 'q3 − q1',
             value: (epoch) => {
               const [low, high] =
                   [at(`trajectory.${name}.q1`)(epoch), at(`trajectory.${name}.q3`)(epoch)];
               return low === null || high === null ? null : high - low;
             }
           }]
         }) :
                                     []),
    ];
    const body = drnas.charts(draw);
    const choice = there.length > 1 ?
        element(
            'div', {class: 'controls'},
            drnas.choice(
                'Data set', there.map((key) => [key, drnas.format.dataset(key)]), name,
                (key) => {
                  name = key;
                  body.redraw();
                })) :
        null;
    return [choice, body].filter(Boolean);
  };

  function entropyStrip() {
    const run = drnas.detail();
    const rows = drnas.rows(run);
    if (!rows.length || !run.epochs.some((epoch) => drnas.meanEntropy(epoch) !== null)) return [];
    const several = run.cells.length > 1;
    return [drnas.strip({
      title: 'Entropy of the mean weights by edge',
      unit: 'nats',
      note: drnas.runs.length > 1 ? `${run.name}.` : null,
      columns: run.epochs.map((epoch) => epoch.epoch),
      rows: rows.map(({cell, edge, row}) => ({
                       label: several ? `${cell.name[0]} ${edge}` : edge,
                       spoken: several ? `${cell.name} ${edge}` : edge,
                       values: run.epochs.map((epoch) => drnas.entropy(epoch, row))
                     }))
    })];
  }

  drnas.explorationPanel = () => {
    const draw = () => {
      const most = Math.max(
          0, ...drnas.runs.flatMap((run) => run.cells.map((cell) => (cell.ops || []).length)));
      const nats = drnas.format.number(Math.log(most), 3);
      return [
        ...drnas.overlay({
          title: 'Mean entropy of the mean weights',
          unit: 'nats',
          variants: [{label: 'entropy', value: drnas.meanEntropy}],
          note: most > 1 ? `${most} operations of equal weight: ${nats} nats.` : null
        }),
        ...entropyStrip(),
        ...drnas.overlay({
          title: 'Sum of the concentrations',
          unit: 'mean of the edges',
          variants: [{label: 'sum', value: drnas.meanSum}],
          note: 'A large sum leaves little variance to the sampled weights.'
        }),
        ...drnas.overlay({
          title: 'Largest mean weight',
          unit: 'mean of the edges',
          variants: [{label: 'largest', value: drnas.meanLargest}]
        }),
        ...drnas.overlay({
          title: 'Distinct cells',
          unit: 'of those sampled',
          zero: true,
          variants: [{label: 'distinct', value: at('trajectory.distinct')}]
        }),
        ...drnas.overlay({
          title: 'Agreement with the mean cell',
          unit: 'share of choices',
          variants: [{label: 'agreement', value: at('trajectory.agreement')}]
        }),
      ];
    };
    return draw().length ? [drnas.charts(draw)] : [];
  };
})();
