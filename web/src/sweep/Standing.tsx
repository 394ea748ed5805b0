// What goes ahead of the points, what keeps them waiting, and the runs that they stand on.

import { Link } from 'wouter';
import type { CanaryView, RunRow, SweepView } from '../api/client';
import { plural, short } from '../lib/format';
import { Progress } from '../ui/Progress';
import { RunStatus } from '../ui/StateMark';

const CANARIES: Record<CanaryView['state'], string> = {
  queued: 'goes first, and waits',
  running: 'goes ahead of the others',
  passed: 'has passed',
  failed: 'has failed: the others wait until it is retried',
};

/** The runs that go ahead of the others of their shape, until all has ended. */
export function Canaries({ sweep: { name, canaries = [], state } }: { sweep: SweepView }) {
  if (canaries.length === 0 || state === 'succeeded' || state === 'ended') return null;
  return (
    <ul className="waiting" aria-label="Canaries">
      {canaries.map(({ shape, run, state, tokens_per_second }) => (
        <li key={shape}>
          Canary of {shape}: <Link href={`/sweeps/${name}/${run}`}>#{run}</Link>{' '}
          <span className={state === 'failed' ? 'bad' : undefined}>{CANARIES[state]}</span>
          {tokens_per_second != null && <span className="muted"> at {short(tokens_per_second)} tokens/s</span>}
        </li>
      ))}
    </ul>
  );
}

/** Each reason once, in the controller's own words. */
export function Waiting({ runs }: { runs: readonly RunRow[] }) {
  const reasons = new Map<string, number>();
  for (const { waiting } of runs) {
    if (waiting) reasons.set(waiting, (reasons.get(waiting) ?? 0) + 1);
  }
  if (reasons.size === 0) return null;
  const sorted = [...reasons].sort((a, b) => b[1] - a[1]);
  return (
    <ul className="waiting" aria-label="Why runs wait">
      {sorted.slice(0, 4).map(([reason, count]) => (
        <li key={reason}>
          <strong>{plural(count, 'run')}</strong>: {reason}
        </li>
      ))}
      {4 < sorted.length && <li className="muted">and {plural(sorted.length - 4, 'more reason')}, in the table</li>}
    </ul>
  );
}

export function Others({ sweep, runs }: { sweep: string; runs: readonly RunRow[] }) {
  if (runs.length === 0) return null;
  const open = runs.some((run) => run.state !== 'done' || run.outcome !== 'succeeded');
  return (
    <details className="others" open={open}>
      <summary>
        <h2>What they stand on</h2> <span className="muted">{plural(runs.length, 'run')} that came first</span>
      </summary>
      <ul className="panel">
        {runs.map((run) => (
          <li key={run.run_id}>
            <Link href={`/sweeps/${sweep}/${run.number}`}>
              #{run.number} {run.label}
            </Link>
            <RunStatus {...run} />
            <Progress step={run.step} steps={run.steps} />
            <span className="muted">{run.waiting ?? run.reason}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
