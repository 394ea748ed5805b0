// What a chart shows, as data. `plot.ts` draws it.

import type { Distribution } from '../lib/align';
import type { Look, Theme } from '../lib/color';
import type { XAxis } from '../lib/viewState';

export interface ChartLine {
  /** Id of its run. */
  id: string;
  label: string;
  look: Look;
  isBaseline: boolean;
  xs: readonly number[];
  ys: readonly number[];
  /** Before smoothing; none where nothing is smoothed. */
  raw: readonly number[] | undefined;
}

/** A note at an x: where it lies, and what it says. */
export interface Pin {
  x: number;
  text: string;
}

export type Range = readonly [number, number];

export interface Frame {
  lines: readonly ChartLine[];
  pins: readonly Pin[];
  x: XAxis;
  scales: { x: Distribution; y: Distribution };
  clip: boolean;
  zoom: Range | undefined;
  theme: Theme;
  height: number;
  onZoom: (zoom: Range | undefined) => void;
  onPick: ((run: string) => void) | undefined;
}
