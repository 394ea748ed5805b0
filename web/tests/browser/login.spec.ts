import { execFileSync } from 'node:child_process';
import { expect, test } from '@playwright/test';
import { CONTROLLER, startController, type Started } from './controller';

// a controller of its own, which asks for login
let started: Started;
test.beforeAll(async () => {
  started = await startController({ ASSAY_LOGIN: 'true' });
});
test.afterAll(() => started.stop());

const token = (name: string, role: string) =>
  execFileSync(CONTROLLER, ['token', name, '--role', role, '--data', started.data]).toString().trim();

test('nobody sees anything before they log in, and the page breaks no rule of its own', async ({ page }) => {
  const broken: string[] = [];
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) broken.push(message.text());
  });
  const secret = token('anna', 'editor');
  await page.goto(`${started.url}/submit`);
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Sweep file' })).toHaveCount(0);
  await page.getByLabel('Token').fill('assay_wrong');
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('alert')).toContainText('no such token');
  await page.getByLabel('Token').fill(secret);
  await page.getByRole('button', { name: 'Log in' }).click();
  await expect(page.getByRole('textbox', { name: 'Sweep file' })).toBeVisible();
  await expect(page.getByRole('banner')).toContainText('anna editor');
  const held = await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage));
  expect(held).not.toContain('session_');
  expect(held).not.toContain(secret);
  await page.reload();
  await expect(page.getByRole('banner')).toContainText('anna');
  await page.getByRole('button', { name: 'Log out' }).click();
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
  expect(broken).toEqual([]);
});

test('a viewer is told why a button cannot be pressed, and is out when the token is revoked', async ({ page }) => {
  const admin = token('admin', 'admin');
  await page.goto(`${started.url}/submit`);
  await page.getByLabel('Token').fill(token('guest', 'viewer'));
  await page.getByRole('button', { name: 'Log in' }).click();
  const apply = page.getByRole('button', { name: 'Apply' });
  await expect(apply).toHaveAttribute('aria-disabled', 'true');
  await expect(apply).toHaveAttribute('title', /You are a viewer/);
  const revoked = await page.request.delete(`${started.url}/api/v1/tokens/guest`, {
    headers: { authorization: `Bearer ${admin}` },
  });
  expect(revoked.status()).toBe(204);
  await page.getByRole('link', { name: 'Pools' }).click();
  await expect(page.getByRole('heading', { name: 'Log in' })).toBeVisible();
});
