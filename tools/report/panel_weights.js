// SPDX-License-Identifier: MIT
// Heat map of mean weights or concentrations over edges and operations, with a slider over epochs.
'use strict';

(() => {
  const {element} = drnas;
  const strongFrom = 0.62;  // from this share of the ramp on the other ink has the better contrast
  const chosen = {quantity: 'theta', cell: 0, epoch: null, edge: 0};
  const symbols = {theta: 'mean weight θ', beta: 'concentration β'};
  const short = (value) => (drnas.finite(value) ? drnas.format.number(value, 3) : '–');

  const usable = (run) =>
      run.epochs.some((epoch) => epoch.concentrations) && drnas.rows(run).length > 0;
  const current = (run) =>
      run.epochs[Math.min(chosen.epoch === null ? Infinity : chosen.epoch, run.epochs.length - 1)];
  const currentCell = (run) => run.cells[Math.min(chosen.cell, run.cells.length - 1)];

  function sentence(edge, op, epoch, row, column) {
    if (!drnas.kept(epoch, row, column)) return `${edge}, ${op}: pruned`;
    const theta = drnas.weightRow(epoch, row, 'theta'), beta = drnas.weightRow(epoch, row, 'beta');
    return `${edge}, ${op}: θ ${short(theta && theta[column])}, β ${short(beta && beta[column])}`;
  }

  function heatCell(context, edge, row, column, largest) {
    const {epoch, cell, range, readout} = context;
    const text = sentence(edge, cell.ops[column], epoch, row, column);
    const values = drnas.weightRow(epoch, row, chosen.quantity);
    const value = values ? values[column] : null;
    const tell = () => {
      readout.textContent = `Epoch ${epoch.epoch}. ${text}`;
    };
    if (!drnas.kept(epoch, row, column))
      return element(
          'td', {class: 'pruned', title: text, onpointerenter: tell},
          element('span', {class: 'spoken'}, 'pruned'));
    const share = drnas.finite(value) ?
        Math.min(1, Math.max(0, (value - range[0]) / (range[1] - range[0] || 1))) :
        0;
    return element(
        'td', {
          class: [share > strongFrom ? 'strong' : '', largest ? 'largest' : ''].join(' ').trim() ||
              null,
          title: text,
          style: {'--share': share.toFixed(3)},
          onpointerenter: tell
        },
        short(value));
  }

  function heatRow(context, edge, row, i) {
    const weights = drnas.meanWeights(context.epoch, row);
    const largest = weights ? weights.indexOf(Math.max(...weights)) : -1;
    const button = element(
        'button', {
          type: 'button',
          'aria-pressed': String(i === chosen.edge),
          'data-key': `edge ${i}`,
          'aria-label': `Plot edge ${edge}`,
          onclick: () => {
            chosen.edge = i;
            context.again();
          }
        },
        edge);
    return element(
        'tr', {class: i === chosen.edge ? 'chosen' : null}, element('th', {scope: 'row'}, button),
        context.cell.ops.map(
            (op, column) => heatCell(context, edge, row, column, column === largest)));
  }

  function heatMap(run, again) {
    const epoch = current(run), cell = currentCell(run);
    const range = drnas.weightRange(run, cell, chosen.quantity);
    const readout = element(
        'p', {class: 'readout', role: 'status'},
        'Outlined: the largest mean weight of an edge. Point at a value to read it here.');
    const context = {epoch, cell, range, readout, again};
    const caption = `${cell.name}: ${symbols[chosen.quantity]} after epoch ${epoch.epoch}`;
    const table = element(
        'table', {class: cell.ops.length > 5 ? 'heat many' : 'heat'},
        element('caption', {}, caption),
        element(
            'thead', {},
            element(
                'tr', {}, element('th', {scope: 'col'}, 'edge'),
                cell.ops.map(
                    (op) =>
                        element('th', {scope: 'col'}, element('span', {}, drnas.breakable(op)))))),
        element(
            'tbody', {},
            cell.edges.map((edge, i) => heatRow(context, edge, (cell.first_row || 0) + i, i))));
    const pruned = run.epochs.some((e) => e.kept);
    const key = element(
        'p', {class: 'heat-key'}, short(range[0]),
        element('span', {class: 'ramp', 'aria-hidden': 'true'}), short(range[1]),
        pruned ? [element('span', {class: 'pruned-key', 'aria-hidden': 'true'}), 'pruned'] : null);
    return element('div', {class: 'heat-box'}, table, key, readout);
  }

  function edgeChart(run) {
    const cell = currentCell(run), edge = Math.min(chosen.edge, cell.edges.length - 1);
    const row = (cell.first_row || 0) + edge;
    const layers = cell.ops.map(
        (op, column) => ({
          type: 'line',
          label: op,
          color: drnas.color(column),
          dash: drnas.dash(column),
          show: short,
          points: run.epochs.map((epoch) => {
            const values = drnas.weightRow(epoch, row, chosen.quantity);
            return [epoch.epoch, values && drnas.kept(epoch, row, column) ? values[column] : null];
          })
        }));
    return drnas.chart({
      title: `Edge ${cell.edges[edge]} of ${cell.name}`,
      unit: symbols[chosen.quantity],
      note: 'Choose an edge by its name in the heat map.',
      x: drnas.epochRange([run]),
      layers: [...layers, ...drnas.stageStarts(run)],
      legend: layers.map(({label, color, dash}) => ({label, color, dash}))
    });
  }

  function slider(run, again) {
    const last = run.epochs.length - 1;
    const id = drnas.uniqueId();
    const output = element('output', {'for': id});
    const input = element('input', {type: 'range', id, min: 0, max: last, step: 1});
    const describe = () => {
      const epoch = current(run);
      output.textContent = `${epoch.epoch} of ${run.epochs[last].epoch}${
          run.epochs[last].stage > 1 ? `, stage ${epoch.stage}` : ''}`;
      input.setAttribute('aria-valuetext', `epoch ${output.textContent}`);
    };
    input.value = Math.min(chosen.epoch === null ? last : chosen.epoch, last);
    input.addEventListener('input', () => {
      chosen.epoch = Number(input.value) === last ? null : Number(input.value);
      describe();
      again();
    });
    describe();
    return element('div', {class: 'slider'}, element('label', {'for': id}, 'Epoch'), input, output);
  }

  drnas.weightsPanel = () => {
    if (!drnas.runs.some(usable)) return [];
    const body = drnas.live(() => {
      const run = drnas.detail();
      if (!usable(run))
        return element('p', {class: 'note'}, `${run.name} logged no concentrations.`);
      return [heatMap(run, () => body.redraw()), edgeChart(run)];
    }, {class: 'pair'});
    const again = () => body.redraw();
    const controls = drnas.live(() => {
      const run = drnas.detail();
      if (!usable(run)) return [];
      return [
        drnas.choice(
            'Show', [['theta', 'Mean weights θ'], ['beta', 'Concentrations β']], chosen.quantity,
            (key) => {
              chosen.quantity = key;
              again();
            }),
        run.cells.length > 1 ?
            drnas.select(
                'Cell', run.cells.map((cell, i) => [String(i), cell.name]), chosen.cell,
                (key) => {
                  chosen.cell = Number(key);
                  again();
                }) :
            null,
        slider(run, again)
      ];
    }, {class: 'controls'});
    return [drnas.detailName(), controls, body];
  };
})();
