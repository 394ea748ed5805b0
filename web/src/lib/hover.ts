// Which runs the pointer (or the keyboard) is on: shared by all charts, the legend and the table.
// It moves with every pixel, so it goes past React's tree to those that listen.

import { useSyncExternalStore } from 'react';

type Runs = readonly string[];

const NONE: Runs = [];
let current: Runs = NONE;
const listeners = new Set<() => void>();

export function hover(runs: Runs): void {
  if (runs.length === current.length && runs.every((run, index) => run === current[index])) return;
  current = runs.length === 0 ? NONE : runs;
  for (const listener of listeners) listener();
}

export const hovered = (): Runs => current;

export function onHover(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useIsHovered(run: string): boolean {
  return useSyncExternalStore(onHover, () => current.includes(run));
}
