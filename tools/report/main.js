// SPDX-License-Identifier: MIT
// Puts the page together: panels that have something to show, in the order of the list.
'use strict';

(() => {
  const {element} = drnas;

  const panels = [
    {id: 'summary', title: 'Summary', build: () => drnas.summaryPanel()},
    {id: 'cells', title: 'Cells', build: () => drnas.cellsPanel()},
    {id: 'warnings', title: 'Warnings', build: () => drnas.warningsPanel()},
    {
      id: 'weights',
      title: 'Weights',
      heading: 'Weights of the operations',
      build: () => drnas.weightsPanel()
    },
    {id: 'curves', title: 'Curves', heading: 'Loss and accuracy', build: () => drnas.curvesPanel()},
    {
      id: 'trajectory',
      title: 'Trajectory',
      heading: 'Accuracy of the cells in NAS-Bench-201',
      build: () => drnas.trajectoryPanel()
    },
    {
      id: 'hessian',
      title: 'Hessian',
      heading: 'Hessian of the validation loss',
      build: () => drnas.hessianPanel()
    },
    {id: 'exploration', title: 'Exploration', build: () => drnas.explorationPanel()},
    {id: 'memory', title: 'Memory', build: () => drnas.memoryPanel()},
    {id: 'time', title: 'Time', build: () => drnas.timePanel()},
    {
      id: 'configuration',
      title: 'Configuration',
      heading: 'Configuration and machine',
      build: () => drnas.configurationPanel()
    },
  ];

  function section(panel, content) {
    const heading = `${panel.id}-heading`;
    return element(
        'section', {id: panel.id, 'aria-labelledby': heading},
        element('h2', {id: heading}, panel.heading || panel.title), content);
  }

  function runChooser() {
    const box = drnas.live(
        () => drnas.entities().map(
            (entity) => element(
                'div', {class: 'chooser-group'},
                entity.runs.length > 1 ? element('p', {}, drnas.swatch(entity), entity.name) : null,
                entity.runs.map((index) => {
                  const check = drnas.checkbox(
                      drnas.runs[index].name, !drnas.state.hidden.has(index),
                      () => drnas.toggle([index]));
                  check.querySelector('input').dataset.key = `run ${index}`;
                  if (entity.runs.length === 1) check.append(drnas.swatch(entity));
                  return check;
                }))),
        {class: 'chooser'});
    const grouped = !drnas.hasGroups() ? [] : [
      drnas.choice(
          'Lines', [['groups', 'Groups of seeds'], ['single', 'Single runs']], 'groups',
          (key) => drnas.change({grouped: key === 'groups'})),
      drnas.choice(
          'Band', [['range', 'Smallest to largest'], ['deviation', '± sd']], 'range',
          (band) => drnas.change({band}))
    ];
    return element(
        'details', {class: 'menu'}, element('summary', {}, 'Runs'),
        element('div', {class: 'menu-body'}, box, grouped));
  }

  function tools() {
    if (drnas.runs.length < 2) return null;
    const detail = drnas.select(
        'In detail', drnas.runs.map((run, index) => [String(index), run.name]), drnas.state.detail,
        (value) => drnas.change({detail: Number(value)}));
    return element('div', {class: 'tools'}, detail, runChooser());
  }

  function listen() {
    document.addEventListener('click', (event) => {
      for (const menu of document.querySelectorAll('details.menu[open]'))
        if (!menu.contains(event.target)) menu.open = false;
    });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape')
        for (const menu of document.querySelectorAll('details.menu[open]')) menu.open = false;
    });
    window.addEventListener('beforeprint', () => {
      for (const box of document.querySelectorAll('main details')) box.open = true;
      for (const figure of document.querySelectorAll('figure.chart')) figure.fitPaper();
    });
    window.addEventListener('afterprint', () => {
      for (const figure of document.querySelectorAll('figure.chart')) figure.fitScreen();
    });
  }

  function start() {
    drnas.setRuns(JSON.parse(document.getElementById('data').textContent));
    const {title, program, created} = drnas.data;
    document.title = title || 'Search report';
    document.getElementById('title').textContent = title || 'Search report';
    const count = `${drnas.runs.length} ${drnas.runs.length === 1 ? 'run' : 'runs'}`;
    document.getElementById('origin').textContent =
        [count, program, created].filter(Boolean).join(' · ');
    const nav = document.getElementById('contents'), main = document.querySelector('main');
    for (const panel of panels) {
      const content = panel.build();
      if (!content || !content.length) continue;
      main.append(section(panel, content));
      nav.append(element('a', {href: `#${panel.id}`}, panel.title));
    }
    const bar = tools();
    if (bar) document.getElementById('bar').append(bar);
    listen();
  }

  start();
})();
