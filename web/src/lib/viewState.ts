// What the sweep's page shows, as it stands in the URL: a link is the view. Pure but for the hook.

import { useCallback, useMemo } from 'react';
import { useSearchParams } from 'wouter';
import { SECTIONS, type SectionId } from './metrics';

export type XAxis = 'step' | 'tokens' | 'time';

/** Where runs are compared: at their end, where all have come to, or after so many tokens. */
export type At = 'end' | 'equal' | number;

export interface ViewState {
  x: XAxis;
  logX: boolean;
  logY: boolean;
  /** Leaves the outermost hundredths out of the y range. */
  clip: boolean;
  /** 0 to 0.99; of training curves only. */
  smooth: number;
  /** Range of the x axis; none: everything. */
  zoom: readonly [number, number] | undefined;
  /** Label or path of an axis, or `run`; none: the first axis. */
  color: string | undefined;
  filter: string;
  /** Numbers of runs taken out by their checkbox. */
  hidden: readonly number[];
  sort: string;
  isDescending: boolean;
  at: At;
  open: readonly SectionId[];
}

const OPEN = SECTIONS.filter(({ isOpen }) => isOpen).map(({ id }) => id);

export const DEFAULT_VIEW: ViewState = {
  x: 'step',
  logX: false,
  logY: false,
  clip: false,
  smooth: 0,
  zoom: undefined,
  color: undefined,
  filter: '',
  hidden: [],
  sort: 'run',
  isDescending: false,
  at: 'end',
  open: OPEN,
};

export function readView(params: URLSearchParams): ViewState {
  const x = params.get('x');
  const zoom = (params.get('zoom') ?? '').split('~').map(Number);
  const smooth = Number(params.get('smooth') ?? 0);
  const open = params.get('open');
  return {
    x: x === 'tokens' || x === 'time' ? x : 'step',
    logX: params.has('logx'),
    logY: params.has('logy'),
    clip: params.has('clip'),
    smooth: 0 < smooth && smooth < 1 ? smooth : 0,
    zoom: zoom.length === 2 && zoom[0] < zoom[1] ? [zoom[0], zoom[1]] : undefined,
    color: params.get('color') ?? undefined,
    filter: params.get('filter') ?? '',
    hidden: readNumbers(params.get('hide') ?? ''),
    sort: params.get('sort') ?? DEFAULT_VIEW.sort,
    isDescending: params.has('desc'),
    at: readAt(params.get('at') ?? ''),
    open: open === null ? OPEN : SECTIONS.map(({ id }) => id).filter((id) => open.split(',').includes(id)),
  };
}

const SCALES: Partial<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** `end`, `equal`, or tokens as the sweep file has them: `200k`, `1.5M`. */
export function readAt(text: string): At {
  if (text === 'equal') return 'equal';
  const [, digits, scale] = /^(\d+(?:\.\d+)?)([kMGT]?)$/.exec(text.trim()) ?? [];
  const tokens = Math.round(Number(digits) * (SCALES[scale] ?? 1));
  return Number.isSafeInteger(tokens) && 0 < tokens ? tokens : 'end';
}

/** Only what differs from the default: short links stay short. */
export function writeView(view: ViewState): URLSearchParams {
  const params = new URLSearchParams();
  const flag = (name: string, isSet: boolean) => {
    if (isSet) params.set(name, '1');
  };
  if (view.x !== 'step') params.set('x', view.x);
  flag('logx', view.logX);
  flag('logy', view.logY);
  flag('clip', view.clip);
  if (view.smooth !== 0) params.set('smooth', String(view.smooth));
  if (view.zoom) params.set('zoom', view.zoom.map((x) => String(Number(x.toPrecision(6)))).join('~'));
  if (view.color !== undefined) params.set('color', view.color);
  if (view.filter !== '') params.set('filter', view.filter);
  if (0 < view.hidden.length) params.set('hide', writeNumbers(view.hidden));
  if (view.sort !== DEFAULT_VIEW.sort) params.set('sort', view.sort);
  flag('desc', view.isDescending);
  if (view.at !== 'end') params.set('at', String(view.at));
  if (view.open.join() !== OPEN.join()) params.set('open', view.open.join(','));
  return params;
}

/** `1-4,9` */
export function writeNumbers(numbers: readonly number[]): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const n of sorted) {
    const last = ranges.at(-1);
    if (last?.[1] === n - 1) last[1] = n;
    else ranges.push([n, n]);
  }
  return ranges.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(',');
}

const HIDDEN_MAX = 20_000;

export function readNumbers(text: string): number[] {
  const numbers: number[] = [];
  for (const part of text.split(',')) {
    const [from, to = from] = part.split('-').map(Number);
    if (!/^\d+(-\d+)?$/.test(part)) continue;
    for (let n = from; n <= to && numbers.length < HIDDEN_MAX; n++) numbers.push(n);
  }
  return numbers;
}

export type ChangeView = (change: Partial<ViewState>) => void;

export function useView(): [ViewState, ChangeView] {
  const [params, setParams] = useSearchParams();
  const view = useMemo(() => readView(params), [params]);
  const change = useCallback<ChangeView>(
    (part) => setParams((now) => writeView({ ...readView(now), ...part }), { replace: true }),
    [setParams],
  );
  return [view, change];
}
