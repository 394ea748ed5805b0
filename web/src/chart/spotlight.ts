// The hovered curves, lifted out of the crowd on a canvas above the chart, so that moving the
// pointer over 300 curves draws one and not 300. And the label that says what they are.

import uPlot from 'uplot';
import { BASELINE_DASH } from '../lib/color';
import { metric, signed } from '../lib/format';
import { valueAt } from '../lib/series';
import { showX } from './axes';
import type { ChartLine, Frame } from './frame';
import type { Colors } from './options';

interface Scene {
  frame: Frame;
  lit: readonly ChartLine[];
  baseline: ChartLine | undefined;
  /** Where the cursor is, if it is anywhere. */
  x: number | undefined;
}

interface Brush {
  ctx: CanvasRenderingContext2D;
  scales: Frame['scales'];
}

export class Spotlight {
  readonly #canvas = document.createElement('canvas');
  readonly #label = document.createElement('div');

  constructor(private readonly plot: uPlot) {
    this.#canvas.className = 'spotlight';
    this.#label.className = 'spotlight-label';
    this.#label.hidden = true;
    plot.over.append(this.#canvas, this.#label);
  }

  draw(frame: Frame, runs: readonly string[], x: number | undefined, colors: Colors): void {
    const lit = frame.lines.filter((line) => runs.includes(line.id));
    const baseline = frame.lines.find((line) => line.isBaseline);
    this.#paint({ frame, lit, baseline, x }, colors);
    this.#tell({ frame, lit, baseline, x });
  }

  #paint({ frame, lit, baseline, x }: Scene, colors: Colors): void {
    const { width, height } = this.plot.over.getBoundingClientRect();
    const unit = uPlot.pxRatio;
    const canvas = this.#canvas;
    const ctx = canvas.getContext('2d');
    if (!ctx) return;
    if (canvas.width !== Math.round(width * unit) || canvas.height !== Math.round(height * unit)) {
      canvas.width = Math.round(width * unit);
      canvas.height = Math.round(height * unit);
    }
    ctx.setTransform(unit, 0, 0, unit, 0, 0);
    ctx.clearRect(0, 0, width, height);
    if (lit.length === 0) return;
    const brush = { ctx, scales: frame.scales };
    ctx.globalAlpha = 0.78;
    ctx.fillStyle = colors.ground;
    ctx.fillRect(0, 0, width, height);
    ctx.globalAlpha = 1;
    if (baseline && !lit.includes(baseline)) this.#stroke(baseline, baseline.ys, 1.5, brush);
    for (const line of lit) {
      if (line.raw) {
        ctx.globalAlpha = 0.35;
        this.#stroke(line, line.raw, 1, brush);
        ctx.globalAlpha = 1;
      }
      this.#stroke(line, line.ys, lit.length < 6 ? 2.75 : 1.75, brush);
      const y = x === undefined ? undefined : valueAt(line.xs, line.ys, x);
      if (x === undefined || y === undefined) continue;
      ctx.beginPath();
      ctx.arc(this.plot.valToPos(x, 'x'), this.plot.valToPos(y, 'y'), 4, 0, 2 * Math.PI);
      ctx.fillStyle = line.look.color;
      ctx.fill();
      ctx.lineWidth = 2;
      ctx.strokeStyle = colors.ground;
      ctx.stroke();
    }
  }

  #stroke(line: ChartLine, ys: readonly number[], width: number, { ctx, scales }: Brush): void {
    ctx.beginPath();
    ctx.strokeStyle = line.look.color;
    ctx.lineWidth = width;
    ctx.lineJoin = 'round';
    ctx.setLineDash(line.isBaseline ? BASELINE_DASH : line.look.dash);
    const isLogX = scales.x === 'log';
    const isLogY = scales.y === 'log';
    let isDown = false;
    line.xs.forEach((x, index) => {
      const y = ys[index];
      const canDraw = Number.isFinite(y) && (!isLogX || 0 < x) && (!isLogY || 0 < y);
      if (canDraw) {
        const [left, top] = [this.plot.valToPos(x, 'x'), this.plot.valToPos(y, 'y')];
        if (isDown) ctx.lineTo(left, top);
        else ctx.moveTo(left, top);
      }
      isDown = canDraw;
    });
    ctx.stroke();
    ctx.setLineDash([]);
  }

  #tell({ frame, lit, baseline, x }: Scene): void {
    const label = this.#label;
    const line = lit.length === 1 ? lit[0] : undefined;
    const y = line && x !== undefined ? valueAt(line.xs, line.ys, x) : undefined;
    label.hidden = line === undefined || y === undefined || x === undefined;
    if (line === undefined || y === undefined || x === undefined) return;
    const base = baseline && baseline !== line ? valueAt(baseline.xs, baseline.ys, x) : undefined;
    const beside = base === undefined ? '' : ` (${signed(y - base)} to baseline)`;
    label.replaceChildren(
      part('strong', metric(y)),
      part('span', `${beside} at ${showX(x, frame.x)}`),
      part('div', line.label),
    );
    const { width } = this.plot.over.getBoundingClientRect();
    const left = this.plot.valToPos(x, 'x');
    const top = this.plot.valToPos(y, 'y');
    label.style.left = `${left}px`;
    label.style.top = `${top}px`;
    label.dataset.side = width / 2 < left ? 'left' : 'right';
    label.dataset.edge = top < 60 ? 'below' : 'above';
  }
}

function part(tag: 'strong' | 'span' | 'div', text: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
