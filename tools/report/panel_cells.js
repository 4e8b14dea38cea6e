// SPDX-License-Identifier: MIT
// The cells that the searches found.
'use strict';

(() => {
  const {element} = drnas;

  const fileName = (text) => text.replace(/[^A-Za-z0-9._-]+/g, '_');

  function drawing(run, cell) {
    const box = element('div', {
      class: 'drawing',
      role: 'img',
      'aria-label': `${cell.name} found by ${run.name}: ${run.genotype || ''}`
    });
    box.insertAdjacentHTML('beforeend', cell.svg);
    const button = cell.dot ?
        element(
            'button', {
              type: 'button',
              class: 'action',
              'aria-label': `Download ${cell.name} of ${run.name} as Graphviz file`,
              onclick: () => drnas.download(
                  `${fileName(`${run.name}-${cell.name}`)}.dot`, cell.dot, 'text/vnd.graphviz')
            },
            'Download .dot') :
        null;
    // Cells side by side at one scale, never too small to read: narrow pages scroll within.
    const natural = Number(box.firstElementChild.getAttribute('width')) || 400;
    const least = `${Math.round(0.75 * natural)}px`;
    box.firstElementChild.style.minWidth = least;
    return element(
        'figure',
        {class: 'cell-figure', style: {flex: `${natural} 1 ${least}`, 'max-width': `${natural}px`}},
        element('figcaption', {}, element('h4', {}, cell.name), button),
        element('div', {class: 'scroll'}, box));
  }

  /** One card for runs that found the same cells. */
  function card(runs) {
    const [run] = runs;
    const genotype = run.genotype || '';
    return element(
        'article', {class: run.cells.length > 1 ? 'card wide' : 'card'},
        element('h3', {}, runs.map((r) => r.name).join(', ')),
        element(
            'div', {class: 'cell-row'},
            run.cells.filter((cell) => cell.svg).map((cell) => drawing(run, cell))),
        genotype ? element(
                       'div', {class: 'code-line'}, element('code', {}, drnas.breakable(genotype)),
                       drnas.copyButton(genotype, `Copy the genotype of ${run.name}`)) :
                   null);
  }

  drnas.cellsPanel = () => {
    const found = new Map();
    for (const run of drnas.runs) {
      if (!run.cells.some((cell) => cell.svg)) continue;
      const key = run.genotype ? `${run.space} ${run.genotype}` : `run ${run.name}`;
      if (!found.has(key)) found.set(key, []);
      found.get(key).push(run);
    }
    if (!found.size) return [];
    return [element('div', {class: 'cards'}, [...found.values()].map(card))];
  };
})();
