// What is drawn over uPlot's lines: the baseline's name, and a mark for each value that no axis
// can show.

import uPlot from 'uplot';
import type { Mark } from '../lib/align';
import type { ChartLine, Pin } from './frame';
import type { Colors } from './options';

export function drawMarks(plot: uPlot, lines: readonly ChartLine[], marks: readonly Mark[]): void {
  const { ctx, bbox } = plot;
  const unit = uPlot.pxRatio;
  const size = 4 * unit;
  ctx.save();
  ctx.lineWidth = 1.5 * unit;
  for (const { curve, x, kind } of marks) {
    const at = plot.valToPos(x, 'x', true);
    if (at < bbox.left || bbox.left + bbox.width < at) continue;
    const edge = kind === 'below' ? bbox.top + bbox.height - size : bbox.top + size;
    ctx.beginPath();
    ctx.strokeStyle = ctx.fillStyle = lines[curve].look.color;
    if (kind === 'nan') {
      ctx.moveTo(at - size, edge - size);
      ctx.lineTo(at + size, edge + size);
      ctx.moveTo(at + size, edge - size);
      ctx.lineTo(at - size, edge + size);
      ctx.stroke();
    } else {
      const tip = kind === 'above' ? -size : size;
      ctx.moveTo(at, edge + tip);
      ctx.lineTo(at - size, edge - tip);
      ctx.lineTo(at + size, edge - tip);
      ctx.fill();
    }
  }
  ctx.restore();
}

const PIN_LETTERS = 28;

/** A dashed line at each note, with the beginning of its text. */
export function drawPins(plot: uPlot, pins: readonly Pin[], colors: Colors): void {
  const { ctx, bbox } = plot;
  const unit = uPlot.pxRatio;
  ctx.save();
  ctx.font = `${10.5 * unit}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.lineWidth = unit;
  ctx.textBaseline = 'top';
  pins.forEach(({ x, text }, index) => {
    const at = plot.valToPos(x, 'x', true);
    if (at < bbox.left || bbox.left + bbox.width < at) return;
    ctx.strokeStyle = colors.muted;
    ctx.setLineDash([3 * unit, 3 * unit]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    const short = PIN_LETTERS < text.length ? `${text.slice(0, PIN_LETTERS - 1)}…` : text;
    const isLeft = bbox.left + bbox.width < at + ctx.measureText(short).width + 6 * unit;
    ctx.textAlign = isLeft ? 'right' : 'left';
    ctx.fillStyle = colors.muted;
    // neighbors do not write over each other
    ctx.fillText(short, isLeft ? at - 4 * unit : at + 4 * unit, bbox.top + (2 + (index % 3) * 13) * unit);
  });
  ctx.restore();
}

export function nameBaseline(plot: uPlot, line: ChartLine | undefined, colors: Colors): void {
  if (!line) return;
  const { ctx, bbox } = plot;
  const { min, max } = plot.scales.x;
  const index = line.xs.findLastIndex(
    (x, at) => (min ?? -Infinity) <= x && x <= (max ?? Infinity) && Number.isFinite(line.ys[at]),
  );
  if (index < 0) return;
  const unit = uPlot.pxRatio;
  const right = plot.valToPos(line.xs[index], 'x', true);
  const y = plot.valToPos(line.ys[index], 'y', true);
  if (y < bbox.top || bbox.top + bbox.height < y) return;
  ctx.save();
  ctx.font = `600 ${11 * unit}px ${getComputedStyle(document.body).fontFamily}`;
  ctx.lineJoin = 'round';
  const room = ctx.measureText('baseline').width + 6 * unit;
  const isLeft = bbox.left + bbox.width < right + room;
  ctx.textAlign = isLeft ? 'right' : 'left';
  const at = isLeft ? Math.min(right, bbox.left + bbox.width) - 3 * unit : right + 5 * unit;
  const above = y - 7 * unit < bbox.top + 12 * unit ? y + 15 * unit : y - 7 * unit;
  ctx.strokeStyle = colors.ground;
  ctx.lineWidth = 4 * unit;
  ctx.strokeText('baseline', at, above);
  ctx.fillStyle = colors.ink;
  ctx.fillText('baseline', at, above);
  ctx.restore();
}
