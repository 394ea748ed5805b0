// From loaded points to the lines of a chart. Pure.

import type { RunPoints } from '../api/apply';
import type { RunRow } from '../api/client';
import type { Coloring } from '../lib/color';
import { smooth, type Points } from '../lib/series';
import type { XAxis } from '../lib/viewState';
import type { ChartLine, Pin, Range } from './frame';

/** Where each point lies on the x axis. */
export function xsOf(points: Points, run: RunRow, axis: XAxis): readonly number[] {
  if (axis === 'step') return points.steps;
  if (axis === 'tokens') {
    const perStep = run.step === 0 ? 0 : run.tokens / run.step;
    return points.steps.map((step) => step * perStep);
  }
  const start = run.started_at ? Date.parse(run.started_at) : points.times[0];
  return points.times.map((time) => Math.max(time - start, 0) / 1000);
}

export interface LineWish {
  runs: readonly RunRow[];
  coloring: Coloring;
  x: XAxis;
  /** 0: none. */
  smoothing: number;
}

export function chartLines(loaded: RunPoints, wish: LineWish): ChartLine[] {
  return wish.runs.flatMap((run) => {
    const points = loaded.get(run.run_id);
    if (!points || points.steps.length === 0) return [];
    const xs = xsOf(points, run, wish.x);
    const isSmooth = 0 < wish.smoothing;
    return {
      id: run.run_id,
      label: `#${run.number} ${run.label}${run.is_baseline ? ' (baseline)' : ''}`,
      look: wish.coloring.look(run),
      isBaseline: run.is_baseline,
      xs,
      ys: isSmooth ? smooth(xs, points.values, wish.smoothing) : points.values,
      raw: isSmooth ? points.values : undefined,
    };
  });
}

/** Where the notes of runs lie. In wall time a note stands at the first point that is not before it. */
export function pinsOf(loaded: RunPoints, runs: readonly RunRow[], axis: XAxis): Pin[] {
  return runs.flatMap((run) => {
    const points = loaded.get(run.run_id);
    if (!points) return [];
    return run.notes.flatMap(({ step, text }) => {
      const at = step == null ? -1 : points.steps.findIndex((known) => step <= known);
      if (step == null || at < 0) return [];
      const here = axis === 'time' ? points : { ...points, steps: [step] };
      return [{ x: xsOf(here, run, axis)[axis === 'time' ? at : 0], text }];
    });
  });
}

/**
 * The steps that a zoom shows, of all runs, with one neighbor beyond each edge so that lines go on
 * to it. `null`: to the end, also when it moves.
 */
export function stepRange(
  loaded: RunPoints,
  runs: readonly RunRow[],
  x: XAxis,
  zoom: Range,
): { from: number | null; to: number | null } {
  let from: number | null = Infinity;
  let to: number | null = -Infinity;
  for (const run of runs) {
    const points = loaded.get(run.run_id);
    if (!points) continue;
    const xs = xsOf(points, run, x);
    const before = xs.findLastIndex((at) => at < zoom[0]);
    const after = xs.findIndex((at) => zoom[1] < at);
    from = before < 0 || from === null ? null : Math.min(from, points.steps[before]);
    to = after < 0 || to === null ? null : Math.max(to, points.steps[after]);
  }
  const known = (step: number | null) => (step !== null && Number.isFinite(step) ? step : null);
  return { from: known(from), to: known(to) };
}

/** Values that no axis shows as they are, and points that a log axis leaves out. */
export function notes(lines: readonly ChartLine[], isLogX: boolean, isLogY: boolean): string[] {
  let broken = 0;
  let belowLog = 0;
  let leftOfLog = 0;
  for (const { xs, ys } of lines) {
    ys.forEach((y, index) => {
      if (!Number.isFinite(y)) broken += 1;
      else if (isLogY && y <= 0) belowLog += 1;
      if (isLogX && xs[index] <= 0) leftOfLog += 1;
    });
  }
  const told: string[] = [];
  if (0 < broken) told.push(`${broken} ${broken === 1 ? 'value is' : 'values are'} NaN (×) or infinite (▲▼)`);
  if (0 < belowLog) told.push(`${belowLog} not above 0 (▼): no place on a log axis`);
  if (0 < leftOfLog) told.push(`${leftOfLog} at 0 left out: no place on a log axis`);
  return told;
}
