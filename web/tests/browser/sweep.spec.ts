import { expect } from '@playwright/test';
import { chart, inked, test } from './support';

test('the list shows the sweep, and leads to it by keyboard', async ({ page, sweep }) => {
  await page.goto('/');
  const row = page.getByRole('row').filter({ has: page.getByRole('link', { name: sweep.name, exact: true }) });
  await expect(row).toContainText(/\d+ (succeeded|leased|queued)/);
  await row.getByRole('link').focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(sweep.name);
});

test('curves appear and grow without a reload, until every run has ended', async ({ page, sweep }) => {
  await page.goto(`/sweeps/${sweep.name}`);
  const heldout = page.locator('[data-section="heldout"] .chart').first();
  const points = async () => Number(await heldout.getAttribute('data-points', { timeout: 240_000 }));
  await expect(heldout).toBeVisible({ timeout: 240_000 });
  const first = await points();
  const hadEnded = (await page.locator('.head .state').first().innerText()).includes('succeeded');
  await expect(page.locator('.head .state').first()).toHaveText(/succeeded|ended/, { timeout: 240_000 });
  if (!hadEnded) await expect.poll(points).toBeGreaterThan(first);
  const trained = sweep.runs.filter((run) => run.kind === 'train').length;
  await expect(heldout).toHaveAttribute('data-lines', String(trained));
  expect(await inked(page, '[data-section="heldout"] .chart canvas')).toBeGreaterThan(500);
  await expect(page.getByRole('region', { name: 'Answer' })).toContainText(`all ${trained} runs finished`);
});

test('focus on a row lights its curve in every chart', async ({ page, sweep }) => {
  const run = sweep.runs.findLast((each) => each.kind === 'train');
  await page.goto(`/sweeps/${sweep.name}`);
  const spotlight = '[data-section="heldout"] .spotlight';
  await expect(page.locator(spotlight).first()).toBeVisible();
  expect(await inked(page, spotlight)).toBe(0);
  await page.locator(`tr[data-run="${run?.number}"] a`).focus();
  await expect(page.locator(`tr[data-run="${run?.number}"]`)).toHaveClass(/lit/);
  expect(await inked(page, spotlight)).toBeGreaterThan(500);
});

test('filter, sort, axis and hidden runs are in the URL and survive a reload', async ({ page, sweep }) => {
  const [axis] = sweep.axes;
  const points = sweep.runs.filter((run) => axis.path in run.axes);
  const value = String(points[0].axes[axis.path]);
  await page.goto(`/sweeps/${sweep.name}`);
  const rows = page.locator('table.runs tbody tr[data-run]');
  await expect(rows).toHaveCount(points.length);
  await page.getByRole('button', { name: axis.label, exact: true }).click();
  await page.getByRole('button', { name: axis.label }).first().click();
  await page.getByRole('button', { name: 'tokens', exact: true }).click();
  await page.getByRole('checkbox', { name: `Draw run ${points[0].number}` }).uncheck();
  await page.getByRole('searchbox', { name: 'Filter runs' }).fill(`${axis.label}=${value}`);
  const expected = points.filter((run) => run.axes[axis.path] === points[0].axes[axis.path]);
  const check = async () => {
    await expect(rows).toHaveCount(expected.length);
    await expect(page.locator('th[aria-sort="descending"]')).toContainText(axis.label);
    await expect(page.getByRole('button', { name: 'tokens', exact: true })).toHaveAttribute('aria-pressed', 'true');
    await expect(page.getByRole('checkbox', { name: `Draw run ${points[0].number}` })).not.toBeChecked();
    await expect(page.getByRole('searchbox', { name: 'Filter runs' })).toHaveValue(`${axis.label}=${value}`);
  };
  await check();
  await page.reload();
  await check();
});

test('a name that no column has is told beside the filter', async ({ page, sweep }) => {
  await page.goto(`/sweeps/${sweep.name}?filter=nonsense%3D1`);
  await expect(page.getByText('Nothing is called “nonsense”')).toBeVisible();
});

test('a drag zooms all charts, and the range is in the URL', async ({ page, sweep }) => {
  const metric = sweep.series.find((name) => /^heldout\/[^/]+\/bits_per_byte$/.test(name)) ?? '';
  await page.goto(`/sweeps/${sweep.name}`);
  const over = chart(page, metric).locator('.u-over');
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  if (!box) throw new Error('the chart has no place');
  await page.mouse.move(box.x + box.width * 0.2, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await expect(page).toHaveURL(/zoom=/);
  await page.getByRole('button', { name: 'Reset zoom' }).click();
  await expect(page).not.toHaveURL(/zoom=/);
});

test('a sweep that is not there says so', async ({ page }) => {
  await page.goto('/sweeps/nowhere');
  await expect(page.getByRole('alert')).toContainText('no sweep `nowhere`');
});

test('runs are compared at equal tokens, which the URL and the table tell', async ({ page, sweep }) => {
  await page.goto(`/sweeps/${sweep.name}`);
  await expect(page.locator('.head .state').first()).toHaveText(/succeeded|ended/, { timeout: 240_000 });
  const group = page.getByRole('group', { name: 'Compare runs' });
  await expect(group).toContainText('Finished runs are ranked.');
  await group.getByRole('button', { name: 'at equal tokens' }).click();
  await expect(group.getByRole('status')).toHaveText(/scores after [\d,]+ tokens/);
  await expect(page).toHaveURL(/[?&]at=equal/);
  await group.getByRole('textbox').fill('999G');
  await expect(page).toHaveURL(/[?&]at=999000000000/);
  await page.reload();
  await expect(group.getByRole('status')).toHaveText(/scores after 999,000,000,000 tokens/);
  const rows = page.locator('table.runs tbody tr[data-run]');
  await expect(rows.filter({ hasText: /at the end|so far/ })).toHaveCount(await rows.count());
  await group.getByRole('textbox').fill('moon');
  await expect(group.getByRole('status')).toHaveText('Write tokens as 4096, 200k or 1.5M.');
});
