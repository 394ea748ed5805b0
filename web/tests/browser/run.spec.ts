import { expect } from '@playwright/test';
import { test } from './support';

test('a run shows its logs, spec, attempts, events, scores and curves', async ({ page, sweep }) => {
  const run = sweep.runs.find((each) => each.kind === 'train');
  await page.goto(`/sweeps/${sweep.name}/${run?.number}`);
  await expect(page.getByRole('heading', { level: 1 })).toContainText(run?.label ?? '');
  await expect(page.getByRole('log').locator('.log').first()).toBeVisible({ timeout: 240_000 });
  await expect(page.getByRole('region', { name: 'Spec' })).toContainText('weight_decay');
  await expect(page.getByRole('region', { name: 'Attempts' })).toContainText('local');
  await expect(page.getByRole('region', { name: 'Events' })).toContainText('queued');
  await expect(page.getByRole('region', { name: 'Evaluations' })).toContainText('heldout/', { timeout: 240_000 });
  await expect(page.locator('[data-metric="train/loss"] .chart')).toHaveAttribute('data-points', /[1-9]/);
});

test('a run that has ended cannot be cancelled, and the button says why', async ({ page, sweep }) => {
  const run = sweep.runs.find((each) => each.kind === 'prepare');
  await page.goto(`/sweeps/${sweep.name}/${run?.number}`);
  const cancel = page.getByRole('button', { name: 'Cancel' });
  await expect(cancel).toHaveAttribute('aria-disabled', 'true', { timeout: 240_000 });
  await expect(cancel).toHaveAttribute('title', 'It has ended.');
});

test('a number that no run has says so', async ({ page, sweep }) => {
  await page.goto(`/sweeps/${sweep.name}/9999`);
  await expect(page.getByRole('heading', { name: `${sweep.name} has no run 9999` })).toBeVisible();
});
