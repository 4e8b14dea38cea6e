// SPDX-License-Identifier: MIT
// Read-out of a chart: the values at the x next to the pointer, or chosen with the arrow keys.
'use strict';

(() => {
  const {element, finite} = drnas;

  const readable = (layer) => layer.label && (layer.values || layer.type === 'line');

  function positions(spec) {
    const xs = new Set();
    for (const layer of spec.layers)
      if (readable(layer))
        for (const [x, y] of layer.values || layer.points) {
          if (finite(y)) xs.add(x);
        }
      else if (layer.type === 'mark')
        xs.add(layer.x);
    return [...xs].sort((a, b) => a - b);
  }

  function rows(spec, x) {
    const found = [];
    for (const layer of spec.layers) {
      if (layer.type === 'mark' && layer.x === x)
        found.push(element('p', {class: 'event'}, `▲ ${layer.label}`));
      if (!readable(layer)) continue;
      const point = (layer.values || layer.points).find((p) => p[0] === x);
      if (!point || !finite(point[1])) continue;
      const show = layer.show || spec.show || drnas.format.number;
      const value = point.text || show(point[1]);
      found.push(element(
          'div', {class: 'row'}, drnas.swatch({...layer, box: layer.type === 'band', opacity: 1}),
          element('span', {}, layer.label), element('b', {}, value)));
    }
    return found;
  }

  /** Puts a read-out into `box`; follow(frame) tells it where the chart was drawn last. */
  drnas.hover = (box, image, spec) => {
    const tip = element('div', {class: 'tip', role: 'status', hidden: true});
    box.append(tip);
    const xs = positions(spec);
    let frame = null, current = -1;

    const hide = () => {
      tip.hidden = true;
      frame.cursor.classList.remove('shown');
    };
    const show = (index) => {
      current = index;
      const x = xs[index];
      const lines = rows(spec, x);
      if (!lines.length) return hide();
      tip.replaceChildren(element('p', {class: 'where'}, `epoch ${x}`), ...lines);
      tip.hidden = false;
      const pixel = frame.x.at(x);
      frame.cursor.setAttribute('x1', pixel);
      frame.cursor.setAttribute('x2', pixel);
      frame.cursor.classList.add('shown');
      const scale = box.clientWidth / frame.width || 1;
      const space = 14, wide = tip.offsetWidth;
      const right = pixel * scale + space;
      const place =
          right + wide <= box.clientWidth ? right : Math.max(0, pixel * scale - space - wide);
      tip.style.left = `${place}px`;
      return undefined;
    };

    image.addEventListener('pointermove', (event) => {
      const bounds = image.getBoundingClientRect();
      const wanted = frame.x.invert(((event.clientX - bounds.left) / bounds.width) * frame.width);
      let best = 0;
      for (let i = 1; i < xs.length; ++i)
        if (Math.abs(xs[i] - wanted) < Math.abs(xs[best] - wanted)) best = i;
      if (xs.length) show(best);
    });
    image.addEventListener('pointerleave', hide);
    image.addEventListener('blur', hide);
    image.addEventListener('keydown', (event) => {
      const moves = {ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: xs.length - 1};
      if (event.key === 'Escape') hide();
      if (!(event.key in moves) || !xs.length) return;
      event.preventDefault();
      show(Math.min(xs.length - 1, Math.max(0, moves[event.key])));
    });
    return {
      follow: (now) => {
        frame = now;
      }
    };
  };
})();
