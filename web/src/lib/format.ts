// Numbers, times and sizes for people. Pure but for the locale.

const GREEK = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const;

/** 1234567 -> 1.23M */
export function short(value: number): string {
  for (const [size, letter] of GREEK) {
    if (size <= Math.abs(value)) return trim((value / size).toPrecision(3)) + letter;
  }
  return Number.isInteger(value) ? String(value) : trim(value.toPrecision(3));
}

function trim(digits: string): string {
  return digits.includes('.') && !digits.includes('e') ? digits.replace(/\.?0+$/, '') : digits;
}

/** A metric's value: four digits that mean something, words for what is no number. */
export function metric(value: number | undefined): string {
  if (value === undefined) return '–';
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value < 0 ? '−∞' : '∞';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-3 || 1e6 <= size) return value.toExponential(2).replace('-', '−').replace('e−', 'e-');
  const digits = size < 1 ? 4 : size < 10 ? 4 : size < 1000 ? 2 : 0;
  return value.toFixed(digits).replace('-', '−');
}

/** A difference, always with its sign. */
export function signed(value: number): string {
  if (value === 0) return '±0';
  return (0 < value ? '+' : '') + metric(value);
}

export function bytes(n: number): string {
  return n < 1000 ? `${n} B` : `${short(n).replace(/[a-zA-Z]$/, ' $&')}B`;
}

/** 3725 -> 1 h 2 min */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${trim(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  return seconds < 10 ? 'just now' : `${duration(Math.round(seconds))} ago`;
}

export function clock(iso: string): string {
  return new Date(iso).toLocaleString(undefined, {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}

export function plural(n: number, noun: string): string {
  return `${n.toLocaleString('en')} ${noun}${n === 1 ? '' : 's'}`;
}
