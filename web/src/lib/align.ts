// Many curves over one column of x, as uPlot wants them. Pure.

export interface Curve {
  xs: readonly number[];
  ys: readonly number[];
}

/** A value that no axis can show: drawn as a mark at the edge, never left out in silence. */
export interface Mark {
  curve: number;
  x: number;
  kind: 'nan' | 'above' | 'below';
}

export interface Aligned {
  xs: number[];
  /** `undefined`: this curve has no point here; `null`: a gap, its value cannot be drawn. */
  ys: (number | null | undefined)[][];
  marks: Mark[];
}

export type Distribution = 'linear' | 'log';

/**
 * Curves that share most of their x keep every point. Where the union has more than `columnsMax`
 * (wall time: no two runs share an instant), x is rounded to a grid of that many columns, and the
 * last point of a cell counts.
 */
export function align(
  curves: readonly Curve[],
  columnsMax: number,
  scales: { x: Distribution; y: Distribution },
): Aligned {
  const canDraw = (x: number) => Number.isFinite(x) && (scales.x === 'linear' || 0 < x);
  const union = new Set<number>();
  for (const curve of curves) for (const x of curve.xs) if (canDraw(x)) union.add(x);
  const exact = Float64Array.from(union).sort();
  const snap = exact.length <= columnsMax ? (x: number) => x : grid(exact, columnsMax, scales.x);
  const xs = [...new Set(Array.from(exact, snap))];
  const column = new Map(xs.map((x, index) => [x, index]));
  const marks: Mark[] = [];
  const ys = curves.map((curve, index) => {
    const line = Array.from<unknown, number | null | undefined>(xs, () => undefined);
    curve.xs.forEach((x, at) => {
      const cell = canDraw(x) ? column.get(snap(x)) : undefined;
      if (cell === undefined) return;
      const kind = undrawable(curve.ys[at], scales.y);
      if (kind) marks.push({ curve: index, x, kind });
      line[cell] = kind ? null : curve.ys[at];
    });
    return line;
  });
  return { xs, ys, marks };
}

function undrawable(y: number, scale: Distribution): Mark['kind'] | undefined {
  if (Number.isNaN(y)) return 'nan';
  if (y === Infinity) return 'above';
  if (y === -Infinity || (scale === 'log' && y <= 0)) return 'below';
  return undefined;
}

function grid(sorted: Float64Array, columns: number, scale: Distribution): (x: number) => number {
  const to = scale === 'log' ? Math.log : (x: number) => x;
  const back = scale === 'log' ? Math.exp : (x: number) => x;
  const start = to(sorted[0]);
  const cell = (to(sorted[sorted.length - 1]) - start) / (columns - 1);
  return (x) => back(start + Math.round((to(x) - start) / cell) * cell);
}
