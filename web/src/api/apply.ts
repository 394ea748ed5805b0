// What an event of the stream does to what was loaded before. Pure; doing it twice changes nothing.

import { append, thin, within, type Points } from '../lib/series';
import type { RunRow, SeriesPoints, SweepSummary, SweepView } from './client';

/** Rows that changed replace theirs; new ones go where their number says. */
export function withRuns(view: SweepView, summary: SweepSummary, changed: RunRow[]): SweepView {
  const news = new Map(changed.map((run) => [run.run_id, run]));
  const runs = view.runs.map((run) => news.get(run.run_id) ?? run);
  const known = new Set(view.runs.map((run) => run.run_id));
  const added = changed.filter((run) => !known.has(run.run_id));
  if (0 < added.length) runs.push(...added);
  if (0 < added.length) runs.sort((a, b) => a.number - b.number);
  return { ...view, ...summary, runs };
}

/** Names of series that a run had not written before. */
export function withNames(view: SweepView, series: readonly SeriesPoints[]): SweepView {
  const names = new Set(view.series);
  for (const { name } of series) names.add(name);
  return names.size === view.series.length ? view : { ...view, series: [...names].sort() };
}

export type RunPoints = ReadonlyMap<string, Points>;

/** One metric of many runs, over a range of steps. */
export interface SeriesSlice {
  name: string;
  from: number | null;
  to: number | null;
}

/** A live series may grow to this many times what was asked for before it is thinned. */
const GROWTH = 2;

export function withPoints(
  loaded: RunPoints,
  slice: SeriesSlice,
  series: readonly SeriesPoints[],
  buckets: number,
): RunPoints {
  const ours = series.filter(({ name }) => name === slice.name);
  if (ours.length === 0) return loaded;
  const next = new Map(loaded);
  for (const tail of ours) {
    const cut =
      slice.from === null && slice.to === null
        ? tail
        : within(tail, slice.from ?? 0, slice.to ?? Infinity);
    const grown = append(next.get(tail.run_id) ?? { steps: [], values: [], times: [] }, cut);
    const isLong = buckets * GROWTH < grown.steps.length;
    if (0 < grown.steps.length) next.set(tail.run_id, isLong ? thin(grown, buckets) : grown);
  }
  return next;
}
