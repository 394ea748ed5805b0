import type { PlanView } from '../api/client';
import { plural } from '../lib/format';

const SHOWN_MAX = 500;

const SIGNS: Partial<Record<string, string>> = { added: '+', kept: '=', dropped: '−', cancelled: '×', retried: '↻', renewed: '↻' };

/** Every run of the plan, with what happens to it. */
export function Points({ plan }: { plan: PlanView }) {
  const { points } = plan;
  return (
    <div className="stack">
      <h3>{plural(points.length, 'run')}</h3>
      <ol className="points panel">
        {points.slice(0, SHOWN_MAX).map((point, index) => (
          <li key={index} className={point.change}>
            <span className="sign" aria-hidden="true">
              {SIGNS[point.change] ?? '·'}
            </span>
            <span>
              {point.number != null && <span className="muted">#{point.number} </span>}
              {point.label}
              {point.is_baseline && <span className="tag">baseline</span>}
            </span>
            <span className="muted">
              {point.kind === 'prepare' ? '' : `${point.kind} · `}
              {point.change}
            </span>
          </li>
        ))}
      </ol>
      {SHOWN_MAX < points.length && <p className="muted">and {points.length - SHOWN_MAX} more</p>}
    </div>
  );
}
