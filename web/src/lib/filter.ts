// The filter over the run table: `lr=1e-3 state=done mix.commerce>=0.5 -warmup`. Pure.
//
// Words without an operator look into the run's label; `-` in front turns a term around. All terms
// must hold.

import type { AxisView, RunRow } from '../api/client';
import { latest } from './rank';
import { numeric, showValue } from './values';

type Operator = '=' | '!=' | '<' | '>' | '<=' | '>=';

interface Term {
  isNegated: boolean;
  key: string | undefined;
  operator: Operator;
  value: string;
}

export interface Filter {
  matches: (run: RunRow) => boolean;
  /** Keys that nothing is known by, for a hint. */
  unknown: string[];
}

const FIELDS: Record<string, (run: RunRow) => unknown[]> = {
  state: (run) => [run.state, run.outcome, run.phase],
  outcome: (run) => [run.outcome],
  kind: (run) => [run.kind],
  run: (run) => [run.number],
  step: (run) => [run.step],
  tokens: (run) => [run.tokens],
  attempt: (run) => [run.attempt],
  tag: (run) => run.tags,
  excluded: (run) => [run.excluded ? 'yes' : 'no'],
  baseline: (run) => [run.is_baseline ? 'yes' : 'no'],
};

export const FILTER_KEYS = Object.keys(FIELDS);

export function parseFilter(
  text: string,
  axes: readonly AxisView[],
  metrics: readonly string[],
): Filter {
  const terms = text.split(/\s+/).filter(Boolean).map(parseTerm);
  const reader = (key: string) => readerOf(key, axes, metrics);
  const unknown = terms.flatMap(({ key }) => (key !== undefined && !reader(key) ? [key] : []));
  const holds = (term: Term, run: RunRow) => {
    const found =
      term.key === undefined
        ? `#${run.number} ${run.label}`.toLowerCase().includes(term.value.toLowerCase())
        : (reader(term.key)?.(run) ?? []).some((value) => compare(value, term));
    return found !== term.isNegated;
  };
  return { unknown, matches: (run) => terms.every((term) => holds(term, run)) };
}

function parseTerm(word: string): Term {
  const isNegated = 1 < word.length && word.startsWith('-');
  const text = isNegated ? word.slice(1) : word;
  const match = /^([^=<>!]+)(<=|>=|!=|=|<|>)(.*)$/.exec(text);
  if (!match) return { isNegated, key: undefined, operator: '=', value: text };
  return { isNegated, key: match[1], operator: match[2] as Operator, value: match[3] };
}

function readerOf(
  key: string,
  axes: readonly AxisView[],
  metrics: readonly string[],
): ((run: RunRow) => unknown[]) | undefined {
  const axis = axes.find(({ label, path }) => label === key || path === key);
  if (axis) return (run) => (axis.path in run.axes ? [run.axes[axis.path]] : []);
  if (key in FIELDS) return FIELDS[key];
  if (metrics.includes(key)) return (run) => [latest(run, key)];
  return undefined;
}

function compare(value: unknown, { operator, value: wanted }: Term): boolean {
  if (value === undefined || value === null) return false;
  const [left, right] = [numeric(value), numeric(wanted)];
  if (left !== undefined && right !== undefined) return order(left - right, operator);
  const text = showValue(value).toLowerCase();
  const word = wanted.toLowerCase();
  if (operator === '=') return text === word;
  return operator === '!=' ? text !== word : order(text < word ? -1 : text > word ? 1 : 0, operator);
}

function order(difference: number, operator: Operator): boolean {
  switch (operator) {
    case '=':
      return difference === 0;
    case '!=':
      return difference !== 0;
    case '<':
      return difference < 0;
    case '>':
      return 0 < difference;
    case '<=':
      return difference <= 0;
    case '>=':
      return 0 <= difference;
  }
}
