import { test as base, type Page } from '@playwright/test';
import type { SweepSummary, SweepView } from '../../src/api/client';

interface Fixtures {
  /** The sweep that was there first. */
  sweep: SweepView;
}

export const url = () => process.env.ASSAY_URL ?? '';

/** Every test fails on an error that nobody caught in the page. */
export const test = base.extend<Fixtures>({
  page: async ({ page }, provide) => {
    const errors: Error[] = [];
    page.on('pageerror', (error) => errors.push(error));
    await provide(page);
    if (0 < errors.length) throw errors[0];
  },
  sweep: async ({ request }, provide) => {
    const list = (await (await request.get(`${url()}/api/v1/sweeps`)).json()) as SweepSummary[];
    const first = list.at(-1);
    if (!first) throw new Error(`there is no sweep at ${url()}`);
    const view = await request.get(`${url()}/api/v1/sweeps/${first.name}`);
    await provide((await view.json()) as SweepView);
  },
});

export const HELDOUT = /^heldout\/[^/]+\/bits_per_byte$/;

export const chart = (page: Page, metric: string) => page.locator(`[data-metric="${metric}"] .chart`);

/** Pixels of a canvas that were drawn on. */
export const inked = (page: Page, selector: string) =>
  page.locator(selector).first().evaluate((canvas) => {
    const { width, height } = canvas as HTMLCanvasElement;
    const { data } = (canvas as HTMLCanvasElement).getContext('2d')?.getImageData(0, 0, width, height) ?? { data: [] };
    let n = 0;
    for (let at = 3; at < data.length; at += 4) n += data[at] === 0 ? 0 : 1;
    return n;
  });
