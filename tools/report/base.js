// SPDX-License-Identifier: MIT
// The one global object: elements of the page, figures of samples, what the reader has chosen.
'use strict';

const drnas = {};

(() => {
  const svgNamespace = 'http://www.w3.org/2000/svg';

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith('on'))
        node.addEventListener(name.slice(2), value);
      else if (name === 'style')
        for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
      else
        node.setAttribute(name, value === true ? '' : value);
    }
    node.append(
        ...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }

  /** An HTML element; strings among the children become text, never markup. */
  drnas.element = (name, attributes, ...children) =>
      fill(document.createElement(name), attributes, children);
  drnas.svg = (name, attributes, ...children) =>
      fill(document.createElementNS(svgNamespace, name), attributes, children);

  drnas.finite = (value) => typeof value === 'number' && Number.isFinite(value);

  /**
   * Value at a path such as 'hessian.mu.trace', null where a part is missing or it is no finite
   * number.
   */
  drnas.number = (object, path) => {
    let at = object;
    for (const key of path.split('.')) {
      if (at === null || at === undefined) return null;
      at = at[key];
    }
    return drnas.finite(at) ? at : null;
  };

  drnas.mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
  /** Sample standard deviation, null for fewer than two values. */
  drnas.deviation = (values) => {
    if (values.length < 2) return null;
    const mean = drnas.mean(values);
    return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1));
  };

  /** What the reader has chosen; `change` redraws all that depends on it. */
  drnas.state = {hidden: new Set(), detail: 0, grouped: true, band: 'range'};
  const redraws = new Set();
  drnas.change = (what) => {
    Object.assign(drnas.state, what);
    for (const redraw of redraws) redraw();
  };

  /**
   * A part of the page drawn by `draw` (an array of nodes) again after each change; the focus
   * stays.
   */
  drnas.live = (draw, attributes) => {
    const box = drnas.element('div', attributes || {class: 'live'});
    const redraw = () => {
      const focused =
          box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
      box.replaceChildren(...[draw()].flat(Infinity).filter(Boolean));
      if (focused === undefined) return;
      const again =
          [...box.querySelectorAll('[data-key]')].find((node) => node.dataset.key === focused);
      if (again) again.focus();
    };
    redraws.add(redraw);
    redraw();
    box.redraw = redraw;
    return box;
  };

  let names = 0;
  drnas.uniqueId = () => `id${++names}`;

  /** A labelled select; options are [value, text]. */
  drnas.select = (label, options, value, onchange) => {
    const select = drnas.element(
        'select', {onchange: () => onchange(select.value)},
        options.map(
            ([key, text]) =>
                drnas.element('option', {value: key, selected: key === String(value)}, text)));
    return drnas.element('label', {class: 'control'}, drnas.element('span', {}, label), select);
  };

  /** A switch between a few values, as radio buttons. */
  drnas.choice = (label, options, value, onchange) => {
    const name = drnas.uniqueId();
    return drnas.element(
        'fieldset', {class: 'choice'}, drnas.element('legend', {}, label),
        options.map(
            ([key, text]) => drnas.element(
                'label', {}, drnas.element('input', {
                  type: 'radio',
                  name,
                  value: key,
                  checked: key === value,
                  onchange: () => onchange(key)
                }),
                drnas.element('span', {}, text))));
  };

  drnas.checkbox = (label, checked, onchange) => {
    const input = drnas.element(
        'input', {type: 'checkbox', checked, onchange: () => onchange(input.checked)});
    return drnas.element('label', {class: 'control'}, input, drnas.element('span', {}, label));
  };

  /** A button that does `action` and says so for a moment. */
  drnas.actionButton = (text, done, action, label) => {
    const button =
        drnas.element('button', {type: 'button', class: 'action', 'aria-label': label}, text);
    button.addEventListener('click', async () => {
      button.textContent = (await action()) === false ? 'Not possible here' : done;
      setTimeout(() => {
        button.textContent = text;
      }, 1500);
    });
    return button;
  };

  function copyBySelection(text) {
    const area = drnas.element('textarea', {class: 'off-screen'});
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand('copy');
    area.remove();
    return copied;
  }

  // Pages opened as files may lack the clipboard interface.
  drnas.copyButton = (text, label) => drnas.actionButton('Copy', 'Copied', async () => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch (refused) {
      return copyBySelection(text);
    }
  }, label);

  drnas.download = (name, text, type) => {
    const address = URL.createObjectURL(new Blob([text], {type}));
    drnas.element('a', {href: address, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  };
})();
