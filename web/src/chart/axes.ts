// Ticks and ranges. Pure.

import type { Distribution } from '../lib/align';
import { duration, metric, short } from '../lib/format';
import type { XAxis } from '../lib/viewState';

export const X_LABEL: Record<XAxis, string> = {
  step: 'step',
  tokens: 'tokens',
  time: 'wall time',
};

export function showX(x: number, axis: XAxis): string {
  if (axis === 'time') return duration(x);
  return axis === 'step' && Number.isInteger(x) ? x.toLocaleString('en') : short(x);
}

export function tickX(x: number, axis: XAxis): string {
  if (x === 0) return '0';
  return axis === 'time' ? duration(x) : short(x);
}

/** Seconds that make round times. */
export const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200]
  .concat([1, 2, 5, 10, 20, 50].map((days) => days * 86400));

/** As many digits as tell the ticks apart. */
export function tickY(ticks: readonly (number | null)[]): string[] {
  const shown = ticks.filter((tick): tick is number => tick !== null);
  const gaps = shown.slice(1).map((tick, index) => Math.abs(tick - shown[index]));
  const gap = Math.min(...gaps.filter((size) => 0 < size));
  const digits = digitsOf(gap);
  const largest = Math.max(...shown.map(Math.abs));
  return ticks.map((tick) => {
    if (tick === null) return '';
    if (1e4 <= largest) return short(tick);
    if (largest < 1e-3) return tick === 0 ? '0' : tick.toExponential(0).replace('-', '−').replace('e−', 'e-');
    return digits === undefined ? metric(tick) : tick.toFixed(digits).replace('-', '−');
  });
}

/** Decimals that write a gap exactly: 1 for 0.5, 3 for 0.025; none where it takes too many. */
function digitsOf(gap: number): number | undefined {
  const exact = (digits: number) => Math.abs(Math.round(gap * 10 ** digits) / 10 ** digits - gap) < gap / 100;
  return [0, 1, 2, 3, 4, 5].find(exact);
}

/** A little air above and below; a flat curve runs through the middle. */
export function padRange(low: number, high: number, scale: Distribution): [number, number] {
  if (scale === 'log') {
    const [a, b] = [Math.log10(Math.max(low, Number.MIN_VALUE)), Math.log10(Math.max(high, Number.MIN_VALUE))];
    const air = a === b ? 0.05 : (b - a) * 0.06;
    return [10 ** (a - air), 10 ** (b + air)];
  }
  const air = low === high ? Math.max(Math.abs(low) * 0.05, 1e-9) : (high - low) * 0.06;
  // a count or an accuracy that touches zero stands on it
  return [low === 0 ? 0 : low - air, high + air];
}

/** Round numbers between two bounds: 1, 2 or 5 times a power of ten apart. */
export function roundTicks(low: number, high: number, wanted: number): number[] {
  const raw = (high - low) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((factor) => raw <= factor * power) ?? 10) * power;
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step); k * step <= high * (1 + 1e-12); k++) {
    ticks.push(Number((k * step).toPrecision(12)));
  }
  return ticks;
}

/** Ticks of a log axis: powers of ten, with 2 and 5 where there is room, or round numbers in a decade. */
export function logTicks(low: number, high: number): number[] {
  if (high / low < 8) return roundTicks(low, high, 4);
  const decades = Math.log10(high / low);
  const factors = decades < 3 ? [1, 2, 5] : [1];
  const stride = Math.max(1, Math.ceil(decades / 6));
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    if (power % stride !== 0) continue;
    for (const factor of factors) {
      const tick = factor * 10 ** power;
      if (low <= tick && tick <= high) ticks.push(Number(tick.toPrecision(6)));
    }
  }
  return ticks;
}
