// A state as a shape, a color and a word: each tells it alone.

import type { Counts, Outcome, RunState, SweepState } from '../api/client';

export type Status = RunState | Outcome | SweepState;

const SHAPES: Record<keyof Counts | 'running' | 'paused' | 'deleting' | 'ended', string> = {
  queued: 'M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Zm0 1.8a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4Z',
  leased: 'M5 3.2v9.6L13 8Z',
  running: 'M5 3.2v9.6L13 8Z',
  stopping: 'M4 4h8v8H4Zm2 2v4h4V6Z',
  paused: 'M4.5 3.5h2.6v9H4.5Zm4.4 0h2.6v9H8.9Z',
  deleting: 'M6 2.5h4V4h3v1.6H3V4h3ZM4 7h8l-.6 6.5H4.6Z',
  succeeded: 'M6.6 12.6 2.5 8.5l1.4-1.4 2.7 2.7 5.5-5.5 1.4 1.4Z',
  diverged: 'M2.5 12.5 7 8l2 2 3-5.4-1.9.1-.1-1.7 4.5-.2.3 4.5-1.7.1-.1-1.6L9.4 12 7 9.9l-3.3 3.3Z',
  failed: 'm4.4 3 3.6 3.6L11.6 3 13 4.4 9.4 8l3.6 3.6-1.4 1.4L8 9.4 4.4 13 3 11.6 6.6 8 3 4.4Z',
  cancelled: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11ZM5 7.1h6v1.8H5Z',
  stopped_early: 'M3 4h7v8H3Zm8.5 0h1.8v8h-1.8Z',
  ended: 'M4 4h8v8H4Z',
};

export const stateWord = (state: Status) => (state === 'stopped_early' ? 'stopped early' : state);

export function StateMark({ state }: { state: Status }) {
  const shape = state === 'done' ? 'succeeded' : state;
  return (
    <svg className={`mark state-${shape}`} viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      <path d={SHAPES[shape]} fill="currentColor" />
    </svg>
  );
}

export function StateWord({ state, also }: { state: Status; also?: string | null | undefined }) {
  return (
    <span className="state">
      <StateMark state={state} />
      {stateWord(state)}
      {also && <span className="muted"> · {also}</span>}
    </span>
  );
}

/** What a run's row says of itself: its outcome once it has one, its phase while it runs. */
export function RunStatus(run: {
  state: RunState;
  outcome?: Outcome | null;
  phase?: string | null;
  waiting?: string | null;
}) {
  if (run.state === 'done' && run.outcome) return <StateWord state={run.outcome} />;
  const starting = run.waiting ? 'placed, waits' : 'starting';
  const also = run.state === 'leased' ? (run.phase ?? starting) : run.outcome && stateWord(run.outcome);
  return <StateWord state={run.state} also={also} />;
}
