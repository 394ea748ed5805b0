import { defineConfig } from '@playwright/test';

// The system's Chromium; Playwright would download its own.
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

export default defineConfig({
  testDir: 'tests/browser',
  outputDir: 'test-results',
  globalSetup: './tests/browser/controller.ts',
  // the tests look at one sweep while it trains
  workers: 1,
  // how long a small model may take on a busy machine
  timeout: 300_000,
  expect: { timeout: 20_000 },
  reporter: 'list',
  use: {
    launchOptions: { executablePath, args: ['--no-sandbox'] },
    // set by the global setup before the tests read this file again
    baseURL: process.env.ASSAY_URL ?? '',
    viewport: { width: 1440, height: 1000 },
    screenshot: 'only-on-failure',
  },
});
