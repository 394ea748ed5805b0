// What may be wished of a run, and why not. The controller decides; this only greys the button.

import type { Outcome, RunRow, RunState, RunWish } from '../api/client';

export const RUN_CAN = {
  cancel: ['queued', 'leased', 'stopping'],
  retry: ['done'],
} satisfies Record<RunWish, RunState[]>;

const RETRIED: Outcome[] = ['diverged', 'failed', 'cancelled', 'stopped_early'];

/** None: it can. Otherwise the reason, as a sentence. */
export function whyNot(wish: RunWish, run: RunRow): string | undefined {
  const states: RunState[] = RUN_CAN[wish];
  if (wish === 'cancel') {
    if (!states.includes(run.state)) return 'It has ended.';
    return run.state === 'stopping' && run.outcome ? 'It is already ending.' : undefined;
  }
  if (!states.includes(run.state)) return 'It has not ended yet.';
  const retried = run.outcome != null && RETRIED.includes(run.outcome);
  return retried ? undefined : 'It succeeded: there is nothing to try again.';
}

/** Whether its schedule kept a state, the controller knows. */
export function whyNotExtend(run: RunRow): string | undefined {
  if (run.kind !== 'train') return 'It trains nothing.';
  return run.outcome === 'succeeded' && run.state === 'done' ? undefined : 'Only a run that succeeded can go on.';
}
