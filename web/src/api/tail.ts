// The end of a sweep's stream, held while an answer is on its way: an event that arrives between
// the question and the answer may be missing in the answer, and is applied to it afterwards.

import type { SeriesPoints } from './client';

type Event = readonly SeriesPoints[];

export class Tail {
  #events: Event[] = [];
  #readers = 0;

  push(event: Event): void {
    if (0 < this.#readers) this.#events.push(event);
  }

  /** The answer, and what arrived meanwhile. */
  async during<T>(ask: () => Promise<T>): Promise<[T, Event[]]> {
    const from = this.#events.length;
    this.#readers += 1;
    try {
      const answer = await ask();
      return [answer, this.#events.slice(from)];
    } finally {
      this.#readers -= 1;
      if (this.#readers === 0) this.#events = [];
    }
  }
}

const tails = new Map<string, Tail>();

export function tailOf(sweep: string): Tail {
  const known = tails.get(sweep);
  if (known) return known;
  const tail = new Tail();
  tails.set(sweep, tail);
  return tail;
}
