import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Outcome, RunState } from '../../src/api/client';
import { RUN_CAN, whyNot } from '../../src/lib/runCan';
import { done, inState, run } from './runs';

interface Document {
  components: { schemas: Record<string, { enum?: string[] }> };
}
const document = JSON.parse(
  readFileSync(new URL('../../openapi.json', import.meta.url), 'utf8'),
) as Document;
const states = document.components.schemas.RunState.enum as RunState[];
const outcomes = document.components.schemas.Outcome.enum as Outcome[];

describe('every state and outcome of the API is decided', () => {
  test('every state allows exactly one wish', () => {
    for (const state of states) {
      const wishes = Object.values(RUN_CAN).filter((allowed: RunState[]) => allowed.includes(state));
      expect(wishes, state).toHaveLength(1);
    }
  });

  test('what did not succeed may be retried', () => {
    const retried = outcomes.filter((outcome) => whyNot('retry', run(1, done(outcome))) === undefined);
    expect(retried).toEqual(outcomes.filter((outcome) => outcome !== 'succeeded'));
  });
});

test('a run may be cancelled until it has ended, or its end is decided', () => {
  expect(whyNot('cancel', run(1))).toBeUndefined();
  expect(whyNot('cancel', run(1, inState('leased')))).toBeUndefined();
  expect(whyNot('cancel', run(1, inState('stopping')))).toBeUndefined();
  expect(whyNot('cancel', run(1, { ...inState('stopping'), outcome: 'failed' }))).toBeDefined();
  expect(whyNot('cancel', run(1, done('failed')))).toBeDefined();
  expect(whyNot('retry', run(1))).toBeDefined();
});
