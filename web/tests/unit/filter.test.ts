import { expect, test } from 'vitest';
import type { AxisView } from '../../src/api/client';
import { parseFilter } from '../../src/lib/filter';
import { done, inState, run } from './runs';

const AXES: AxisView[] = [
  { path: 'train.lr.peak', label: 'lr', values: [3e-4, 1e-3] },
  { path: 'train.lr.warmup', label: 'warmup', values: ['0%', '2%'] },
];

const RUNS = [
  run(1, { ...done('succeeded'), axes: { 'train.lr.peak': 0.001, 'train.lr.warmup': '0%' }, label: 'lr 1e-3' }),
  run(2, { ...done('failed'), axes: { 'train.lr.peak': 0.0003, 'train.lr.warmup': '2%' }, label: 'lr 3e-4' }),
  run(3, { ...inState('leased'), phase: 'training', axes: { 'train.lr.peak': 0.001, 'train.lr.warmup': '2%' } }),
];

const matching = (text: string) =>
  RUNS.filter(parseFilter(text, AXES, ['train/loss']).matches).map(({ number }) => number);

test('axis values are compared as numbers, however they are written', () => {
  expect(matching('lr=1e-3')).toEqual([1, 3]);
  expect(matching('lr=.001')).toEqual([1, 3]);
  expect(matching('train.lr.peak<1e-3')).toEqual([2]);
  expect(matching('warmup>=0.02')).toEqual([2, 3]);
});

test('all terms must hold', () => {
  expect(matching('lr=1e-3 state=done')).toEqual([1]);
  expect(matching('')).toEqual([1, 2, 3]);
});

test('a state is also an outcome or a phase', () => {
  expect(matching('state=failed')).toEqual([2]);
  expect(matching('state=training')).toEqual([3]);
  expect(matching('-state=done')).toEqual([3]);
  expect(matching('outcome!=failed')).toEqual([1]);
});

test('a tag is found by its name', () => {
  const runs = [run(1, { tags: ['keep', 'paper'] }), run(2)];
  const tagged = (text: string) => runs.filter(parseFilter(text, AXES, []).matches).map(({ number }) => number);
  expect(tagged('tag=paper')).toEqual([1]);
  expect(tagged('-tag=keep')).toEqual([2]);
  expect(parseFilter('tag=keep excluded=no', AXES, []).unknown).toEqual([]);
});

test('words look into the label', () => {
  expect(matching('3e-4')).toEqual([2]);
  expect(matching('#3')).toEqual([3]);
});

test('a name that nothing has is told, and matches nothing', () => {
  expect(parseFilter('lrr=1', AXES, []).unknown).toEqual(['lrr']);
  expect(matching('lrr=1')).toEqual([]);
});
