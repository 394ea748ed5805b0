// What the sweep's page shows, from the loaded view and the URL. Pure.

import type { AxisView, RunRow, SweepView } from '../api/client';
import { colorBy, greyed, type Coloring, type Theme } from '../lib/color';
import { parseFilter, type Filter } from '../lib/filter';
import { tableMetrics, type Metric } from '../lib/metrics';
import { baselineOf, isPoint } from '../lib/rank';
import type { ViewState } from '../lib/viewState';

export interface SweepModel {
  sweep: SweepView;
  /** The points of the design. */
  points: RunRow[];
  /** `prepare` and `first` runs, which the points need. */
  others: RunRow[];
  baseline: RunRow | undefined;
  metrics: Metric[];
  /** The axis that colors tell apart; none: every run its own. */
  axis: AxisView | undefined;
  coloring: Coloring;
  filter: Filter;
  /** Points that pass the filter. */
  filtered: RunRow[];
  /** Those of them that are ticked: what the charts draw. */
  shown: RunRow[];
}

/** Color by nothing: every run its own. */
export const BY_RUN = 'run';

export function sweepModel(sweep: SweepView, view: ViewState, theme: Theme): SweepModel {
  const points = sweep.runs.filter(isPoint);
  const axis = axisOf(sweep.axes, view.color);
  const filter = parseFilter(view.filter, sweep.axes, sweep.series);
  const filtered = points.filter(filter.matches);
  const hidden = new Set(view.hidden);
  return {
    sweep,
    points,
    others: sweep.runs.filter((run) => !isPoint(run)),
    baseline: baselineOf(sweep.runs),
    metrics: tableMetrics(seenIn(points, sweep.series)),
    axis,
    coloring: greyed(colorBy(axis, points, theme), theme),
    filter,
    filtered,
    shown: filtered.filter((run) => !hidden.has(run.number)),
  };
}

function axisOf(axes: readonly AxisView[], chosen: string | undefined): AxisView | undefined {
  if (chosen === BY_RUN) return undefined;
  return axes.find(({ label, path }) => label === chosen || path === chosen) ?? axes.at(0);
}

/** Series with a latest value somewhere. Losses stand beside bits per byte and say the same. */
function seenIn(points: readonly RunRow[], names: readonly string[]): string[] {
  const seen = new Set(points.flatMap((run) => Object.keys(run.latest)));
  return names.filter((name) => seen.has(name) && !/^heldout\/.*\/loss$/.test(name));
}
