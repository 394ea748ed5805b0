import { describe, expect, test } from 'vitest';
import { append, robustRange, smooth, thin, valueAt, within, type Points } from '../../src/lib/series';

const points = (steps: number[], values: number[] = steps): Points => ({
  steps,
  values,
  times: steps.map((step) => step * 1000),
});

describe('append', () => {
  test('a tail that follows is put behind', () => {
    expect(append(points([1, 2]), points([3])).steps).toEqual([1, 2, 3]);
  });

  test('at one step the newer point wins', () => {
    const joined = append(points([1, 2, 3], [10, 20, 30]), points([2, 4], [21, 40]));
    expect(joined.steps).toEqual([1, 2, 3, 4]);
    expect(joined.values).toEqual([10, 21, 30, 40]);
  });

  test('a tail that comes twice changes nothing the second time', () => {
    const once = append(points([0, 5]), points([5, 6, 7]));
    expect(append(once, points([5, 6, 7]))).toEqual(once);
  });

  test('NaN is a value like others', () => {
    expect(append(points([1]), points([2], [NaN])).values).toEqual([1, NaN]);
  });
});

describe('thin', () => {
  // the controller's own example: steps 0 to 8 in at most 5 points are the first and the last of
  // each bucket of 4
  test('the last point of each bucket stays, and the first of all', () => {
    expect(thin(points([0, 1, 2, 3, 4, 5, 6, 7, 8]), 5).steps).toEqual([0, 3, 7, 8]);
  });

  test('few points stay as they are', () => {
    const few = points([1, 2, 3]);
    expect(thin(few, 3)).toBe(few);
  });

  test('edges stay where they are while a series grows', () => {
    const line = (n: number) => points(Array.from({ length: n }, (_, step) => step));
    const before = thin(line(100), 30).steps.slice(0, -1);
    expect(thin(line(110), 30).steps.slice(0, before.length)).toEqual(before);
  });
});

test('within keeps both ends', () => {
  expect(within(points([1, 2, 3, 4]), 2, 3).steps).toEqual([2, 3]);
  expect(within(points([1, 2]), 5, 9).steps).toEqual([]);
});

describe('smooth', () => {
  test('strength 0 changes nothing', () => {
    expect(smooth([0, 1, 2], [3, 1, 2], 0)).toEqual([3, 1, 2]);
  });

  test('a constant stays constant from the first point on', () => {
    for (const y of smooth([0, 10, 20, 30], [5, 5, 5, 5], 0.9)) expect(y).toBeCloseTo(5, 12);
  });

  // by hand: sqrt(0.9604) = 0.98; x moves by 1 of a range of 1000, so each step fades once:
  // (1 * 0.98 + 3) / (0.98 + 1) = 2.0101...
  test('two points weigh as the formula says', () => {
    const xs = [0, 1, 1000];
    expect(smooth(xs, [1, 3, 3], 0.9604)[1]).toBeCloseTo(3.98 / 1.98, 12);
  });

  test('what is not finite stays and does not enter', () => {
    const smoothed = smooth([0, 1, 1000], [1, NaN, 1], 0.9);
    expect(smoothed[1]).toBeNaN();
    expect(smoothed[2]).toBeCloseTo(1, 12);
  });
});

describe('valueAt', () => {
  test('between two points it lies on the line', () => {
    expect(valueAt([0, 10, 20], [0, 100, 0], 5)).toBe(50);
    expect(valueAt([0, 10, 20], [0, 100, 0], 10)).toBe(100);
    expect(valueAt([0, 10, 20], [0, 100, 0], 20)).toBe(0);
  });

  test('outside, and beside what is not finite, there is none', () => {
    expect(valueAt([0, 10], [1, 2], 11)).toBeUndefined();
    expect(valueAt([], [], 0)).toBeUndefined();
    expect(valueAt([0, 10], [1, NaN], 5)).toBeUndefined();
    expect(valueAt([0, 10], [1, Infinity], 0)).toBe(1);
  });
});

test('a robust range leaves out the outermost share on both sides', () => {
  const values = [NaN, ...Array.from({ length: 100 }, (_, index) => index), Infinity];
  expect(robustRange(values, 0.02)).toEqual([2, 97]);
});
