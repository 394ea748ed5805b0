import { memo } from 'react';
import { Link } from 'wouter';
import type { RunRow } from '../api/client';
import { Swatch } from '../chart/Swatch';
import type { Look } from '../lib/color';
import { metric as show, signed } from '../lib/format';
import { hover, useIsHovered } from '../lib/hover';
import type { Metric } from '../lib/metrics';
import { AT_END, difference, isFinal, verdict, type Scores } from '../lib/rank';
import { showValue } from '../lib/values';
import { Progress } from '../ui/Progress';
import { RunStatus } from '../ui/StateMark';
import type { Column } from './columns';

interface Props {
  run: RunRow;
  columns: readonly Column[];
  baseline: RunRow | undefined;
  scores: Scores;
  look: Look;
  sweep: string;
  isTicked: boolean;
  tick: (number: number, isTicked: boolean) => void;
  /** From here on, values are not compared with those above. */
  isFirstUnranked: boolean;
  isRanked: boolean;
}

export const RunTableRow = memo(function RunTableRow(props: Props) {
  const { run, columns, isTicked, tick, isFirstUnranked, isRanked } = props;
  const isHovered = useIsHovered(run.run_id);
  const light = () => hover([run.run_id]);
  const leave = () => hover([]);
  const classes = [isHovered && 'lit', isFirstUnranked && 'unranked-from', !isRanked && 'unranked', run.excluded && 'excluded'];
  // a run that waits, or has no values, says why instead
  const why = run.waiting ?? (Object.keys(run.latest).length === 0 ? run.reason : undefined);
  const cells = why ? columns.filter(({ kind }) => kind !== 'metric' && kind !== 'step') : columns;
  return (
    <tr
      className={classes.filter(Boolean).join(' ')}
      data-run={run.number}
      onMouseEnter={light}
      onMouseLeave={leave}
      onFocus={light}
      onBlur={leave}
    >
      <td>
        <input
          type="checkbox"
          checked={isTicked}
          onChange={(event) => tick(run.number, event.target.checked)}
          aria-label={`Draw run ${run.number}`}
        />
      </td>
      {cells.map((column) => (
        <Cell key={column.key} column={column} {...props} />
      ))}
      {why && (
        <td colSpan={columns.length - cells.length} className="muted why" title={why}>
          {why}
        </td>
      )}
    </tr>
  );
});

function Cell({ column, run, baseline, scores, look, sweep }: Props & { column: Column }) {
  switch (column.kind) {
    case 'run':
      return (
        <th scope="row">
          <Swatch look={look} isBaseline={run.is_baseline} />{' '}
          <Link href={`/sweeps/${sweep}/${run.number}`} aria-label={`Run ${run.number}, ${run.label}`}>
            #{run.number}
          </Link>
          {run.is_baseline && <span className="tag">baseline</span>}
          {run.reused && (
            <span className="tag" title={`Trained as ${run.reused}, and not again`}>
              reused
            </span>
          )}
          {run.excluded && (
            <span className="tag" title={run.excluded.because}>
              excluded
            </span>
          )}
          {run.tags.map((tag) => (
            <span key={tag} className="tag">
              {tag}
            </span>
          ))}
        </th>
      );
    case 'state':
      return (
        <td title={run.reason ?? undefined}>
          <RunStatus {...run} />
          {run.reason && run.outcome !== 'succeeded' ? (
            <small className="muted reason">{run.reason}</small>
          ) : (
            1 < run.attempt && <small className="muted">attempt {run.attempt}</small>
          )}
        </td>
      );
    case 'axis':
      return <td className="value">{showValue(run.axes[column.axis.path])}</td>;
    case 'step':
      return (
        <td>
          <Progress step={run.step} steps={run.steps} />
        </td>
      );
    case 'metric':
      return <MetricCell run={run} baseline={baseline} scores={scores} metric={column.metric} />;
  }
}

interface MetricCellProps {
  run: RunRow;
  baseline: RunRow | undefined;
  scores: Scores;
  metric: Metric;
}

/** A value that is not compared, as its run has not finished or not come so far, says so. */
function MetricCell({ run, baseline, scores, metric }: MetricCellProps) {
  const value = scores.value(run, metric.name);
  if (value === undefined) return <td className="number muted">–</td>;
  const isSoFar = scores === AT_END ? !isFinal(run) : !scores.isRanked(run);
  if (isSoFar) {
    return (
      <td className="number so-far" title={`At step ${run.step} of ${run.steps}: not compared with the others`}>
        {show(value)}
        <small>{isFinal(run) ? 'at the end' : 'so far'}</small>
      </td>
    );
  }
  const apart = difference(run, baseline, metric.name, scores);
  return (
    <td className="number">
      {show(value)}
      {apart !== undefined && <small className={verdict(apart, metric)}>{signed(apart)}</small>}
      {run.is_baseline && <small className="muted">baseline</small>}
    </td>
  );
}
