// The look of a curve as a function of its run's config: never of its place in a list. Pure.

import type { AxisView, RunRow } from '../api/client';
import { compareValues, numeric, showValue } from './values';

export type Theme = 'light' | 'dark';

export interface Look {
  color: string;
  dash: number[];
}

export interface LegendEntry {
  value: unknown;
  text: string;
  look: Look;
}

export interface Coloring {
  look: (run: RunRow) => Look;
  legend: LegendEntry[];
  isOrdered: boolean;
}

// Viridis: even steps in lightness, and the same order to color-blind eyes. Its ends are cut where
// they would drown in the background.
const VIRIDIS = ['#440154', '#482878', '#3e4a89', '#31688e', '#26828e', '#1f9e89', '#35b779', '#6ece58', '#b5de2b', '#fde725'];
const VIRIDIS_PART = { light: [0, 0.8], dark: [0.36, 1] } as const;

// After Okabe and Ito: told apart by all common kinds of color vision.
const CATEGORIES = {
  light: ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#3fa0d8', '#7b3294', '#6b6b6b'],
  dark: ['#56b4e9', '#ff8a3d', '#2ec4a0', '#e99ac4', '#f0d24a', '#7aa6ff', '#c79bf2', '#b5b5b5'],
} as const;

/** Beyond eight categories a color comes again, with another dash. */
const DASHES = [[], [8, 3], [2, 3], [10, 3, 2, 3]];

/** The baseline's own dash, whatever colors mean. */
export const BASELINE_DASH = [6, 4];

export function colorBy(axis: AxisView | undefined, runs: readonly RunRow[], theme: Theme): Coloring {
  if (!axis) {
    const look = (run: RunRow) => category(run.number - 1, theme);
    return { look, legend: [], isOrdered: false };
  }
  const values = valuesOf(axis, runs);
  const isOrdered = 2 < values.length && values.every((value) => numeric(value) !== undefined);
  const order = isOrdered ? [...values].sort(compareValues) : values;
  const looks = new Map(
    order.map((value, index) => [
      JSON.stringify(value),
      isOrdered ? sequential(index / (order.length - 1), theme) : category(index, theme),
    ]),
  );
  const none: Look = { color: CATEGORIES[theme][7], dash: [2, 3] };
  return {
    look: (run) => looks.get(JSON.stringify(run.axes[axis.path])) ?? none,
    legend: order.map((value) => ({
      value,
      text: showValue(value),
      look: looks.get(JSON.stringify(value)) ?? none,
    })),
    isOrdered,
  };
}

/** An excluded run is drawn as the background of the others. */
export function greyed(coloring: Coloring, theme: Theme): Coloring {
  const grey: Look = { color: theme === 'light' ? '#c9ccd1' : '#434a54', dash: [] };
  return { ...coloring, look: (run) => (run.excluded ? grey : coloring.look(run)) };
}

/** A run alone needs no telling apart. */
export function oneColor(theme: Theme): Coloring {
  const look = { color: CATEGORIES[theme][0], dash: [] };
  return { look: () => look, legend: [], isOrdered: false };
}

/** As written in the file; then what only runs have, such as the base's own value. */
function valuesOf(axis: AxisView, runs: readonly RunRow[]): unknown[] {
  const seen = new Map(axis.values.map((value) => [JSON.stringify(value), value]));
  const extra = runs
    .filter(({ axes }) => axis.path in axes)
    .map((run) => run.axes[axis.path])
    .sort(compareValues);
  for (const value of extra) {
    const key = JSON.stringify(value);
    if (!seen.has(key)) seen.set(key, value);
  }
  return [...seen.values()];
}

export function sequential(share: number, theme: Theme): Look {
  const [from, to] = VIRIDIS_PART[theme];
  const at = (from + (to - from) * share) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return { color: mix(VIRIDIS[low], VIRIDIS[low + 1], at - low), dash: [] };
}

function category(index: number, theme: Theme): Look {
  const colors = CATEGORIES[theme];
  const round = Math.floor(index / colors.length);
  return { color: colors[index % colors.length], dash: DASHES[round % DASHES.length] };
}

function mix(a: string, b: string, share: number): string {
  const part = (color: string, at: number) => parseInt(color.slice(at, at + 2), 16);
  const channel = (at: number) => {
    const value = Math.round(part(a, at) + (part(b, at) - part(a, at)) * share);
    return value.toString(16).padStart(2, '0');
  };
  return `#${channel(1)}${channel(3)}${channel(5)}`;
}
