// Runs by state as one stacked bar, and the same in words.

import type { Counts } from '../api/client';
import { StateMark, stateWord } from './StateMark';

const ORDER: (keyof Counts)[] = [
  'succeeded',
  'leased',
  'stopping',
  'queued',
  'stopped_early',
  'diverged',
  'failed',
  'cancelled',
];

export const totalOf = (counts: Counts) => ORDER.reduce((sum, key) => sum + counts[key], 0);

export function CountsBar({ counts }: { counts: Counts }) {
  const total = totalOf(counts);
  const parts = ORDER.filter((key) => 0 < counts[key]);
  return (
    <div className="counts">
      <div className="bar" aria-hidden="true">
        {parts.map((key) => (
          <i key={key} className={`state-${key}`} style={{ flexGrow: counts[key] }} />
        ))}
      </div>
      <ul>
        {parts.map((key) => (
          <li key={key}>
            <StateMark state={key} /> {counts[key]} {stateWord(key)}
          </li>
        ))}
        {total === 0 && <li className="muted">no runs</li>}
      </ul>
    </div>
  );
}
