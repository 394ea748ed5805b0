// Rows for tests: said in adjectives.

import type { Outcome, RunRow, RunState } from '../../src/api/client';

export function run(number: number, part: Partial<RunRow> = {}): RunRow {
  return {
    run_id: `run-${number}`,
    number,
    kind: 'train',
    label: `lr ${number}`,
    state: 'queued',
    outcome: null,
    reason: null,
    waiting: null,
    attempt: 0,
    step: 0,
    steps: 100,
    tokens: 0,
    phase: null,
    axes: { 'train.lr.peak': number },
    is_baseline: false,
    latest: {},
    priority: 0,
    excluded: null,
    notes: [],
    tags: [],
    queued_at: '2026-01-01T00:00:00Z',
    started_at: null,
    ended_at: null,
    ...part,
  };
}

export const done = (outcome: Outcome): Partial<RunRow> => ({ state: 'done', outcome });
export const inState = (state: RunState): Partial<RunRow> => ({ state });
