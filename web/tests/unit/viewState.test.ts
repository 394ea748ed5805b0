import { expect, test } from 'vitest';
import { DEFAULT_VIEW, readAt, readNumbers, readView, writeNumbers, writeView, type ViewState } from '../../src/lib/viewState';

test('the default view is an empty URL', () => {
  expect(writeView(DEFAULT_VIEW).toString()).toBe('');
  expect(readView(new URLSearchParams())).toEqual(DEFAULT_VIEW);
});

test('a view comes back from its URL as it was', () => {
  const view: ViewState = {
    x: 'tokens',
    logX: true,
    logY: true,
    clip: true,
    smooth: 0.9,
    zoom: [10, 250.5],
    color: 'mix.commerce',
    filter: 'lr=1e-3 state=done',
    hidden: [3, 4, 5, 9],
    sort: 'heldout/general/bits_per_byte',
    isDescending: true,
    at: 200_000,
    open: ['heldout', 'slices'],
  };
  expect(readView(new URLSearchParams(writeView(view).toString()))).toEqual(view);
});

test('nonsense in the URL is the default', () => {
  const view = readView(new URLSearchParams('x=moon&zoom=9~1&smooth=7&at=0&hide=a,-,2-'));
  expect(view).toEqual(DEFAULT_VIEW);
});

test('runs of numbers are written as ranges', () => {
  expect(writeNumbers([5, 1, 2, 3, 9, 2])).toBe('1-3,5,9');
  expect(readNumbers('1-3,5,9')).toEqual([1, 2, 3, 5, 9]);
});

test('runs are compared at the end, at equal tokens or at a count of them', () => {
  expect(['end', 'equal', '200k', '1.5M', '4096'].map(readAt)).toEqual(['end', 'equal', 200_000, 1_500_000, 4096]);
  expect(['', '-1', '20%', 'k', '0', '1e99'].map(readAt)).toEqual(Array(6).fill('end'));
});
