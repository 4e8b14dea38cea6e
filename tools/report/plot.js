// SPDX-License-Identifier: MIT
// The plotting layer: drnas.chart draws layers over one x axis and one y axis as SVG.
//   spec: { title, unit, note, layers, legend, x: [first, last], log, zero, show }
//   layers: { type: 'line', points: [[x, y]], color, dash, faint, dots, label, show }
//           { type: 'band', points: [[x, low, high]], color, opacity, label, values: [[x, y]] }
//           { type: 'error', points: [[x, low, high]], color }
//           { type: 'rule', y, color, label }      a level over the whole width
//           { type: 'mark', x, color, label }      an event: triangle and dotted line
//           { type: 'boundary', x, label }         where a stage begins
// `label` names the layer in the read-out, which shows `values` (lines: `points`). null is a gap.
'use strict';

(() => {
  const {element, svg, finite} = drnas;

  const usable = (spec, y) => finite(y) && (!spec.log || y > 0);
  const drawn = (layer) => (layer.type === 'rule' ? [[null, layer.y]] : layer.points || []);

  function domains(spec) {
    const xs = [], ys = [];
    for (const layer of spec.layers) {
      if (layer.type === 'mark' || layer.type === 'boundary') continue;
      for (const [x, ...values] of drawn(layer)) {
        const good = values.filter((y) => usable(spec, y));
        if (x !== null && (good.length)) xs.push(x);
        ys.push(...good);
      }
    }
    const x = spec.x ? [...spec.x] : xs.length ? [Math.min(...xs), Math.max(...xs)] : [0, 1];
    if (x[0] === x[1]) x.splice(0, 2, x[0] - 0.5, x[1] + 0.5);
    return {x, y: drnas.domain(ys, spec)};
  }

  function frameOf(spec, width, height) {
    const {x, y} = domains(spec);
    const marked = spec.layers.some((layer) => layer.type === 'mark' || layer.type === 'boundary');
    const frame = {width, height, top: marked ? 22 : 10, bottom: height - 40, right: width - 14};
    frame.y = drnas.scale(y, [frame.bottom, frame.top], spec);
    frame.yTicks = frame.y.ticks(Math.max(3, Math.round((frame.bottom - frame.top) / 34)));
    frame.left = 16 + 6.8 * Math.max(2, ...frame.yTicks.map((tick) => tick.text.length));
    frame.x = drnas.scale(x, [frame.left, frame.right], {integer: true});
    frame.xTicks = frame.x.ticks(Math.max(2, Math.round((frame.right - frame.left) / 70)));
    return frame;
  }

  function axes(frame, spec) {
    const lines = frame.yTicks.map(({value}) => svg('line', {
                                     class: 'grid',
                                     x1: frame.left,
                                     x2: frame.right,
                                     y1: frame.y.at(value),
                                     y2: frame.y.at(value)
                                   }));
    const left = frame.yTicks.map(
        ({value, text}) =>
            svg('text', {x: frame.left - 8, y: frame.y.at(value) + 4, 'text-anchor': 'end'}, text));
    const below = frame.xTicks.map(
        ({value, text}) =>
            svg('g', {}, svg('line', {
                  class: 'tick',
                  x1: frame.x.at(value),
                  x2: frame.x.at(value),
                  y1: frame.bottom,
                  y2: frame.bottom + 4
                }),
                svg('text', {x: frame.x.at(value), y: frame.bottom + 17, 'text-anchor': 'middle'},
                    text)));
    return svg(
        'g', {class: 'axes', 'aria-hidden': 'true'}, lines, left, below,
        svg('line',
            {class: 'axis', x1: frame.left, x2: frame.right, y1: frame.bottom, y2: frame.bottom}),
        svg('text', {
          class: 'axis-title',
          x: (frame.left + frame.right) / 2,
          y: frame.bottom + 34,
          'text-anchor': 'middle'
        },
            'epoch'));
  }

  const at = (value) => Math.round(value * 100) / 100;

  /** Runs of neighbouring points without a gap. */
  function pieces(points, good) {
    const all = [[]];
    for (const point of points)
      if (point.slice(1).every(good))
        all[all.length - 1].push(point);
      else
        all.push([]);
    return all.filter((piece) => piece.length);
  }

  function drawLine(layer, frame, spec) {
    const parts = pieces(layer.points, (y) => usable(spec, y));
    const place = ([x, y]) => `${at(frame.x.at(x))},${at(frame.y.at(y))}`;
    const path = parts.filter((piece) => piece.length > 1)
                     .map((piece) => `M${piece.map(place).join('L')}`)
                     .join('');
    const few = layer.points.length <= 16 && !layer.faint;
    const circles = parts.filter((piece) => piece.length === 1 || few || layer.dots).flat();
    const style = {'--color': layer.color};
    return svg(
        'g', {class: layer.faint ? 'line faint' : 'line', style},
        path ? svg('path', {d: path, 'stroke-dasharray': layer.dash}) : null,
        circles.map(
            ([x, y]) =>
                svg('circle',
                    {cx: at(frame.x.at(x)), cy: at(frame.y.at(y)), r: layer.faint ? 1.5 : 2.6})));
  }

  function drawBand(layer, frame, spec) {
    const inside = (y) => frame.y.at(y);
    const style = {'--color': layer.color, '--opacity': layer.opacity || 0.18};
    const parts = pieces(layer.points, (y) => usable(spec, y));
    return svg('g', {class: 'band', style}, parts.map((piece) => {
      if (piece.length === 1) {
        const [[x, low, high]] = piece;
        const top = inside(high), half = Math.min(14, (frame.right - frame.left) / 8);
        return svg('rect', {
          x: at(frame.x.at(x) - half),
          y: at(top),
          width: 2 * half,
          height: at(Math.max(0.5, inside(low) - top))
        });
      }
      const upper = piece.map(([x, , high]) => `${at(frame.x.at(x))},${at(inside(high))}`);
      const lower = piece.map(([x, low]) => `${at(frame.x.at(x))},${at(inside(low))}`).reverse();
      return svg('path', {d: `M${[...upper, ...lower].join('L')}Z`});
    }));
  }

  function drawErrors(layer, frame, spec) {
    const good = layer.points.filter((point) => point.slice(1).every((y) => usable(spec, y)));
    return svg(
        'g', {class: 'errors', style: {'--color': layer.color}}, good.map(([x, low, high]) => {
          const [cx, top, bottom] = [at(frame.x.at(x)), at(frame.y.at(high)), at(frame.y.at(low))];
          const cap = (y) => `M${cx - 3},${y}L${cx + 3},${y}`;
          return svg('path', {d: `M${cx},${top}L${cx},${bottom}${cap(top)}${cap(bottom)}`});
        }));
  }

  function drawRule(layer, frame, spec) {
    if (!usable(spec, layer.y)) return null;
    const y = at(frame.y.at(layer.y));
    return svg(
        'g', {class: 'rule', style: {'--color': layer.color}},
        svg('line', {x1: frame.left, x2: frame.right, y1: y, y2: y}),
        svg('text',
            {x: frame.right - 4, y: y < frame.top + 14 ? y + 14 : y - 5, 'text-anchor': 'end'},
            layer.label));
  }

  function drawMark(layer, frame) {
    const x = at(frame.x.at(layer.x));
    return svg(
        'g', {class: 'mark', style: {'--color': layer.color}}, svg('title', {}, layer.label),
        svg('line', {x1: x, x2: x, y1: frame.top, y2: frame.bottom}),
        svg('path', {d: `M${x - 5},${frame.top - 9}h10l-5,9z`}));
  }

  function drawBoundary(layer, frame) {
    const x = at(frame.x.at(layer.x - 0.5));
    return svg(
        'g', {class: 'boundary'}, svg('line', {x1: x, x2: x, y1: frame.top - 12, y2: frame.bottom}),
        svg('text', {x: x + 4, y: frame.top - 9}, layer.label));
  }

  const painters = {
    line: drawLine,
    band: drawBand,
    error: drawErrors,
    rule: drawRule,
    mark: drawMark,
    boundary: drawBoundary
  };

  function spoken(spec) {
    const lines =
        spec.layers.filter((layer) => layer.label && (layer.values || layer.type === 'line'));
    const parts = lines.slice(0, 8).map((layer) => {
      const values = (layer.values || layer.points).map((p) => p[1]).filter(finite);
      if (!values.length) return `${layer.label}: no values`;
      const show = layer.show || spec.show || drnas.format.number;
      return `${layer.label}: from ${show(values[0])} to ${show(values[values.length - 1])}`;
    });
    const title = spec.unit ? `${spec.title} in ${spec.unit}` : spec.title;
    return `${title}. ${parts.join('; ')}. Arrow keys read values.`;
  }

  function paint(image, spec, width, height) {
    const frame = frameOf(spec, width, height);
    image.setAttribute('viewBox', `0 0 ${width} ${frame.height}`);
    const layers = spec.layers.map((layer) => painters[layer.type](layer, frame, spec));
    const cursor = svg('line', {class: 'cursor', x1: 0, x2: 0, y1: frame.top, y2: frame.bottom});
    image.replaceChildren(axes(frame, spec), ...layers.filter(Boolean), cursor);
    return {...frame, cursor};
  }

  function swatch(entry) {
    const shape = entry.box ? svg('rect', {
      x: 4,
      y: 1,
      width: 14,
      height: 10,
      rx: 2,
      style: {fill: entry.color, opacity: entry.opacity || 1}
    }) :
                              svg('line', {
                                x1: 1,
                                x2: 21,
                                y1: 6,
                                y2: 6,
                                'stroke-dasharray': entry.dash,
                                style: {stroke: entry.color}
                              });
    return svg('svg', {class: 'swatch', viewBox: '0 0 22 12', 'aria-hidden': 'true'}, shape);
  }
  drnas.swatch = swatch;

  /** Entries { label, color, dash, box }; with `toggle` (a function) and `off` they are buttons. */
  drnas.legend = (entries) => element(
      'ul', {class: 'legend'},
      entries.map(
          (entry) => element(
              'li', {},
              entry.toggle ? element(
                                 'button', {
                                   type: 'button',
                                   'aria-pressed': String(!entry.off),
                                   'data-key': `legend ${entry.label}`,
                                   onclick: entry.toggle
                                 },
                                 swatch(entry), entry.label) :
                             element('span', {}, swatch(entry), entry.label))));

  const paperWidth = 400;
  let usual = 560;  // what charts were wide last: a new one is most likely as wide
  const least = (width) => Math.round(Math.min(290, Math.max(220, width * 0.5)));

  /**
     Keeps what `paint(width, height)` draws as large as `box`, which is at least least(width)
     high; figure.fitPaper() and figure.fitScreen() draw it for print and back.
   */
  drnas.fit = (figure, box, paint, leastHeight = least) => {
    let width = usual, height = 0;
    const draw = () => {
      box.style.minHeight = `${leastHeight(width)}px`;
      height = Math.max(leastHeight(width), Math.min(box.clientHeight, Math.round(width * 1.25)));
      paint(width, height);
    };
    draw();
    new ResizeObserver(() => {
      const now = Math.round(box.clientWidth);
      if (now < 80 || (now === width && Math.abs(box.clientHeight - height) < 2)) return;
      width = usual = now;
      draw();
    }).observe(box);
    figure.fitPaper = () => {
      box.style.minHeight = '';
      paint(paperWidth, leastHeight(paperWidth));
    };
    figure.fitScreen = draw;
  };

  drnas.chart = (spec) => {
    const image =
        svg('svg', {class: 'chart-image', role: 'img', tabindex: 0, 'aria-label': spoken(spec)});
    const box = element('div', {class: 'plot'}, image);
    const hover = drnas.hover(box, image, spec);
    const figure = element(
        'figure', {class: 'chart', 'data-plot': spec.title},
        element(
            'figcaption', {},
            element(
                'h3', {}, spec.title,
                spec.unit ? element('span', {class: 'unit'}, ` (${spec.unit})`) : null),
            spec.note ? element('p', {class: 'note'}, spec.note) : null),
        spec.legend && spec.legend.length ? drnas.legend(spec.legend) : null, box);
    drnas.fit(figure, box, (width, height) => hover.follow(paint(image, spec, width, height)));
    return figure;
  };
})();
