// Which run is better, and when that may be said at all. Pure.
//
// A value of a run that still trains is a value so far: it is shown and marked, and never enters a
// best or a difference.

import type { EqualTokens, RunRow } from '../api/client';
import type { Metric } from './metrics';

/** A point of the design, or one of its merges: neither prepared data nor a `first` run. */
export function isPoint(run: RunRow): boolean {
  return run.kind !== 'prepare' && (run.is_baseline || 0 < Object.keys(run.axes).length);
}

export function isFinal(run: RunRow): boolean {
  return run.state === 'done' && run.outcome === 'succeeded';
}

/** It has a final value, and nobody left it out. */
export function isCompared(run: RunRow): boolean {
  return isFinal(run) && !run.excluded;
}

/** It ended, but without success: its values are of an unfinished training. */
export function fellShort(run: RunRow): boolean {
  return run.state === 'done' && run.outcome !== 'succeeded';
}

export function latest(run: RunRow, name: string): number | undefined {
  return (run.latest as Partial<Record<string, number>>)[name];
}

/** Which runs are compared with each other, and by which values. */
export interface Scores {
  isRanked: (run: RunRow) => boolean;
  value: (run: RunRow, name: string) => number | undefined;
}

export const AT_END: Scores = { isRanked: isCompared, value: latest };

/** A run that has not come so far is not ranked, and keeps its latest value. */
export function atEqual({ runs }: EqualTokens): Scores {
  const reached = new Map(runs.map((row) => [row.run_id, row.values]));
  const isRanked = (run: RunRow) => !run.excluded && reached.has(run.run_id);
  return {
    isRanked,
    value: (run, name) =>
      isRanked(run)
        ? (reached.get(run.run_id) as Partial<Record<string, { value: number }>>)[name]?.value
        : latest(run, name),
  };
}

/** Changes when a run has a new score or is excluded: what is compared at equal tokens may be other then. */
export function seenScores(runs: readonly RunRow[]): string {
  const scores = runs.filter(isPoint).map((run) => {
    const values = Object.entries(run.latest).filter(([name]) => name !== 'train/loss');
    const standing = run.excluded ? 'excluded' : '';
    return values.length === 0 ? '' : `${run.number}${standing}:${values.map(([, value]) => value).join()}`;
  });
  return scores.filter(Boolean).join(' ');
}

export function baselineOf(runs: readonly RunRow[]): RunRow | undefined {
  return runs.find((run) => run.is_baseline && isPoint(run));
}

/** The difference to the baseline, of two ranked runs only (at the end: finished), neither of them excluded. */
export function difference(
  run: RunRow,
  baseline: RunRow | undefined,
  name: string,
  scores: Scores = AT_END,
): number | undefined {
  if (!baseline || run.run_id === baseline.run_id) return undefined;
  if (!scores.isRanked(run) || !scores.isRanked(baseline)) return undefined;
  const [value, base] = [scores.value(run, name), scores.value(baseline, name)];
  return value === undefined || base === undefined ? undefined : value - base;
}

/** Whether a difference is good, bad or neither. */
export function verdict(difference: number, { better }: Metric): 'good' | 'bad' | 'even' {
  if (difference === 0 || better === undefined) return 'even';
  return difference < 0 === (better === 'lower') ? 'good' : 'bad';
}

export interface Best {
  metric: Metric;
  run: RunRow;
  value: number;
  /** Finished runs that it was compared with, itself included. */
  among: number;
  /** Others with the very same value. */
  ties: number;
}

export function best(runs: readonly RunRow[], metric: Metric): Best | undefined {
  const scored = runs
    .filter((run) => isPoint(run) && isCompared(run))
    .map((run) => ({ run, value: latest(run, metric.name) }))
    .filter((entry): entry is { run: RunRow; value: number } => entry.value !== undefined);
  if (scored.length === 0) return undefined;
  const sign = metric.better === 'higher' ? -1 : 1;
  const first = scored.reduce((a, b) => (sign * b.value < sign * a.value ? b : a));
  const ties = scored.filter(({ value }) => value === first.value).length - 1;
  return { metric, ...first, among: scored.length, ties };
}
