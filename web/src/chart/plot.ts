// One uPlot and what lies over it. A frame goes in; pointer and keys come out as hover, zoom and
// pick. It is made anew only when lines, looks or scales change; new points are `setData`.

import uPlot from 'uplot';
import { align, type Aligned } from '../lib/align';
import { hover, hovered, onHover } from '../lib/hover';
import { valueAt } from '../lib/series';
import type { ChartLine, Frame } from './frame';
import { drawMarks, drawPins, nameBaseline } from './marks';
import { colorsOf, options, type Colors } from './options';
import { Spotlight } from './spotlight';

/** Beyond this many distinct x, curves are rounded to a grid: twice what a wide chart can show. */
const COLUMNS_MAX = 2000;
/** How near the pointer must be to a curve, in pixels. */
const NEAR = 28;
const SYNC = 'assay';

export class Plot {
  #frame: Frame | undefined;
  #aligned: Aligned | undefined;
  #shape = '';
  #plot: uPlot | undefined;
  #spotlight: Spotlight | undefined;
  #colors: Colors | undefined;
  readonly #resize = new ResizeObserver(() => this.#fit());
  readonly #unhover = onHover(() => this.#light());

  constructor(private readonly root: HTMLElement) {
    this.#resize.observe(root);
    root.addEventListener('keydown', this.#key);
  }

  destroy(): void {
    this.#resize.disconnect();
    this.#unhover();
    this.root.removeEventListener('keydown', this.#key);
    this.#plot?.destroy();
  }

  update(frame: Frame): Aligned {
    this.#frame = frame;
    const aligned = align(frame.lines, COLUMNS_MAX, frame.scales);
    this.#aligned = aligned;
    const { theme, x, scales, height, lines } = frame;
    const looks = lines.map((line) => [line.id, line.isBaseline, line.look]);
    const shape = JSON.stringify([theme, x, scales, height, looks]);
    const data = [aligned.xs, ...aligned.ys] as uPlot.AlignedData;
    if (shape === this.#shape && this.#plot) {
      this.#plot.setData(data);
    } else {
      this.#shape = shape;
      this.#create(frame, data);
    }
    this.#light();
    return aligned;
  }

  #create(frame: Frame, data: uPlot.AlignedData): void {
    this.#plot?.destroy();
    const colors = colorsOf(this.root);
    this.#colors = colors;
    const size = { width: Math.max(this.root.clientWidth, 100), height: frame.height };
    const hooks: uPlot.Hooks.Arrays = {
      draw: [(plot) => this.#drawOver(plot, colors)],
      setCursor: [() => this.#light()],
      setSelect: [(plot) => this.#select(plot)],
    };
    const current = () => this.#frame ?? frame;
    const plot = new uPlot(options(current, size, colors, hooks, SYNC), data, this.root);
    plot.over.addEventListener('mousemove', () => this.#point(plot));
    plot.over.addEventListener('mouseleave', () => hover([]));
    plot.over.addEventListener('click', () => this.#pick());
    this.#plot = plot;
    this.#spotlight = new Spotlight(plot);
  }

  #drawOver(plot: uPlot, colors: Colors): void {
    const { lines, pins } = this.#frame ?? { lines: [], pins: [] };
    drawPins(plot, pins, colors);
    drawMarks(plot, lines, this.#aligned?.marks ?? []);
    nameBaseline(plot, 1 < lines.length ? lines.find((line) => line.isBaseline) : undefined, colors);
  }

  #fit(): void {
    const width = this.root.clientWidth;
    if (!this.#plot || !this.#frame || width === 0 || width === this.#plot.width) return;
    this.#plot.setSize({ width, height: this.#frame.height });
    this.#light();
  }

  /** The cursor's x; none where it is outside. */
  #cursorX(): number | undefined {
    const left = this.#plot?.cursor.left;
    return this.#plot && left !== undefined && 0 <= left ? this.#plot.posToVal(left, 'x') : undefined;
  }

  #light(): void {
    if (!this.#frame || !this.#colors) return;
    this.#spotlight?.draw(this.#frame, hovered(), this.#cursorX(), this.#colors);
  }

  #point(plot: uPlot): void {
    const nearest = this.#nearest(plot);
    hover(nearest ? [nearest.id] : []);
    plot.over.style.cursor = nearest && this.#frame?.onPick ? 'pointer' : 'crosshair';
  }

  #nearest(plot: uPlot): ChartLine | undefined {
    const x = this.#cursorX();
    const top = plot.cursor.top ?? -1;
    if (x === undefined || top < 0) return undefined;
    let found: ChartLine | undefined;
    let least = NEAR;
    for (const line of this.#frame?.lines ?? []) {
      const y = valueAt(line.xs, line.ys, x);
      if (y === undefined) continue;
      const distance = Math.abs(plot.valToPos(y, 'y') - top);
      if (distance < least) [found, least] = [line, distance];
    }
    return found;
  }

  #select(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width <= 0) return;
    const zoom = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')] as const;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#wasDragged = true;
    this.#frame?.onZoom(zoom);
  }

  #wasDragged = false;

  #pick(): void {
    const [run] = hovered();
    // the end of a drag is a click too
    if (run && !this.#wasDragged) this.#frame?.onPick?.(run);
    this.#wasDragged = false;
  }

  /** Left and right move the cursor, up and down go from curve to curve, Enter opens, Escape leaves. */
  readonly #key = (event: KeyboardEvent): void => {
    const plot = this.#plot;
    if (!plot || !this.#frame || event.ctrlKey || event.metaKey || event.altKey) return;
    switch (event.key) {
      case 'ArrowLeft':
      case 'ArrowRight':
        this.#moveX(plot, event.key === 'ArrowLeft' ? -1 : 1);
        break;
      case 'ArrowUp':
      case 'ArrowDown':
        this.#moveLine(plot, event.key === 'ArrowUp' ? 1 : -1);
        break;
      case 'Enter':
        this.#pick();
        break;
      case 'Escape':
        if (hovered().length === 0) this.#frame.onZoom(undefined);
        hover([]);
        break;
      default:
        return;
    }
    event.preventDefault();
  };

  /** As the pointer does: the cursors of all other charts follow. */
  #setCursor(plot: uPlot, left: number): void {
    const x = plot.posToVal(left, 'x');
    for (const each of uPlot.sync(SYNC).plots) {
      each.setCursor({ left: each.valToPos(x, 'x'), top: each.over.clientHeight / 2 });
    }
  }

  #moveX(plot: uPlot, direction: 1 | -1): void {
    const xs = (this.#aligned?.xs ?? []).filter((x) => {
      const { min, max } = plot.scales.x;
      return (min ?? -Infinity) <= x && x <= (max ?? Infinity);
    });
    if (xs.length === 0) return;
    const now = this.#cursorX() ?? (direction === 1 ? -Infinity : Infinity);
    // what a pixel rounds off must not hold the cursor in place
    const slack = Math.abs(plot.posToVal(1, 'x') - plot.posToVal(0, 'x'));
    const next =
      direction === 1 ? xs.find((x) => now + slack < x) : xs.findLast((x) => x < now - slack);
    const left = plot.valToPos(next ?? (direction === 1 ? xs[xs.length - 1] : xs[0]), 'x');
    this.#setCursor(plot, left);
    if (hovered().length === 0) this.#moveLine(plot, 1);
  }

  #moveLine(plot: uPlot, direction: 1 | -1): void {
    const x = this.#cursorX() ?? this.#aligned?.xs.at(-1);
    if (x === undefined) return;
    if (this.#cursorX() === undefined) {
      this.#setCursor(plot, plot.valToPos(x, 'x'));
    }
    const order = (this.#frame?.lines ?? [])
      .map((line) => ({ id: line.id, y: valueAt(line.xs, line.ys, x) }))
      .filter((entry): entry is { id: string; y: number } => entry.y !== undefined)
      .sort((a, b) => a.y - b.y);
    if (order.length === 0) return;
    const now = order.findIndex(({ id }) => id === hovered()[0]);
    const next = now < 0 ? 0 : (now + direction + order.length) % order.length;
    hover([order[next].id]);
  }
}
