// SPDX-License-Identifier: MIT
// Options, commands and machines of the runs.
'use strict';

(() => {
  const {element} = drnas;

  function commands() {
    const runs = drnas.runs.filter((run) => run.command);
    if (!runs.length) return [];
    return [
      element(
          'h3', {},
          runs.length > 1 ? 'Commands that repeat the runs' : 'Command that repeats the run'),
      element(
          'div', {class: 'commands'},
          runs.map(
              (run) => element(
                  'div', {class: 'code-line'}, runs.length > 1 ? element('b', {}, run.name) : null,
                  element('code', {}, run.command),
                  drnas.copyButton(run.command, `Copy the command of ${run.name}`))))
    ];
  }

  function flatten(value, prefix, into) {
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      for (const [key, inner] of Object.entries(value))
        flatten(inner, prefix ? `${prefix}.${key}` : key, into);
    else
      into.set(prefix, Array.isArray(value) ? value.map(String).join(', ') : String(value));
    return into;
  }

  /** A row with one cell for all runs where they agree. */
  function row(name, values, differs) {
    const same = values.every((value) => value === values[0]);
    const cells = same ?
        [element('td', {colspan: values.length}, drnas.breakable(values[0] ?? '–'))] :
        values.map((value) => element('td', {}, drnas.breakable(value ?? '–')));
    return element(
        'tr', {class: differs ? 'differs' : null}, element('th', {scope: 'row'}, name), cells);
  }

  function table(maps, differs, label) {
    const names = [...new Set(maps.flatMap((map) => [...map.keys()]))];
    const head = drnas.runs.length > 1 ?
        element(
            'thead', {},
            element(
                'tr', {}, element('th', {scope: 'col'}, ''),
                drnas.runs.map(
                    (run) => element('th', {scope: 'col'}, drnas.breakable(run.name))))) :
        null;
    return element(
        'div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label},
        element(
            'table', {class: 'options'}, head,
            element(
                'tbody', {},
                names.map(
                    (name) => row(name, maps.map((map) => map.get(name)), differs.has(name))))));
  }

  function options() {
    if (!drnas.runs.some((run) => run.config.length)) return [];
    const maps =
        drnas.runs.map((run) => new Map(run.config.map(([name, value]) => [name, String(value)])));
    const differs = new Set(drnas.runs.flatMap((run) => run.differs || []));
    const box = element('div', {class: 'options-box'}, table(maps, differs, 'Options'));
    const filter = differs.size ? element(
                                      'div', {class: 'controls'},
                                      drnas.checkbox(
                                          'Only options that differ', false,
                                          (only) => box.classList.toggle('only-differs', only))) :
                                  null;
    return [
      element('h3', {}, 'Options'), filter,
      element(
          'details', {open: drnas.runs.length === 1 || differs.size > 0},
          element('summary', {}, 'All options as in config.toml'), box)
    ].filter(Boolean);
  }

  function machines() {
    if (!drnas.runs.some((run) => run.machine)) return [];
    return [
      element('h3', {}, 'Machine'),
      table(
          drnas.runs.map((run) => flatten(run.machine || {}, '', new Map())), new Set(), 'Machine')
    ];
  }

  drnas.configurationPanel = () => [...commands(), ...options(), ...machines()];
})();
