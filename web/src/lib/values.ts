// Axis values: compared as numbers where they are written as numbers, otherwise as words. Pure.

const SUFFIX: Partial<Record<string, number>> = {
  '%': 0.01,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  x: 1,
};

/** The number that a value stands for: `0.5`, `"2%"`, `"200k"`, `"40 steps"`; none for a word. */
export function numeric(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return undefined;
  const match = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(%|[kMGTx]|steps)?\s*$/.exec(value);
  return match ? Number(match[1]) * (SUFFIX[match[2]] ?? 1) : undefined;
}

/** Order of two values: numbers first by size, then words. */
export function compareValues(a: unknown, b: unknown): number {
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined && y !== undefined) return x - y;
  if (x !== undefined) return -1;
  if (y !== undefined) return 1;
  return showValue(a).localeCompare(showValue(b), 'en');
}

export function showValue(value: unknown): string {
  if (typeof value === 'number') return showNumber(value);
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return '–';
  return JSON.stringify(value);
}

/** As people write learning rates: 1e-3 rather than 0.001, but 0.25 and 1000. */
export function showNumber(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.01 || 1e6 <= size)) return value.toExponential().replace('e+', 'e');
  return String(value);
}
