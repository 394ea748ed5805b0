// Which run is better, and when that may be said at all. Pure.
//
// A value of a run that still trains is a value so far: it is shown and marked, and never enters a
// best or a difference.

import type { RunRow } from '../api/client';
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

export function baselineOf(runs: readonly RunRow[]): RunRow | undefined {
  return runs.find((run) => run.is_baseline && isPoint(run));
}

/** The difference to the baseline, of two finished runs only, neither of them excluded. */
export function difference(
  run: RunRow,
  baseline: RunRow | undefined,
  name: string,
): number | undefined {
  if (!baseline || run.run_id === baseline.run_id) return undefined;
  if (!isCompared(run) || !isCompared(baseline)) return undefined;
  const [value, base] = [latest(run, name), latest(baseline, name)];
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
