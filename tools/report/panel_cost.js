// SPDX-License-Identifier: MIT
// Memory by use and time by phase.
'use strict';

(() => {
  const {number} = drnas;
  const farAway = 4;  // a budget of so many peaks would flatten the plot
  const at = (path) => (epoch) => number(epoch, path);

  /** Stacked areas of a run: parts are [label, value(epoch)], drawn from the bottom up. */
  function stack(run, parts, divisor, show) {
    const there = parts.filter(([, value]) => run.epochs.some((epoch) => value(epoch) > 0));
    const below = run.epochs.map(() => 0);
    return there
        .map(([label, value], index) => {
          const values = [];
          const points = run.epochs.map((epoch, i) => {
            const amount = value(epoch);
            if (!drnas.finite(amount)) return [epoch.epoch, null, null];
            const low = below[i];
            below[i] += amount / divisor;
            values.push(Object.assign([epoch.epoch, amount], {text: show(amount)}));
            return [epoch.epoch, low, below[i]];
          });
          return {type: 'band', points, values, color: drnas.color(index), opacity: 0.72, label};
        })
        .reverse();
  }

  function stackChart(run, spec, parts, total, unit, show) {
    const layers = stack(run, parts, unit.divisor, show);
    if (!layers.length) return [];
    const points = run.epochs.map((epoch) => {
      const value = total(epoch);
      return Object.assign(
          [epoch.epoch, value === null ? null : value / unit.divisor], {text: show(value)});
    });
    const sum = {type: 'line', points, color: 'var(--ink)', label: 'total'};
    return [drnas.chart({
      ...spec,
      unit: unit.unit,
      zero: true,
      x: drnas.epochRange([run]),
      layers: [...layers, sum, ...drnas.stageStarts(run), ...(spec.rules || [])],
      note: [drnas.runs.length > 1 ? `${run.name}.` : null, spec.note].filter(Boolean).join(' '),
      legend: [...[...layers].reverse().map((layer) => ({...layer, box: true})), sum]
    })];
  }

  const largest = (value) =>
      Math.max(0, ...drnas.runs.flatMap((run) => run.epochs.map(value)).filter(drnas.finite));
  const scaled = (value, divisor) => (epoch) => {
    const v = value(epoch);
    return v === null ? null : v / divisor;
  };

  function memoryByUse() {
    const run = drnas.detail();
    const tags = new Set(run.epochs.flatMap(
        (epoch) => Object.keys((epoch.peak_bytes && epoch.peak_bytes.by_tag) || {})));
    const lastEpoch =
        [...run.epochs].reverse().find((epoch) => epoch.peak_bytes && epoch.peak_bytes.by_tag);
    const parts =
        [...tags].map((tag) => [tag, (epoch) => number(epoch, `peak_bytes.by_tag.${tag}`)]);
    if (lastEpoch) parts.sort((a, b) => (b[1](lastEpoch) || 0) - (a[1](lastEpoch) || 0));
    const total = at('peak_bytes.total');
    const peak = Math.max(...run.epochs.map(total)), budget = run.budget_bytes || 0;
    const near = budget > 0 && budget < farAway * peak;
    const unit = drnas.format.byteUnit(near ? Math.max(budget, peak) : peak);
    const label = `budget ${drnas.format.bytes(budget)}`;
    const rule = {type: 'rule', y: budget / unit.divisor, color: 'var(--alert)', label};
    const rules = near ? [rule] : [];
    const far = budget && !near ? ` The ${label} is far above.` : '';
    const note = `At the moment of the peak of the run so far.${far}`;
    return stackChart(
        run, {title: 'Peak memory by use', rules, note}, parts, total, unit, drnas.format.bytes);
  }

  function memoryOverlay() {
    const total = at('peak_bytes.total'), pinned = at('pinned_bytes');
    const unit = drnas.format.byteUnit(largest(total));
    const show = (value) => drnas.format.bytes(value * unit.divisor);
    const charts = drnas.runs.length > 1 ? drnas.overlay({
      title: 'Peak memory',
      unit: unit.unit,
      zero: true,
      show,
      variants: [{label: 'total', value: scaled(total, unit.divisor)}]
    }) :
                                           [];
    if (largest(pinned) > 0)
      charts.push(...drnas.overlay({
        title: 'Pinned memory of the host',
        unit: unit.unit,
        zero: true,
        show,
        variants: [{label: 'pinned', value: scaled(pinned, unit.divisor)}]
      }));
    return charts;
  }

  drnas.memoryPanel = () =>
      (drnas.any(at('peak_bytes.total')) ?
           [drnas.charts(() => [...memoryByUse(), ...memoryOverlay()])] :
           []);

  function phaseChart(step, title) {
    const run = drnas.detail();
    const total = at(`step_ms.${step}`);
    const phases = ['forward', 'backward', 'optimizer'].map(
        (phase) => [phase, at(`phase_ms.${step}.${phase}`)]);
    const unit = drnas.format.timeUnit(Math.max(0, ...run.epochs.map(total)));
    const show = (value) =>
        (value === null ? '–' : `${drnas.format.number(value / unit.divisor, 3)} ${unit.unit}`);
    return stackChart(run, {title: `${title} by phase`}, phases, total, unit, show);
  }

  function stepTotals() {
    const steps = [['architecture', at('step_ms.architecture')], ['weight', at('step_ms.weight')]];
    const unit = drnas.format.timeUnit(Math.max(...steps.map(([, value]) => largest(value))));
    return drnas.overlay({
      title: 'Time of a step',
      unit: unit.unit,
      zero: true,
      show: (v) => `${drnas.format.number(v, 3)} ${unit.unit}`,
      variants: steps.map(
          ([label, value]) => ({label: `${label} step`, value: scaled(value, unit.divisor)}))
    });
  }

  const secondsOf = (epoch) =>
      Object.values(epoch.seconds || {}).filter(drnas.finite).reduce((a, b) => a + b, 0) || null;

  function secondsByPart() {
    const run = drnas.detail();
    const known = ['train', 'evaluation', 'trajectory', 'hessian'];
    const names =
        new Set([...known, ...run.epochs.flatMap((epoch) => Object.keys(epoch.seconds || {}))]);
    const parts = [...names].map(
        (name) =>
            [name, (epoch) => (epoch.seconds ? number(epoch, `seconds.${name}`) || 0 : null)]);
    return stackChart(
        run, {title: 'Seconds of an epoch by part'}, parts, secondsOf, {divisor: 1, unit: 's'},
        drnas.format.seconds);
  }

  drnas.timePanel = () => {
    const draw = () =>
        [...stepTotals(),
         ...drnas.overlay({
           title: 'Images per second',
           unit: 'training images of both halves',
           zero: true,
           variants: [{label: 'images', value: at('images_per_second')}]
         }),
         ...phaseChart('architecture', 'Architecture step'),
         ...phaseChart('weight', 'Weight step'),
         ...secondsByPart(),
         ...(drnas.runs.length > 1 ? drnas.overlay({
           title: 'Seconds of an epoch',
           unit: 's',
           zero: true,
           variants: [{label: 'seconds', value: secondsOf}]
         }) :
                                     []),
    ];
    return draw().length ? [drnas.charts(draw)] : [];
  };
})();
