import { describe, expect, test } from 'vitest';
import { withNames, withPoints, withRuns } from '../../src/api/apply';
import { numbers, type SeriesPoints, type SweepSummary, type SweepView } from '../../src/api/client';
import { Tail } from '../../src/api/tail';
import { done, run } from './runs';

const SUMMARY: SweepSummary = {
  sweep_id: 's',
  project: 'default',
  name: 'grid',
  state: 'running',
  priority: 0,
  gpu_hours: { used: 0 },
  counts: { queued: 2, leased: 0, stopping: 0, succeeded: 0, diverged: 0, failed: 0, cancelled: 0, stopped_early: 0 },
  tags: [],
  created_at: '2026-01-01T00:00:00Z',
  updated_at: '2026-01-01T00:00:00Z',
};
const VIEW: SweepView = {
  ...SUMMARY,
  file: '',
  folder: '/',
  axes: [],
  runs: [run(1), run(3)],
  series: ['train/loss'],
  cursor: '7',
};

const tail = (steps: number[], name = 'train/loss', run_id = 'run-1'): SeriesPoints => ({
  run_id,
  name,
  width: 1,
  steps,
  values: steps,
  times: steps,
});
const ALL = { name: 'train/loss', from: null, to: null };

describe('run rows', () => {
  test('a changed row replaces its own and leaves the others as they are', () => {
    const next = withRuns(VIEW, { ...SUMMARY, state: 'succeeded' }, [run(3, done('succeeded'))]);
    expect(next.state).toBe('succeeded');
    expect(next.runs[0]).toBe(VIEW.runs[0]);
    expect(next.runs[1].outcome).toBe('succeeded');
  });

  test('a new run goes where its number says', () => {
    expect(withRuns(VIEW, SUMMARY, [run(2)]).runs.map(({ number }) => number)).toEqual([1, 2, 3]);
  });

  test('a new series has its name told, a known one changes nothing', () => {
    expect(withNames(VIEW, [tail([1], 'task/a/acc')]).series).toEqual(['task/a/acc', 'train/loss']);
    expect(withNames(VIEW, [tail([1])])).toBe(VIEW);
  });
});

describe('points', () => {
  test('they are put behind those of their run and metric', () => {
    const loaded = withPoints(new Map(), ALL, [tail([1, 2])], 100);
    const next = withPoints(loaded, ALL, [tail([3]), tail([9], 'train/lr'), tail([1], 'train/loss', 'run-3')], 100);
    expect(next.get('run-1')?.steps).toEqual([1, 2, 3]);
    expect(next.get('run-3')?.steps).toEqual([1]);
  });

  test('those of other metrics change nothing at all', () => {
    const loaded = withPoints(new Map(), ALL, [tail([1])], 100);
    expect(withPoints(loaded, ALL, [tail([2], 'train/lr')], 100)).toBe(loaded);
  });

  test('a zoomed range takes what lies in it', () => {
    const next = withPoints(new Map(), { ...ALL, from: 2, to: 3 }, [tail([1, 2, 3, 4])], 100);
    expect(next.get('run-1')?.steps).toEqual([2, 3]);
  });

  test('a long tail is thinned, its newest point kept', () => {
    const steps = Array.from({ length: 50 }, (_, step) => step);
    const grown = withPoints(new Map(), ALL, [tail(steps)], 10).get('run-1');
    expect(grown?.steps.length).toBeLessThanOrEqual(10);
    expect(grown?.steps.at(-1)).toBe(49);
  });

  test('words that JSON has no numbers for become numbers', () => {
    const words = ['NaN', 'Infinity', '-Infinity', 1] as unknown as number[];
    expect(numbers({ ...tail([1, 2, 3, 4]), values: words }).values).toEqual([NaN, Infinity, -Infinity, 1]);
  });
});

test('what the stream brings while an answer travels is handed over with it', async () => {
  const events = new Tail();
  events.push([tail([1])]);
  let answer: (text: string) => void = () => undefined;
  const asked = events.during(() => new Promise<string>((resolve) => (answer = resolve)));
  events.push([tail([2])]);
  answer('loaded');
  expect(await asked).toEqual(['loaded', [[tail([2])]]]);
});
