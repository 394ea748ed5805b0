// Opens the page of a sweep in a browser without a window, and writes a line each time the pixels of
// its chart of the training loss change: when that was, in milliseconds of this machine's clock.
// `tests/benches/store/pixel.rs` starts it, and ends it by closing its standard input.

import { chromium } from '@playwright/test';

const CHART = '[data-metric="train/loss"]';
/** How far the page's clock, which nobody sets, may be from the machine's at the end. */
const DRIFT_MAX_MS = 2;

/** @param {string} line */
const write = (line) => {
  process.stdout.write(`${line}\n`);
};

/** In the page: looks at every frame. What is drawn by then is on the screen at that frame's end. */
async function watch(/** @type {string} */ selector) {
  const { changed } = /** @type {{ changed: (at: number) => Promise<void> }} */ (/** @type {unknown} */ (window));
  const pixels = () => {
    const canvas = document.querySelector(selector);
    const context = canvas instanceof HTMLCanvasElement ? canvas.getContext('2d') : null;
    if (!context) return new Uint32Array();
    const { width, height } = context.canvas;
    return new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
  };
  let before = pixels();
  const look = () => {
    const now = pixels();
    const isOther = now.length !== before.length || now.some((pixel, at) => pixel !== before[at]);
    if (isOther) void changed(performance.timeOrigin + performance.now());
    before = now;
    requestAnimationFrame(look);
  };
  // a frame goes by before the first is compared
  await new Promise(requestAnimationFrame);
  requestAnimationFrame(look);
}

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
await page.exposeFunction('changed', (/** @type {number} */ at) => write(String(at)));
await page.goto(process.argv[2]);
await page.locator('.live.live').waitFor();
// it is drawn when it comes near the screen
await page.locator(CHART).scrollIntoViewIfNeeded();
await page.locator(`${CHART} canvas`).first().waitFor();
await page.evaluate(watch, `${CHART} canvas`);
write('ready');

process.stdin.resume();
await new Promise((done) => process.stdin.once('end', done));
const drift = await page.evaluate(() => performance.timeOrigin + performance.now() - Date.now());
await browser.close();
if (DRIFT_MAX_MS < Math.abs(drift)) throw new Error(`the page's clock is off by ${drift} ms`);
