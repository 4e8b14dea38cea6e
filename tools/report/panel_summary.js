// SPDX-License-Identifier: MIT
// Summary of all runs in one table, and their early warnings.
'use strict';

(() => {
  const {element, number} = drnas;
  const datasets = ['cifar10', 'cifar100', 'imagenet16_120'];

  const last = (run) => run.epochs[run.epochs.length - 1];
  const lastNumber = (run, path) => (last(run) ? number(last(run), path) : null);

  /**
   * Accuracy of the found cell: of the last epoch whose mean gave it, which --stop-on may have
   * gone back to.
   */
  function foundAccuracy(run, name) {
    const wanted = (run.genotype || '').trim();
    const epoch = [...run.epochs].reverse().find((e) => !wanted || e.genotype === wanted);
    return epoch ? number(epoch, `table.${name}`) : null;
  }

  function totalSeconds(run) {
    let total = null;
    for (const epoch of run.epochs)
      for (const part of Object.values(epoch.seconds || {}))
        if (drnas.finite(part)) total = (total || 0) + part;
    return total;
  }

  const countWarnings = (run) =>
      run.epochs.reduce((count, epoch) => count + (epoch.warnings || []).length, 0);
  const plain = (value) => (drnas.finite(value) ? String(value) : '–');

  // Figures of a run: heading, unit, value(run), text, and whether a mean over a group makes sense.
  function columns() {
    const {bytes, seconds} = drnas.format;
    const percent = (value) => (drnas.finite(value) ? value.toFixed(2) : '–');
    const all = [
      {title: 'Epochs', value: (run) => run.epochs.length, show: plain, single: true},
      ...datasets.map((name) => ({
                        title: drnas.format.dataset(name),
                        hint: 'test, %',
                        table: true,
                        value: (run) => foundAccuracy(run, name),
                        show: percent
                      })),
      {
        title: 'Validation',
        hint: 'accuracy, %',
        value: (run) => lastNumber(run, 'val_top1'),
        show: percent
      },
      {title: 'Peak memory', value: (run) => lastNumber(run, 'peak_bytes.total'), show: bytes},
      {title: 'Time', value: totalSeconds, show: seconds},
      {title: 'Warnings', value: countWarnings, show: plain, single: true},
    ];
    return all.filter((column) => drnas.runs.some((run) => column.value(run) !== null));
  }

  /** Text that may break after underscores and bars. */
  drnas.breakable = (text) =>
      String(text).split(/(?<=[_|+,])/).flatMap((part, i) => (i ? [element('wbr'), part] : [part]));

  function runRow(run, index, shown, entity) {
    const several = drnas.runs.length > 1;
    const check = element('input', {
      type: 'checkbox',
      checked: !drnas.state.hidden.has(index),
      'aria-label': `Show ${run.name} in the plots`,
      'data-key': `summary ${index}`,
      onchange: () => drnas.toggle([index])
    });
    const stopped = last(run) && last(run).stopped_on;
    const figures = element(
        'tr', {class: 'figures'},
        element(
            'th', {scope: 'row'},
            element(
                'span', {class: 'run-name'}, several ? check : null,
                several ? drnas.swatch(entity) : null,
                element('span', {}, drnas.breakable(run.name))),
            stopped ?
                element('p', {class: 'hint'}, `stopped on ${stopped} in epoch ${last(run).epoch}`) :
                null),
        shown.map((column) => element('td', {class: 'figure'}, column.show(column.value(run)))));
    const genotype = run.genotype || (last(run) && last(run).genotype);
    return [
      figures,
      genotype ? element(
                     'tr', {class: 'genotype'},
                     element(
                         'td', {colspan: shown.length + 1},
                         element('span', {class: 'spoken'}, `Found by ${run.name}: `),
                         element('code', {}, drnas.breakable(genotype)))) :
                 null
    ];
  }

  function groupRow(entity, shown) {
    const distinct = new Set(entity.runs.map((index) => drnas.runs[index].genotype)).size;
    const cells = distinct === 1 ? 'all found the same cell' : `${distinct} different cells`;
    return element(
        'tr', {class: 'mean'},
        element(
            'th', {scope: 'row'}, entity.name,
            element('span', {class: 'hint'}, `mean ± sd of ${entity.runs.length} runs, ${cells}`)),
        shown.map((column) => {
          const values =
              entity.runs.map((index) => column.value(drnas.runs[index])).filter(drnas.finite);
          return element(
              'td', {class: 'figure'},
              column.single ? '' : drnas.format.spread(values, column.show));
        }));
  }

  function summaryTable() {
    const shown = columns();
    const head = element(
        'tr', {}, element('th', {scope: 'col'}, 'Run'),
        shown.map(
            (column) => element(
                'th', {scope: 'col', class: 'figure'}, column.title,
                column.hint ? element('span', {class: 'hint'}, column.hint) : null)));
    const bodies = drnas.entities().map(
        (entity) => element(
            'tbody', {},
            entity.runs.map((index) => runRow(drnas.runs[index], index, shown, entity)),
            entity.runs.length > 1 ? groupRow(entity, shown) : null));
    const note = [
      shown.some((column) => column.table) ?
          'Test accuracies are those of the found cell in NAS-Bench-201.' :
          null,
      'Validation accuracy, memory: last epoch.',
      drnas.runs.length > 1 ? 'The boxes show and hide runs in all plots.' : null
    ];
    return [
      element(
          'div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Summary table'},
          element('table', {class: 'summary'}, element('thead', {}, head), bodies)),
      element('p', {class: 'note'}, note.filter(Boolean).join(' '))
    ];
  }

  drnas.summaryPanel = () => [drnas.live(summaryTable)];

  drnas.warningsPanel = () => {
    const rows = [];
    drnas.runs.forEach((run) => {
      for (const epoch of run.epochs) {
        for (const text of epoch.warnings || []) rows.push([run.name, epoch.epoch, text]);
        if (epoch.stopped_on)
          rows.push([run.name, epoch.epoch, `search stopped on ${epoch.stopped_on}`]);
      }
    });
    if (!rows.length) return [];
    const several = drnas.runs.length > 1;
    return [
      element(
          'div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Early warnings'},
          element(
              'table', {class: 'warnings'},
              element(
                  'thead', {},
                  element(
                      'tr', {}, several ? element('th', {scope: 'col'}, 'Run') : null,
                      element('th', {scope: 'col', class: 'figure'}, 'Epoch'),
                      element('th', {scope: 'col'}, 'Warning'))),
              element(
                  'tbody', {},
                  rows.map(
                      ([name, epoch, text]) => element(
                          'tr', {}, several ? element('th', {scope: 'row'}, name) : null,
                          element('td', {class: 'figure'}, String(epoch)),
                          element('td', {}, `▲ ${text}`)))))),
      element('p', {class: 'note'}, 'Triangles mark these epochs in the curves.')
    ];
  };
})();
