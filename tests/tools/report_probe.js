// SPDX-License-Identifier: MIT
// Put into a report by the browser test: tells the page around it what a reader finds
// there, before and after controls have been used.
'use strict';

(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const marks = (figure) =>
      figure.querySelectorAll('.line path, .line circle, .band path, .band rect, .heat-cell')
          .length;
  const attributes = (node) => [...node.attributes].filter(
      (a) => a.name !== 'aria-label' && /NaN|undefined|Infinity|null/.test(a.value));

  const badAttributes = () =>
      all('svg, svg *, [style]')
          .flatMap(
              (node) => attributes(node).map(
                  (a) => `${node.nodeName} ${a.name}=${a.value.slice(0, 80)}`));

  /** What lies right of the window and is not in a part that scrolls by itself. */
  const beyond = () => all('body *')
                           .filter(
                               (node) => !node.closest('.scroll, nav, .tip, .menu-body, .spoken') &&
                                   node.getBoundingClientRect().right > innerWidth + 1)
                           .map((node) => `${node.nodeName} ${node.getAttribute('class')}`);

  const look = () => ({
    sections: all('main > section').map((node) => node.id),
    plots: all('figure.chart').map((node) => [node.dataset.plot, marks(node)]),
    faint: all('.faint').length,
    bad: badAttributes().slice(0, 5),
    beyond: beyond().slice(0, 5),
    scroll: document.documentElement.scrollWidth,
    inner: innerWidth,
    dark: matchMedia('(prefers-color-scheme: dark)').matches &&
        getComputedStyle(document.body).backgroundColor !== 'rgb(251, 251, 250)',
    height: Math.ceil(document.documentElement.getBoundingClientRect().height),
    heat: all('table.heat td').map((node) => node.textContent),
    summary: all('.summary tr.figures').map((node) => node.innerText),
    drawings: all('.drawing svg').length,
    injected: all('main b i, main td b, h1 i').length,
    addresses: all('[src], [href]')
                   .map((node) => node.getAttribute('src') ?? node.getAttribute('href'))
                   .filter((address) => !address.startsWith('#')),
  });

  const happen = (node, name) => node.dispatchEvent(new Event(name, {bubbles: true}));
  const press = (node, key) =>
      node.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));

  /** What each plot reads out at its last epoch. */
  function readings() {
    const found = {};
    for (const figure of all('figure.chart')) {
      const image = figure.querySelector('.chart-image[tabindex]');
      if (!image) continue;
      press(image, 'End');
      found[figure.dataset.plot] = figure.querySelector('.tip').innerText;
      press(image, 'Escape');
    }
    return found;
  }

  /** The heat map after the first epoch, chosen with the slider. */
  function firstHeat() {
    const slider = document.querySelector('.slider input');
    if (!slider) return null;
    const at = (value) => {
      slider.value = value;
      happen(slider, 'input');
      return all('table.heat td').map((node) => node.textContent);
    };
    const first = at(slider.min);
    at(slider.max);
    return first;
  }

  /** Elements are looked up anew each time: controls redraw the page. */
  function every(selector, act, step = 1) {
    for (let i = 0; i < all(selector).length; i += step) act(all(selector)[i]);
  }

  function operate() {
    every('select', (node) => {
      for (const option of [...node.options])
        if (node.isConnected) {
          node.value = option.value;
          happen(node, 'change');
        }
    });
    every('input[type=radio]', (node) => node.click());
    every('input[type=range]', (node) => {
      for (const value of [node.min, node.max / 2, node.max]) {
        node.value = value;
        happen(node, 'input');
      }
    });
    every('.legend button', (node) => node.click(), 7);  // all plots have the same ones
    every('.heat tbody button', (node) => node.click());
    every('.chart-image', (node) => {
      for (const key of ['End', 'ArrowLeft', 'ArrowRight', 'Home', 'Escape']) press(node, key);
    });
    every('input[type=checkbox]', (node) => node.click());
    dispatchEvent(new Event('beforeprint'));
    dispatchEvent(new Event('afterprint'));
  }

  function probe() {
    const found = {before: look(), readings: readings(), firstHeat: firstHeat()};
    const toggle = document.querySelector('.legend button');
    if (toggle) {
      toggle.click();
      found.oneHidden = look();
      document.querySelector('.legend button').click();
    }
    if (OPERATE) operate();
    parent.postMessage(JSON.stringify({...found, after: look(), errors: window.probeErrors}), '*');
  }

  addEventListener('load', () => setTimeout(probe, 300));
})();
