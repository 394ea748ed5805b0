// One metric of a set of runs: loaded when it comes near the screen, then fed by the stream.

import { useMemo } from 'react';
import { useLocation } from 'wouter';
import type { RunRow } from '../api/client';
import { useSeries } from '../api/queries';
import type { Coloring, Theme } from '../lib/color';
import type { Metric } from '../lib/metrics';
import type { ChangeView, ViewState } from '../lib/viewState';
import { useOnScreen } from '../ui/useOnScreen';
import { X_LABEL } from './axes';
import { Chart } from './Chart';
import type { Frame } from './frame';
import { chartLines, notes, pinsOf, stepRange } from './lines';

export interface ChartContext {
  sweep: string;
  /** Set: the page of one run, whose points alone are loaded. */
  run?: string;
  runs: readonly RunRow[];
  coloring: Coloring;
  theme: Theme;
  view: ViewState;
  change: ChangeView;
}

const CROWD = 60;

export function MetricChart({ metric, context }: { metric: Metric; context: ChartContext }) {
  const [element, isNear] = useOnScreen<HTMLElement>();
  const { lines, pins, error, isPending, isFine } = useLines(metric, context, isNear);
  const { view, change, theme } = context;
  const [, go] = useLocation();
  const height = metric.section === 'heldout' ? 280 : 220;
  const frame = useMemo<Frame>(
    () => ({
      lines,
      pins,
      x: view.x,
      scales: { x: view.logX ? 'log' : 'linear', y: view.logY ? 'log' : 'linear' },
      clip: view.clip,
      zoom: view.zoom,
      theme,
      height,
      onZoom: (zoom) => change({ zoom }),
      onPick: context.run === undefined ? (id) => openRun(context, id, go) : undefined,
    }),
    [lines, pins, view, theme, height, change, context, go],
  );
  const told = notes(lines, view.logX, view.logY);
  return (
    <figure ref={element} className="panel chart-card" data-metric={metric.name}>
      <figcaption>
        <h3>{metric.title}</h3>
        <span className="muted">{metric.unit}</span>
        {view.zoom && isFine && <span className="muted">zoomed</span>}
      </figcaption>
      {0 < lines.length ? (
        <Chart frame={frame} label={describeLines(metric, lines.length, view)} />
      ) : (
        <div className="chart-empty muted" style={{ height }}>
          {isNear && emptyText(context, error, isPending)}
        </div>
      )}
      {0 < told.length && <p className="chart-note">{told.join(' · ')}</p>}
    </figure>
  );
}

function openRun({ sweep, runs }: ChartContext, id: string, go: (to: string) => void): void {
  const run = runs.find(({ run_id }) => run_id === id);
  if (run) go(`/sweeps/${sweep}/${run.number}`);
}

function describeLines({ title, unit }: Metric, curves: number, { x }: ViewState): string {
  return `${title}${unit && `, ${unit}`}, by ${X_LABEL[x]}: ${curves} curves. Arrow keys move over them, Enter opens a run.`;
}

function emptyText({ runs }: ChartContext, error: Error | null, isPending: boolean): string {
  if (error) return error.message;
  if (isPending) return 'Loading…';
  return runs.length === 0 ? 'No run is shown: filter less, or tick one.' : 'No run has measured this yet.';
}

function useLines(metric: Metric, context: ChartContext, isNear: boolean) {
  const { sweep, run, runs, coloring, view } = context;
  const buckets = runs.length < CROWD ? 400 : 200;
  const asked = { sweep, run, name: metric.name, from: null, to: null, buckets };
  const coarse = useSeries(asked, isNear);
  const zoom = useMemo(
    () => (view.zoom && coarse.data ? stepRange(coarse.data, runs, view.x, view.zoom) : undefined),
    [view.zoom, view.x, coarse.data, runs],
  );
  // fewer points than half the buckets: nothing was left out, nothing finer exists
  const isThinned = [...(coarse.data?.values() ?? [])].some(({ steps }) => buckets / 2 <= steps.length);
  const isFine = zoom !== undefined && isThinned;
  const finer = { ...asked, ...zoom, buckets: runs.length < CROWD ? 1000 : 400 };
  const fine = useSeries(finer, isNear && isFine);
  const loaded = (isFine ? fine.data : undefined) ?? coarse.data;
  const smoothing = metric.section === 'training' && metric.name !== 'train/lr' ? view.smooth : 0;
  const lines = useMemo(
    () => (loaded ? chartLines(loaded, { runs, coloring, x: view.x, smoothing }) : []),
    [loaded, runs, coloring, view.x, smoothing],
  );
  // on the page of many runs, the notes of all would hide the curves
  const pins = useMemo(
    () => (loaded && run !== undefined ? pinsOf(loaded, runs, view.x) : []),
    [loaded, run, runs, view.x],
  );
  return { lines, pins, error: coarse.error, isPending: coarse.isPending, isFine };
}
