import { useRef, useState, type RefObject } from 'react';

/** The height of every row, also in table.css. */
export const ROW_HEIGHT = 44;

/** Fewer rows are all drawn: then the browser finds text in all of them. */
const ALL_MAX = 120;
const BEYOND = 15;

interface Window {
  scroller: RefObject<HTMLDivElement | null>;
  /** The first row to draw, and the one after the last. */
  from: number;
  to: number;
  onScroll: () => void;
}

/** Which rows of a scrolled table can be seen. */
export function useWindow(rows: number): Window {
  const scroller = useRef<HTMLDivElement>(null);
  const [first, setFirst] = useState(0);
  const onScroll = () => {
    const top = scroller.current?.scrollTop ?? 0;
    // in strides, so that most pixels of scrolling draw nothing
    setFirst(Math.floor(top / ROW_HEIGHT / BEYOND) * BEYOND);
  };
  if (rows <= ALL_MAX) return { scroller, from: 0, to: rows, onScroll };
  const from = Math.max(0, Math.min(first, rows) - BEYOND);
  return { scroller, from, to: Math.min(rows, first + 4 * BEYOND), onScroll };
}
