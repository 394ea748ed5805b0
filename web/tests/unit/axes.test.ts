import { expect, test } from 'vitest';
import { logTicks, padRange, roundTicks, tickY } from '../../src/chart/axes';
import { bytes, duration, metric, short, signed } from '../../src/lib/format';

test('ticks have as many digits as tell them apart', () => {
  expect(tickY([0.3, 0.325, 0.35])).toEqual(['0.300', '0.325', '0.350']);
  expect(tickY([1, 2, 3])).toEqual(['1', '2', '3']);
  expect(tickY([10000, 20000])).toEqual(['10k', '20k']);
});

test('a log axis within one decade has round ticks, over many decades powers of ten', () => {
  expect(logTicks(1.2, 2)).toEqual([1.2, 1.4, 1.6, 1.8, 2]);
  expect(logTicks(1, 100)).toEqual([1, 2, 5, 10, 20, 50, 100]);
  expect(logTicks(1e-6, 1e6).every((tick) => Number.isInteger(Math.round(Math.log10(tick))))).toBe(true);
  expect(roundTicks(0, 1, 4)).toEqual([0, 0.5, 1]);
});

test('a flat curve runs through the middle', () => {
  const [low, high] = padRange(2, 2, 'linear');
  expect((low + high) / 2).toBeCloseTo(2, 12);
  expect(low).toBeLessThan(high);
});

test('numbers for people', () => {
  expect([1234567, 999, 0.5, 1e9].map(short)).toEqual(['1.23M', '999', '0.5', '1G']);
  expect([1.23456, 12.3456, 0.00012, NaN, -Infinity, undefined].map(metric)).toEqual([
    '1.2346',
    '12.35',
    '1.20e-4',
    'NaN',
    '−∞',
    '–',
  ]);
  expect([0.25, -0.25, 0].map(signed)).toEqual(['+0.2500', '−0.2500', '±0']);
  expect([0.5, 59, 61, 3725, 200_000].map(duration)).toEqual(['500 ms', '59 s', '1 min', '1 h 2 min', '2 d 7 h']);
  expect([12, 1_100_000].map(bytes)).toEqual(['12 B', '1.1 MB']);
});
