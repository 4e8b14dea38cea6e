// SPDX-License-Identifier: MIT
// The runs of the report: groups, colours, and plots that lay all runs over one another.
'use strict';

(() => {
  const {finite} = drnas;
  const palette = 8;
  const dashes = [null, '7 4', '2 3', '9 3 2 3'];

  drnas.color = (index) => `var(--series-${(index % palette) + 1})`;
  drnas.dash = (index) => dashes[Math.floor(index / palette) % dashes.length];

  drnas.setRuns = (data) => {
    drnas.data = data;
    drnas.runs = data.runs.map(
        (run) =>
            ({...run, epochs: run.epochs || [], cells: run.cells || [], config: run.config || []}));
  };

  /**
     What has a line of its own: groups, or single runs where the reader separates them.
      { name, runs: [index], color, dash }
   */
  drnas.entities = () => {
    const groups = new Map();
    drnas.runs.forEach((run, index) => {
      const key = drnas.state.grouped && run.group ? `group ${run.group}` : `run ${index}`;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(index);
    });
    return [...groups.values()].map(
        (runs, index) => ({
          name: runs.length > 1 ? drnas.runs[runs[0]].group : drnas.runs[runs[0]].name,
          runs,
          color: drnas.color(index),
          dash: drnas.dash(index),
        }));
  };
  drnas.hasGroups = () => new Set(drnas.runs.map((run) => run.group)).size < drnas.runs.length &&
      drnas.runs.every((run) => run.group);
  drnas.visible = (entity) => entity.runs.filter((index) => !drnas.state.hidden.has(index));
  drnas.detail = () => drnas.runs[drnas.state.detail];
  /** The run shown in detail, or where it lacks this value the first that has it. */
  drnas.detailWith = (value) => {
    const has = (run) => run.epochs.some((epoch) => finite(value(epoch, run)));
    return has(drnas.detail()) ? drnas.detail() : drnas.runs.find(has) || drnas.detail();
  };

  drnas.toggle = (indices) => {
    const hidden = new Set(drnas.state.hidden);
    const shown = indices.some((index) => !hidden.has(index));
    for (const index of indices)
      if (shown)
        hidden.add(index);
      else
        hidden.delete(index);
    drnas.change({hidden});
  };

  /** Whether any epoch of any run has this value. */
  drnas.any = (value) =>
      drnas.runs.some((run) => run.epochs.some((epoch) => finite(value(epoch, run))));
  drnas.series = (run, value) =>
      run.epochs.map((epoch) => [epoch.epoch, value(epoch, run)]).filter(([,
                                                                           y]) => y !== undefined);

  function merge(seriesOfRuns) {
    const byX = new Map();
    for (const series of seriesOfRuns)
      for (const [x, y] of series) {
        if (!byX.has(x)) byX.set(x, []);
        if (finite(y)) byX.get(x).push(y);
      }
    return [...byX.entries()].sort((a, b) => a[0] - b[0]);
  }

  function bandOf(merged) {
    return merged.map(([x, values]) => {
      if (values.length < 2) return [x, null, null];
      if (drnas.state.band === 'range') return [x, Math.min(...values), Math.max(...values)];
      const mean = drnas.mean(values), deviation = drnas.deviation(values);
      return [x, mean - deviation, mean + deviation];
    });
  }

  function groupText(values, show) {
    const mean = show(drnas.mean(values)), low = Math.min(...values), high = Math.max(...values);
    if (low === high) return mean;
    const bare = (value) => show(value).split(' ')[0];
    return drnas.state.band === 'range' ? `${mean} (${bare(low)} – ${bare(high)})` :
                                          `${mean} ± ${bare(drnas.deviation(values))}`;
  }

  function entityLayers(entity, variant, style, show) {
    const runs = drnas.visible(entity);
    const keep = ([, y]) => !variant.sparse || finite(y);
    const all = runs.map((index) => drnas.series(drnas.runs[index], variant.value).filter(keep));
    if (!all.some((series) => series.some(([, y]) => finite(y)))) return [];
    if (all.length === 1) return [{type: 'line', points: all[0], ...style, dots: variant.sparse}];
    const merged = merge(all);
    const line = merged.map(([x, values]) => {
      const point = [x, values.length ? drnas.mean(values) : null];
      if (values.length) point.text = groupText(values, show);
      return point;
    });
    return [
      {type: 'band', points: bandOf(merged), color: style.color, opacity: 0.14},
      ...all.map((points) => ({type: 'line', points, color: style.color, faint: true})),
      {type: 'line', points: line, ...style, dots: variant.sparse}
    ];
  }

  /** First and last epoch of these runs: plots of a page share their x axis. */
  drnas.epochRange = (runs) => {
    const epochs = runs.flatMap((run) => run.epochs.map((epoch) => epoch.epoch));
    return epochs.length ? [Math.min(...epochs), Math.max(...epochs)] : [0, 1];
  };

  /** Warnings of the visible runs as marks. */
  drnas.warningMarks = () => {
    const marks = [];
    for (const entity of drnas.entities())
      for (const index of drnas.visible(entity))
        for (const epoch of drnas.runs[index].epochs)
          for (const text of epoch.warnings || [])
            marks.push({
              type: 'mark',
              x: epoch.epoch,
              color: entity.color,
              label: drnas.runs.length > 1 ? `${drnas.runs[index].name}: ${text}` : text
            });
    return marks;
  };

  drnas.stageStarts = (run) => {
    const starts = [];
    run.epochs.forEach((epoch, i) => {
      if (i && epoch.stage > run.epochs[i - 1].stage)
        starts.push({type: 'boundary', x: epoch.epoch, label: `stage ${epoch.stage}`});
    });
    return starts;
  };
  /** Stage boundaries that all visible runs share. */
  drnas.commonStages = () => {
    const runs = drnas.runs.filter((run, index) => !drnas.state.hidden.has(index));
    const all = runs.map((run) => drnas.stageStarts(run));
    const key = (starts) => starts.map((s) => s.x).join();
    return all.length && all.every((starts) => key(starts) === key(all[0])) ? all[0] : [];
  };

  /** Groups and runs that have this value, as switches. */
  function entityLegend(entities, {value}) {
    const has = (index) => drnas.runs[index].epochs.some((epoch) => finite(value(epoch)));
    return entities.filter(({runs}) => runs.some(has)).map((entity) => {
      const {name, runs, color, dash} = entity;
      const label = runs.length > 1 ? `${name} (${runs.length} runs)` : name;
      const off = !drnas.visible(entity).length;
      return {label, color, dash, toggle: () => drnas.toggle(runs), off};
    });
  }

  /** What lines and bands of groups are, empty where no group is shown. */
  drnas.bandNote = () => {
    if (!drnas.entities().some((entity) => drnas.visible(entity).length > 1)) return '';
    const band = drnas.state.band === 'range' ? 'smallest to largest' : '± one standard deviation';
    return `Bold: mean of a group of seeds; band: ${band}; faint: single runs.`;
  };

  function overlayChart(spec, title, layers, legend) {
    const marks = spec.warnings ? drnas.warningMarks() : [];
    const all = [...layers, ...drnas.commonStages(), ...marks];
    return drnas.chart({...spec, title, layers: all, x: drnas.epochRange(drnas.runs), legend});
  }

  /** Variants of the only run or group, told apart by colour. */
  function variantsChart(spec, title, entity, variants) {
    const show = spec.show || drnas.format.number;
    const styles = variants.map(({label}, index) => {
      const name = variants.length > 1 ? label : title;
      return {label: name, color: drnas.color(index), dash: dashes[index % dashes.length]};
    });
    const layers = variants.flatMap((v, index) => entityLayers(entity, v, styles[index], show));
    return overlayChart(spec, title, layers, variants.length > 1 ? styles : []);
  }

  /** One variant of all runs and groups. */
  function entitiesChart(spec, title, variant) {
    const entities = drnas.entities(), show = spec.show || drnas.format.number;
    const layers = entities.flatMap((entity) => {
      const {name, color, dash} = entity;
      return entityLayers(entity, variant, {label: name, color, dash}, show);
    });
    return overlayChart(spec, title, layers, entityLegend(entities, variant));
  }

  // Charts of values over epochs for all runs: of a single run or group with all variants in one,
  // else one a variant. spec as for drnas.chart, with warnings (marked where true) and
  // variants: [{ label, value(epoch), sparse }]. Empty where no run has a value.
  drnas.overlay = (spec) => {
    const variants = spec.variants.filter((variant) => drnas.any(variant.value));
    if (!variants.length) return [];
    const named = ({label}) => spec.variants.length > 1 ? `${spec.title}: ${label}` : spec.title;
    const entities = drnas.entities();
    if (entities.length > 1)
      return variants.map((variant) => entitiesChart(spec, named(variant), variant));
    const title = variants.length > 1 ? spec.title : named(variants[0]);
    return [variantsChart(spec, title, entities[0], variants)];
  };
})();
