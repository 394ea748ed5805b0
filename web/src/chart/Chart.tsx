// The only component that knows uPlot: made on mount, fed on change, destroyed on unmount.

import 'uplot/dist/uPlot.min.css';
import { useEffect, useRef } from 'react';
import type { Frame } from './frame';
import { Plot } from './plot';

export interface ChartProps {
  frame: Frame;
  /** What it shows, for those who cannot see it; the run table holds the numbers. */
  label: string;
}

export function Chart({ frame, label }: ChartProps) {
  const root = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot>(null);
  useEffect(() => {
    if (!root.current) return undefined;
    const made = new Plot(root.current);
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
    };
  }, []);
  useEffect(() => {
    plot.current?.update(frame);
  }, [frame]);
  const points = frame.lines.reduce((sum, line) => sum + line.ys.length, 0);
  return (
    <div
      ref={root}
      className="chart"
      role="img"
      tabIndex={0}
      aria-label={label}
      data-points={points}
      data-lines={frame.lines.length}
      style={{ minHeight: frame.height }}
    />
  );
}
