// SPDX-License-Identifier: MIT
// How numbers are written, and axes: ticks and scales.
'use strict';

(() => {
  const missing = '–';
  const minus = (text) => text.replace(/-/g, '−');
  /** Thousands apart, by thin spaces, from five digits on. */
  const apart = (text) =>
      (/^-?\d{5,}$/.test(text) ? text.replace(/\B(?=(\d{3})+$)/g, '\u2009') : text);
  const format = {};
  drnas.format = format;

  /** Four significant digits; tiny and huge values with a power of ten. */
  format.number = (value, digits = 4) => {
    if (!drnas.finite(value)) return missing;
    const size = Math.abs(value);
    if (size > 0 && (size < 1e-3 || size >= 1e6)) return minus(value.toExponential(digits - 2));
    if (Number.isInteger(value)) return minus(apart(String(value)));
    return minus(size >= 1000 ? apart(value.toFixed(0)) : value.toPrecision(digits));
  };

  format.percent = (value) => (drnas.finite(value) ? `${minus(value.toFixed(2))} %` : missing);

  format.bytes = (value) => {
    if (!drnas.finite(value)) return missing;
    const {divisor, unit} = format.byteUnit(value);
    return `${format.number(value / divisor)} ${unit}`;
  };
  /** The unit in which a plot of bytes up to `largest` is drawn. */
  format.byteUnit = (largest) => (
      largest >= 1024 ** 3 ? {divisor: 1024 ** 3, unit: 'GiB'} : {divisor: 1024 ** 2, unit: 'MiB'});
  format.timeUnit = (milliseconds) =>
      (milliseconds >= 2000 ? {divisor: 1000, unit: 's'} : {divisor: 1, unit: 'ms'});

  format.seconds = (value) => {
    if (!drnas.finite(value)) return missing;
    if (value < 60) return `${format.number(value, 3)} s`;
    const whole = Math.round(value);
    const two = (part) => String(part).padStart(2, '0');
    if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
    return `${Math.floor(whole / 3600)}:${two(Math.floor((whole % 3600) / 60))} h`;
  };

  /** Values of a sample as 'mean ± deviation'. */
  format.spread = (values, show) => {
    if (!values.length) return missing;
    const deviation = drnas.deviation(values);
    if (deviation === null) return show(drnas.mean(values));
    const [mean, spread] = [show(drnas.mean(values)), show(deviation)];
    const unit = (text) => text.split(' ')[1];
    return `${unit(mean) === unit(spread) ? mean.split(' ')[0] : mean} ± ${spread}`;
  };

  format.dataset = (name) =>
      ({cifar10: 'CIFAR-10', cifar100: 'CIFAR-100', imagenet16_120: 'ImageNet-16-120'})[name] ||
      name;

  function niceStep(rough, integer) {
    const power = 10 ** Math.floor(Math.log10(rough));
    const off = (m) => Math.abs(Math.log((m * power) / rough));
    const step = (integer ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10])
                     .reduce((best, m) => (off(m) < off(best) ? m : best)) *
        power;
    return integer ? Math.max(1, Math.round(step)) : step;
  }

  /** About `count` round values within [low, high] and the text of each. */
  function linearTicks(low, high, count, integer) {
    const step = niceStep((high - low) / Math.max(1, count), integer);
    const decimals = Math.max(
        0,
        -Math.floor(Math.log10(step) + 1e-9) +
            (/^25/.test(String(step).replace(/[0.]/g, '')) ? 1 : 0));
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
      const text = step < 1e-5 || Math.abs(high) >= 1e6 ? (i * step).toExponential(1) :
                                                          (i * step).toFixed(decimals);
      ticks.push({value: i * step, text: minus(apart(text.replace(/^-(0(\.0*)?)$/, '$1')))});
    }
    return ticks;
  }

  function powerText(value) {
    if (value >= 1e-3 && value < 1e5) return String(Number(value.toPrecision(3)));
    return minus(value.toExponential(0));
  }

  function logTicks(low, high, count) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    const few = last - first <= 3;
    const skip = Math.max(1, Math.ceil((last - first) / Math.max(2, count)));
    const ticks = [];
    for (let power = first; power <= last; ++power)
      for (const m of few ? [1, 2, 5] : [1]) {
        const value = m * 10 ** power;
        if (value < low * 0.999 || value > high * 1.001 || (!few && (power - first) % skip))
          continue;
        ticks.push({value, text: powerText(value)});
      }
    return ticks;
  }

  /**
   * A scale from values in `domain` to pixels in `range`; at(value), ticks(count), invert(pixel).
   */
  drnas.scale = (domain, range, {log = false, integer = false} = {}) => {
    const forward = log ? Math.log10 : (v) => v;
    const [a, b] = domain.map(forward);
    const slope = (range[1] - range[0]) / (b - a || 1);
    return {
      at: (value) => range[0] + (forward(value) - a) * slope,
      invert: (pixel) =>
          (log ? 10 ** (a + (pixel - range[0]) / slope) : a + (pixel - range[0]) / slope),
      ticks: (count) => {
        const ticks = log ? logTicks(domain[0], domain[1], count) : [];
        return ticks.length > 1 ? ticks : linearTicks(domain[0], domain[1], count, integer);
      },
    };
  };

  /** The domain of values with some room; from zero where `zero`. */
  drnas.domain = (values, {log = false, zero = false} = {}) => {
    let low = Infinity, high = -Infinity;
    for (const v of values) {
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
    if (!(low <= high)) return log ? [0.1, 1] : [0, 1];
    if (log)
      return low === high ? [low / 2, high * 2] :
                            [low / (high / low) ** 0.05, high * (high / low) ** 0.05];
    if (zero) return [Math.min(0, low), high > 0 ? high * 1.06 : 1];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  };
})();
