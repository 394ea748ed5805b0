import { expect } from '@playwright/test';
import { test, url } from './support';

test('an error stands at its line, and goes when it is mended', async ({ page, sweep }) => {
  await page.goto(`/submit?sweep=${sweep.name}`);
  const editor = page.getByRole('textbox', { name: 'Sweep file' });
  const broken = sweep.file.replace('context:', 'contxt:');
  const line = broken.split('\n').findIndex((text) => text.includes('contxt:')) + 1;
  await editor.fill(broken);
  await expect(page.locator(`.problems [data-line="${line}"]`)).toContainText('context');
  await expect(page.locator('.cm-lintRange-error')).toHaveText('contxt');
  await expect(page.getByRole('button', { name: 'Apply' })).toHaveAttribute('aria-disabled', 'true');
  await editor.fill(sweep.file);
  await expect(page.locator('.cm-lintRange-error')).toHaveCount(0);
  await expect(page.getByRole('button', { name: 'Apply' })).toHaveAttribute('aria-disabled', 'false');
});

test('a sweep is planned, applied, followed and cancelled without leaving the browser', async ({ page, sweep, request }) => {
  // a controller that was there before may hold an earlier one
  const name = `${sweep.name}-by-web-${Date.now()}`;
  await page.goto('/submit');
  await page.getByRole('textbox', { name: /^Folder/ }).fill(sweep.folder);
  const file = sweep.file.replace(/^sweep: .*$/m, `sweep: ${name}`);
  await page.getByRole('textbox', { name: 'Sweep file' }).fill(file);
  const plan = page.getByRole('region', { name: 'Plan' });
  await expect(plan).toContainText('a new sweep');
  await plan.getByRole('button', { name: 'Apply' }).click();
  await expect(page).toHaveURL(new RegExp(`/sweeps/${name}$`));
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(name);
  page.on('dialog', (dialog) => void dialog.accept());
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(page.locator('.head .state').first()).toHaveText('ended', { timeout: 120_000 });
  await expect(page.locator('.head-counts')).toContainText('cancelled');
  const stored = await request.get(`${url()}/api/v1/sweeps/${name}`);
  expect(stored.ok()).toBe(true);
});
