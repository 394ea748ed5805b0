// Arithmetic on metric series: columns of steps, values and times. Pure.

/** The columns are equally long and steps ascend. NaN and infinities are values like others. */
export interface Points {
  steps: readonly number[];
  values: readonly number[];
  times: readonly number[];
}

export const NO_POINTS: Points = { steps: [], values: [], times: [] };

/** Joins a tail to a series. At one step the tail's point wins: it is the newer one. */
export function append(head: Points, tail: Points): Points {
  if (tail.steps.length === 0) return head;
  const last = head.steps.at(-1);
  if (last === undefined || last < tail.steps[0]) {
    return {
      steps: [...head.steps, ...tail.steps],
      values: [...head.values, ...tail.values],
      times: [...head.times, ...tail.times],
    };
  }
  const joined = { steps: [] as number[], values: [] as number[], times: [] as number[] };
  const take = (from: Points, index: number) => {
    joined.steps.push(from.steps[index]);
    joined.values.push(from.values[index]);
    joined.times.push(from.times[index]);
  };
  let h = 0;
  let t = 0;
  while (h < head.steps.length || t < tail.steps.length) {
    const before = h < head.steps.length ? head.steps[h] : Infinity;
    const after = t < tail.steps.length ? tail.steps[t] : Infinity;
    if (before < after) {
      take(head, h++);
    } else {
      if (before === after) h++;
      take(tail, t++);
    }
  }
  return joined;
}

/** The points from `from` to `to`, both included. */
export function within(points: Points, from: number, to: number): Points {
  const first = points.steps.findIndex((step) => from <= step);
  if (first < 0) return NO_POINTS;
  const after = points.steps.findIndex((step) => to < step);
  const end = after < 0 ? points.steps.length : after;
  const cut = (column: readonly number[]) => column.slice(first, end);
  return { steps: cut(points.steps), values: cut(points.values), times: cut(points.times) };
}

/**
 * The last point of each bucket `[k * width, (k + 1) * width)` and the first point of all, with the
 * smallest power of two as width that leaves at most `limit`: as the controller does it, so that
 * edges stay where they are while a series grows.
 */
export function thin(points: Points, limit: number): Points {
  const { steps } = points;
  if (steps.length <= limit) return points;
  let picked: number[] = [];
  for (let width = 2; ; width *= 2) {
    const bucket = (index: number) => Math.floor(steps[index] / width);
    picked = [...steps.keys()].filter(
      (index) => index + 1 === steps.length || bucket(index) !== bucket(index + 1),
    );
    if (picked.length < limit) break;
  }
  if (picked[0] !== 0) picked.unshift(0);
  const pick = (column: readonly number[]) => picked.map((index) => column[index]);
  return { steps: pick(steps), values: pick(points.values), times: pick(points.times) };
}

/**
 * A debiased moving average whose memory is a share of the x range, not a number of points, so that
 * runs logged at another cadence look equally smooth. `strength` is 0 (none) to below 1. What is not
 * finite stays as it is and does not enter.
 */
export function smooth(xs: readonly number[], ys: readonly number[], strength: number): number[] {
  const range = (xs.at(-1) ?? 0) - (xs[0] ?? 0);
  if (strength <= 0 || range <= 0) return [...ys];
  const keep = Math.min(Math.sqrt(strength), 0.999);
  const VIEW = 1000;
  let sum = 0;
  let weight = 0;
  let last = xs[0];
  return ys.map((y, index) => {
    if (!Number.isFinite(y)) return y;
    const faded = keep ** (((xs[index] - last) / range) * VIEW);
    last = xs[index];
    sum = sum * faded + y;
    weight = weight * faded + 1;
    return sum / weight;
  });
}

/** The finite value at `x`, on the straight line between its neighbors; none outside. */
export function valueAt(
  xs: readonly number[],
  ys: readonly number[],
  x: number,
): number | undefined {
  let low = 0;
  let high = xs.length - 1;
  if (high < 0 || x < xs[low] || xs[high] < x) return undefined;
  while (1 < high - low) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  if (xs[high] === x) low = high;
  const [left, right] = [ys[low], ys[high]];
  if (xs[low] === x || low === high) return Number.isFinite(left) ? left : undefined;
  if (!Number.isFinite(left) || !Number.isFinite(right)) return undefined;
  return left + ((right - left) * (x - xs[low])) / (xs[high] - xs[low]);
}

/** The steps whose x lies in a range, with one neighbor on each side; none if nothing lies there. */
export function stepsWithin(
  steps: readonly number[],
  xs: readonly number[],
  range: readonly [number, number],
): [number, number] | undefined {
  const first = xs.findIndex((x) => range[0] <= x);
  const last = xs.findLastIndex((x) => x <= range[1]);
  if (first < 0 || last < 0 || last < first - 1) return undefined;
  const clamp = (index: number) => Math.min(Math.max(index, 0), steps.length - 1);
  return [steps[clamp(first - 1)], steps[clamp(last + 1)]];
}

/** The range that holds all but the outermost share of finite values on either side. */
export function robustRange(values: readonly number[], share: number): [number, number] | undefined {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const skip = Math.floor(sorted.length * share);
  return [sorted[skip], sorted[sorted.length - 1 - skip]];
}
