import { describe, expect, test } from 'vitest';
import { describe as metricOf } from '../../src/lib/metrics';
import { atEqual, best, difference, isPoint, seenScores, verdict } from '../../src/lib/rank';
import { order, type Column } from '../../src/sweep/columns';
import { done, inState, run } from './runs';

const BITS = metricOf('heldout/general/bits_per_byte');
const ACC = metricOf('task/aspects/acc');
const bits = (value: number) => ({ latest: { [BITS.name]: value } });

describe('best', () => {
  test('of bits per byte the lowest, of an accuracy the highest', () => {
    const runs = [1, 2, 3].map((n) =>
      run(n, { ...done('succeeded'), latest: { [BITS.name]: n, [ACC.name]: n / 10 } }),
    );
    expect(best(runs, BITS)?.run.number).toBe(1);
    expect(best(runs, ACC)?.run.number).toBe(3);
  });

  test('an unfinished run never wins, however good its value so far', () => {
    const runs = [
      run(1, { ...inState('leased'), ...bits(0.1) }),
      run(2, { ...done('diverged'), ...bits(0.2) }),
      run(3, { ...done('succeeded'), ...bits(1.5) }),
    ];
    expect(best(runs, BITS)).toMatchObject({ run: { number: 3 }, among: 1, ties: 0 });
  });

  test('an excluded run never wins, and is compared with nothing', () => {
    const excluded = { because: 'the disk was failing', author: 'anna', at: '2026-01-01T00:00:00Z' };
    const runs = [
      run(1, { ...done('succeeded'), ...bits(0.1), excluded }),
      run(2, { ...done('succeeded'), ...bits(1.5), is_baseline: true }),
    ];
    expect(best(runs, BITS)).toMatchObject({ run: { number: 2 }, among: 1 });
    expect(difference(runs[0], runs[1], BITS.name)).toBeUndefined();
    const column: Column = { key: BITS.name, title: '', kind: 'metric', metric: BITS };
    expect(order(runs, column, false)).toMatchObject({ runs: [{ number: 2 }, { number: 1 }], ranked: 1 });
  });

  test('runs that the points stand on are no points', () => {
    const base = run(1, { ...done('succeeded'), ...bits(0.1), axes: {} });
    expect(isPoint(base)).toBe(false);
    expect(best([base], BITS)).toBeUndefined();
    expect(isPoint(run(2, { axes: {}, is_baseline: true }))).toBe(true);
  });
});

describe('difference to the baseline', () => {
  const baseline = run(1, { ...done('succeeded'), ...bits(1.5), is_baseline: true });

  test('of two finished runs it is value less baseline', () => {
    const other = run(2, { ...done('succeeded'), ...bits(1.25) });
    expect(difference(other, baseline, BITS.name)).toBe(-0.25);
    expect(verdict(-0.25, BITS)).toBe('good');
    expect(verdict(-0.25, ACC)).toBe('bad');
  });

  test('there is none while either still trains', () => {
    const young = run(2, { ...inState('leased'), ...bits(1.25) });
    expect(difference(young, baseline, BITS.name)).toBeUndefined();
    const old = run(3, { ...done('succeeded'), ...bits(1.25) });
    expect(difference(old, { ...baseline, ...inState('leased') }, BITS.name)).toBeUndefined();
  });
});

test('sorted by a metric, unfinished runs come after the ranked ones', () => {
  const column: Column = { key: BITS.name, title: '', kind: 'metric', metric: BITS };
  const runs = [
    run(1, { ...inState('leased'), ...bits(0.5) }),
    run(2, { ...done('succeeded'), ...bits(1.5) }),
    run(3, { ...done('succeeded'), ...bits(1.25) }),
    run(4),
  ];
  const ascending = order(runs, column, false);
  expect(ascending.runs.map(({ number }) => number)).toEqual([3, 2, 1, 4]);
  expect(ascending.ranked).toBe(2);
  expect(order(runs, column, true).runs.map(({ number }) => number)).toEqual([2, 3, 1, 4]);
});

describe('at equal tokens', () => {
  const column: Column = { key: BITS.name, title: '', kind: 'metric', metric: BITS };
  const runs = [
    run(1, { ...done('succeeded'), ...bits(0.5), is_baseline: true }),
    run(2, { ...inState('leased'), ...bits(1.5) }),
    run(3, { ...inState('leased'), ...bits(0.25) }),
  ];
  const at = (number: number, value: number) => ({
    run_id: runs[number - 1].run_id,
    values: { [BITS.name]: { step: 4, value } },
  });
  const scores = atEqual({ tokens: 1024, runs: [at(1, 2), at(2, 1.75)] });

  test('runs that came so far are ranked by their values there, the others follow with their latest', () => {
    const { runs: ordered, ranked } = order(runs, column, false, scores);
    expect(ordered.map(({ number }) => number)).toEqual([2, 1, 3]);
    expect(ranked).toBe(2);
    expect(ordered.map((each) => scores.value(each, BITS.name))).toEqual([1.75, 2, 0.25]);
  });

  test('a difference is one of values there, and only between runs that came so far', () => {
    expect(difference(runs[1], runs[0], BITS.name, scores)).toBe(-0.25);
    expect(difference(runs[2], runs[0], BITS.name, scores)).toBeUndefined();
  });

  test('an excluded run is not ranked', () => {
    const excluded = { because: 'the disk was failing', author: 'anna', at: '2026-01-01T00:00:00Z' };
    const left = { ...runs[1], excluded };
    expect(scores.isRanked(left)).toBe(false);
    expect(seenScores([left])).not.toBe(seenScores([runs[1]]));
  });

  test('only a new score asks anew, not a step of training', () => {
    expect(seenScores([{ ...runs[1], step: 9, latest: { ...runs[1].latest, 'train/loss': 3 } }])).toBe(
      seenScores([runs[1]]),
    );
    expect(seenScores([{ ...runs[1], ...bits(1.25) }])).not.toBe(seenScores([runs[1]]));
  });
});
