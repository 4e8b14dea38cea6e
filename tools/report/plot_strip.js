// SPDX-License-Identifier: MIT
// A strip of coloured cells: one row an edge, one column an epoch.
//   spec: { title, unit, note, columns: [x], rows: [{ label, spoken, values: [y] }] }
'use strict';

(() => {
  const {element, svg, finite} = drnas;

  function extent(spec) {
    const values = spec.rows.flatMap((row) => row.values).filter(finite);
    return drnas.heatRange(Math.min(...values), Math.max(...values));
  }

  function axis(spec, left, step, height) {
    const wanted = Math.max(
        1, Math.ceil((spec.columns.length * 44) / Math.max(44, step * spec.columns.length)));
    const marks = spec.columns.map((x, i) => ({x, i})).filter(({i}) => i % wanted === 0);
    return svg(
        'g', {class: 'axes', 'aria-hidden': 'true'},
        marks.map(
            ({x, i}) =>
                svg('text', {x: left + step * (i + 0.5), y: height - 24, 'text-anchor': 'middle'},
                    String(x))),
        svg('text', {
          class: 'axis-title',
          x: left + (step * spec.columns.length) / 2,
          y: height - 6,
          'text-anchor': 'middle'
        },
            'epoch'));
  }

  function paint(image, spec, width, height, tell) {
    const [low, high] = extent(spec);
    const left = 14 + 6.8 * Math.max(...spec.rows.map((row) => row.label.length));
    const top = 6, line = (height - top - 42) / spec.rows.length;
    const step = (width - left - 14) / spec.columns.length;
    image.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const cell = (row, y, value, i) => {
      const style = {'--share': ((value - low) / (high - low || 1)).toFixed(3)};
      const text = `${drnas.format.number(value)} ${spec.unit}`;
      return svg('rect', {
        class: 'heat-cell',
        x: (left + step * i).toFixed(2),
        y: y.toFixed(2),
        width: (step + 0.3).toFixed(2),
        height: (line - 1).toFixed(2),
        style,
        onpointerenter: () => tell(`${row.spoken}, epoch ${spec.columns[i]}: ${text}`)
      });
    };
    const cells = spec.rows.map((row, r) => {
      const y = top + line * r;
      const label =
          svg('text', {x: left - 8, y: y + line / 2 + 4, 'text-anchor': 'end'}, row.label);
      return svg('g', {}, label, row.values.map((v, i) => finite(v) ? cell(row, y, v, i) : null));
    });
    image.replaceChildren(svg('g', {class: 'axes'}, cells), axis(spec, left, step, height));
  }

  drnas.strip = (spec) => {
    const [low, high] = extent(spec);
    const last = spec.columns.length - 1;
    const words =
        spec.rows.map((row) => `${row.spoken} ${drnas.format.number(row.values[last], 3)}`)
            .join(', ');
    const image = svg('svg', {
      class: 'chart-image',
      role: 'img',
      'aria-label': `${spec.title}. In epoch ${spec.columns[last]}: ${words}`
    });
    const readout = element('p', {class: 'readout', role: 'status'});
    const box = element('div', {class: 'plot'}, image);
    const figure = element(
        'figure', {class: 'chart', 'data-plot': spec.title},
        element(
            'figcaption', {},
            element('h3', {}, spec.title, element('span', {class: 'unit'}, ` (${spec.unit})`)),
            spec.note ? element('p', {class: 'note'}, spec.note) : null),
        element(
            'p', {class: 'heat-key'}, drnas.format.number(low, 3),
            element('span', {class: 'ramp', 'aria-hidden': 'true'}), drnas.format.number(high, 3)),
        box, readout);
    drnas.fit(figure, box, (width, height) => paint(image, spec, width, height, (text) => {
                             readout.textContent = text;
                           }), () => Math.max(170, 48 + 14 * spec.rows.length));
    return figure;
  };
})();
