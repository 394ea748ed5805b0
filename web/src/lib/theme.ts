// Dark or light: the system's wish until somebody chooses. `index.html` sets it before first paint.

import { useSyncExternalStore } from 'react';
import type { Theme } from './color';

const KEY = 'assay.theme';
const listeners = new Set<() => void>();
const system = matchMedia('(prefers-color-scheme: dark)');

function apply(): void {
  const chosen = localStorage.getItem(KEY);
  document.documentElement.dataset.theme = chosen ?? (system.matches ? 'dark' : 'light');
  for (const listener of listeners) listener();
}

system.addEventListener('change', apply);

export function toggleTheme(): void {
  const next: Theme = theme() === 'dark' ? 'light' : 'dark';
  // choosing what the system has anyway means: follow the system again
  if ((next === 'dark') === system.matches) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  apply();
}

const theme = (): Theme => (document.documentElement.dataset.theme === 'dark' ? 'dark' : 'light');

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, theme);
}
