// Why runs are missing from the ranking, and who said so.

import { Link } from 'wouter';
import type { RunRow } from '../api/client';
import { clock } from '../lib/format';

export function Excluded({ sweep, runs }: { sweep: string; runs: readonly RunRow[] }) {
  const excluded = runs.filter((run) => run.excluded);
  if (excluded.length === 0) return null;
  return (
    <ul className="footnotes muted" aria-label="Excluded runs">
      {excluded.map((run) => (
        <li key={run.run_id}>
          <Link href={`/sweeps/${sweep}/${run.number}`}>
            #{run.number} {run.label}
          </Link>{' '}
          is excluded from the ranking: {run.excluded?.because}{' '}
          <small>
            ({run.excluded?.author && `${run.excluded.author}, `}
            {run.excluded && clock(run.excluded.at)})
          </small>
        </li>
      ))}
    </ul>
  );
}
