// uPlot's options for a frame.

import uPlot from 'uplot';
import { robustRange } from '../lib/series';
import { BASELINE_DASH } from '../lib/color';
import { logTicks, padRange, tickX, tickY, TIME_STEPS } from './axes';
import type { ChartLine, Frame } from './frame';

export interface Colors {
  ground: string;
  ink: string;
  muted: string;
  line: string;
}

export function colorsOf(element: HTMLElement): Colors {
  const style = getComputedStyle(element);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return { ground: read('--panel'), ink: read('--ink'), muted: read('--muted'), line: read('--hair') };
}

// uPlot declares these as a const enum, which a bundler cannot look into.
/* eslint-disable @typescript-eslint/no-unsafe-enum-assignment */
const LINEAR: uPlot.Scale.Distr = 1;
const LOG: uPlot.Scale.Distr = 3;
/* eslint-enable @typescript-eslint/no-unsafe-enum-assignment */

/** Above this many lines they are drawn thinner and without points. */
const CROWD = 40;

export function options(
  frame: () => Frame,
  size: { width: number; height: number },
  colors: Colors,
  hooks: uPlot.Hooks.Arrays,
  sync: string,
): uPlot.Options {
  const { x, scales, lines } = frame();
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: colors.muted, font, ticks: { show: false } };
  const grid = { stroke: colors.line, width: 1 };
  const isLog = (name: 'x' | 'y') => scales[name] === 'log';
  const distribution = (name: 'x' | 'y') => (isLog(name) ? LOG : LINEAR);
  return {
    ...size,
    padding: [10, 12, 0, 0],
    legend: { show: false },
    hooks,
    scales: {
      x: { time: false, distr: distribution('x'), range: (_, low, high) => rangeX(frame(), low, high) },
      y: { distr: distribution('y'), range: (plot, low, high) => rangeY(frame(), plot, low, high) },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        border: { show: true, stroke: colors.line, width: 1 },
        size: 26,
        gap: 6,
        space: 64,
        ...(x === 'time' && { incrs: TIME_STEPS }),
        ...(isLog('x') && { splits: (_: uPlot, __: number, low: number, high: number) => logTicks(low, high), filter: keep }),
        values: (_, ticks: (number | null)[]) => ticks.map((tick) => (tick === null ? '' : tickX(tick, x))),
      },
      {
        ...axis,
        grid,
        size: 54,
        gap: 6,
        space: 36,
        ...(isLog('y') && { splits: (_: uPlot, __: number, low: number, high: number) => logTicks(low, high), filter: keep }),
        values: (_, ticks: (number | null)[]) => tickY(ticks),
      },
    ],
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: true, y: false, setScale: false, dist: 6 },
      bind: {
        dblclick: () => () => {
          frame().onZoom(undefined);
          return null;
        },
      },
      sync: {
        key: sync,
        setSeries: false,
        scales: ['x', null],
        filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave', sub: () => true },
      },
    },
    series: [{}, ...lines.map((line) => lineOptions(line, lines.length))],
  };
}

const keep = (_: uPlot, ticks: number[]) => ticks;

function lineOptions({ look, isBaseline }: ChartLine, crowd: number): uPlot.Series {
  const isThin = CROWD < crowd;
  const width = isBaseline ? 2 : isThin ? 1 : 1.6;
  const dash = isBaseline ? BASELINE_DASH : look.dash;
  return {
    stroke: look.color,
    width,
    alpha: isThin && !isBaseline ? 0.75 : 1,
    ...(0 < dash.length && { dash }),
    spanGaps: false,
    points: isThin ? { show: false } : { size: 5, width: 0, fill: look.color, space: 14 },
  };
}

function rangeX(frame: Frame, low: number, high: number): [number, number] {
  if (frame.zoom) return [frame.zoom[0], frame.zoom[1]];
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low !== high) return [low, high];
  return low === 0 ? [0, 1] : [low * 0.9, high * 1.1];
}

/** Values that the middle of the chart is made for when outliers are clipped. */
const CLIPPED_SHARE = 0.02;

function rangeY(frame: Frame, plot: uPlot, low: number, high: number): [number, number] {
  const { x, y } = frame.scales;
  const shown = frame.clip ? robustRange(visible(frame, plot), CLIPPED_SHARE) : undefined;
  const [from, to] = shown ?? [low, high];
  // uPlot asks with nulls while there is nothing to show
  if (!Number.isFinite(from) || !Number.isFinite(to) || (from as number | null) === null) {
    return y === 'log' || x === 'log' ? [0.1, 1] : [0, 1];
  }
  return padRange(from, to, y);
}

function visible(frame: Frame, plot: uPlot): number[] {
  const { min, max } = plot.scales.x;
  const [from, to] = [min ?? -Infinity, max ?? Infinity];
  const isDrawn = (y: number) => frame.scales.y === 'linear' || 0 < y;
  return frame.lines.flatMap(({ xs, ys }) =>
    ys.filter((y, index) => from <= xs[index] && xs[index] <= to && isDrawn(y)),
  );
}
