import { expect, test } from 'vitest';
import type { AxisView } from '../../src/api/client';
import { colorBy } from '../../src/lib/color';
import { compareValues, numeric, showValue } from '../../src/lib/values';
import { run } from './runs';

const LR: AxisView = { path: 'train.lr.peak', label: 'lr', values: [1e-3, 3e-4, 3e-3] };
const RUNS = [1e-3, 3e-4, 3e-3].map((lr, index) => run(index + 1, { axes: { 'train.lr.peak': lr } }));

test('a color follows the value, not the order or the company of its run', () => {
  const all = colorBy(LR, RUNS, 'light');
  const turned = colorBy(LR, [...RUNS].reverse().slice(1), 'light');
  for (const each of RUNS) expect(turned.look(each)).toEqual(all.look(each));
});

test('ordered numbers run along one palette, in the order of their size', () => {
  const { isOrdered, legend } = colorBy(LR, RUNS, 'light');
  expect(isOrdered).toBe(true);
  expect(legend.map(({ text }) => text)).toEqual(['3e-4', '1e-3', '3e-3']);
  expect(legend[0].look.color).toBe('#440154');
});

test('words are categories; the ninth has a dash', () => {
  const values = ['wsd', 'cosine', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
  const axis = { path: 'train.lr.schedule', label: 'schedule', values };
  const { isOrdered, legend } = colorBy(axis, [], 'dark');
  expect(isOrdered).toBe(false);
  expect(new Set(legend.slice(0, 8).map(({ look }) => look.color)).size).toBe(8);
  expect(legend[8].look.color).toBe(legend[0].look.color);
  expect(legend[8].look.dash).not.toEqual(legend[0].look.dash);
});

test('values are numbers where they are written as numbers', () => {
  expect(numeric('2%')).toBeCloseTo(0.02, 12);
  expect(numeric('200k')).toBe(200_000);
  expect(numeric('40 steps')).toBe(40);
  expect(numeric('cosine')).toBeUndefined();
  expect([0.5, 'b', '10%', 'a'].sort(compareValues)).toEqual(['10%', 0.5, 'a', 'b']);
});

test('small and large values are shown as people write them', () => {
  expect([0.001, 0.0003, 0.25, 1000, 2e6, 0].map(showValue)).toEqual(['1e-3', '3e-4', '0.25', '1000', '2e6', '0']);
});
