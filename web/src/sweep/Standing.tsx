// What keeps the points waiting, and the runs that they stand on.

import { Link } from 'wouter';
import type { RunRow } from '../api/client';
import { plural } from '../lib/format';
import { Progress } from '../ui/Progress';
import { RunStatus } from '../ui/StateMark';

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
