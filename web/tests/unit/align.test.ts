import { expect, test } from 'vitest';
import { align } from '../../src/lib/align';

const LINEAR = { x: 'linear', y: 'linear' } as const;

test('curves keep their own points over the union of all x', () => {
  const { xs, ys } = align([{ xs: [0, 2], ys: [1, 2] }, { xs: [1, 2], ys: [5, 6] }], 10, LINEAR);
  expect(xs).toEqual([0, 1, 2]);
  expect(ys).toEqual([
    [1, undefined, 2],
    [undefined, 5, 6],
  ]);
});

test('what cannot be drawn is a gap with a mark', () => {
  const ys = [1, NaN, Infinity, -Infinity];
  const aligned = align([{ xs: [0, 1, 2, 3], ys }], 10, LINEAR);
  expect(aligned.ys[0]).toEqual([1, null, null, null]);
  expect(aligned.marks).toEqual([
    { curve: 0, x: 1, kind: 'nan' },
    { curve: 0, x: 2, kind: 'above' },
    { curve: 0, x: 3, kind: 'below' },
  ]);
});

test('a log axis marks what is not above zero, and has no place for x = 0', () => {
  const aligned = align([{ xs: [0, 1, 2], ys: [1, 0, 3] }], 10, { x: 'log', y: 'log' });
  expect(aligned.xs).toEqual([1, 2]);
  expect(aligned.ys[0]).toEqual([null, 3]);
  expect(aligned.marks).toEqual([{ curve: 0, x: 1, kind: 'below' }]);
});

test('x is rounded to a grid when there are too many, and the last point of a cell counts', () => {
  const xs = Array.from({ length: 101 }, (_, index) => index);
  const aligned = align([{ xs, ys: xs }], 11, LINEAR);
  expect(aligned.xs).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
  // 44 is the last that rounds to 40
  expect(aligned.ys[0][4]).toBe(44);
  expect(aligned.ys[0][10]).toBe(100);
});
