import { expect, test } from 'vitest';
import { pinsOf } from '../../src/chart/lines';
import { inState, run } from './runs';

const note = (step: number | null) => ({ note_id: 1, step, text: 'jump', author: null, at: '2026-01-01T00:00:00Z' });
const POINTS = new Map([['run-1', { steps: [10, 20], values: [2, 1], times: [1000, 3000] }]]);

test('a note is pinned where its step lies on each axis, and nowhere else', () => {
  const noted = run(1, { ...inState('leased'), step: 20, tokens: 4000, notes: [note(15), note(null), note(99)] });
  expect(pinsOf(POINTS, [noted], 'step')).toEqual([{ x: 15, text: 'jump' }]);
  expect(pinsOf(POINTS, [noted], 'tokens')).toEqual([{ x: 3000, text: 'jump' }]);
  expect(pinsOf(POINTS, [noted], 'time')).toEqual([{ x: 2, text: 'jump' }]);
  expect(pinsOf(new Map(), [noted], 'step')).toEqual([]);
});
