// The columns of the run table, and the order that each gives. Pure.

import type { AxisView, RunRow } from '../api/client';
import type { Metric } from '../lib/metrics';
import { AT_END, type Scores } from '../lib/rank';
import { compareValues } from '../lib/values';

export type Column =
  | { key: 'run' | 'state' | 'step'; title: string; kind: 'run' | 'state' | 'step' }
  | { key: string; title: string; kind: 'axis'; axis: AxisView }
  | { key: string; title: string; kind: 'metric'; metric: Metric };

export function columnsOf(axes: readonly AxisView[], metrics: readonly Metric[]): Column[] {
  return [
    { key: 'run', title: 'Run', kind: 'run' },
    { key: 'state', title: 'State', kind: 'state' },
    ...axes.map((axis): Column => ({ key: axis.label, title: axis.label, kind: 'axis', axis })),
    { key: 'step', title: 'Step', kind: 'step' },
    ...metrics.map((metric): Column => ({ key: metric.name, title: metric.title, kind: 'metric', metric })),
  ];
}

const STATES = ['leased', 'stopping', 'queued', 'succeeded', 'stopped_early', 'diverged', 'failed', 'cancelled'];

export interface Ordered {
  runs: RunRow[];
  /** Runs before this one are ranked against each other; from it on they are not. */
  ranked: number;
}

/**
 * By a metric, runs that are compared come first and are ranked (at the end: finished ones); the others, and
 * excluded ones, follow with their values.
 */
export function order(
  runs: readonly RunRow[],
  column: Column,
  isDescending: boolean,
  scores: Scores = AT_END,
): Ordered {
  const sign = isDescending ? -1 : 1;
  const byNumber = (a: RunRow, b: RunRow) => a.number - b.number;
  if (column.kind !== 'metric') {
    const compare = comparer(column);
    const sorted = [...runs].sort((a, b) => sign * compare(a, b) || byNumber(a, b));
    return { runs: sorted, ranked: sorted.length };
  }
  const value = (run: RunRow) => scores.value(run, column.metric.name);
  const sorted = (group: RunRow[]) =>
    group.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === undefined || y === undefined) {
        return Number(x === undefined) - Number(y === undefined) || byNumber(a, b);
      }
      return sign * (x - y) || byNumber(a, b);
    });
  const final = sorted(runs.filter((run) => scores.isRanked(run) && value(run) !== undefined));
  const rest = sorted(runs.filter((run) => !scores.isRanked(run) || value(run) === undefined));
  return { runs: [...final, ...rest], ranked: final.length };
}

function comparer(column: Exclude<Column, { kind: 'metric' }>): (a: RunRow, b: RunRow) => number {
  switch (column.kind) {
    case 'run':
      return (a, b) => a.number - b.number;
    case 'state': {
      const place = ({ state, outcome }: RunRow) =>
        STATES.indexOf(state === 'done' ? (outcome ?? state) : state);
      return (a, b) => place(a) - place(b);
    }
    case 'step': {
      const share = ({ step, steps }: RunRow) => (steps === 0 ? 0 : step / steps);
      return (a, b) => share(a) - share(b);
    }
    case 'axis':
      return (a, b) => compareValues(a.axes[column.axis.path], b.axes[column.axis.path]);
  }
}
