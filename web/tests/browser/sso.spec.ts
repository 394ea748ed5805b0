import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, type Page } from '@playwright/test';
import { CONTROLLER, freePort, startController, type Started } from './controller';
import { startProvider, type Identity } from './provider';

let identity: Identity;
let started: Started;
const folder = mkdtempSync(join(tmpdir(), 'assay-sso-'));

test.beforeAll(async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  identity = await startProvider(`${url}/auth/callback`);
  writeFileSync(join(folder, 'secret'), `${identity.secret}\n`);
  started = await startController(
    {
      ASSAY_LOGIN: 'true',
      ASSAY_PUBLIC_URL: url,
      ASSAY_OIDC_ISSUER: identity.issuer,
      ASSAY_OIDC_CLIENT: identity.client,
      ASSAY_OIDC_SECRET_FILE: join(folder, 'secret'),
      ASSAY_OIDC_ROLES: 'groups=ml:editor,email=anna@example.com:viewer,groups=nlp:viewer@nlp',
      ASSAY_OIDC_SCOPES: 'groups',
      ASSAY_OIDC_NAME: 'the test’s provider',
    },
    port,
  );
});
test.afterAll(async () => {
  await started.stop();
  await identity.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function logIn(page: Page, person: string): Promise<void> {
  await page.getByRole('link', { name: 'Log in with the test’s provider' }).click();
  await page.getByPlaceholder('Enter any login').fill(person);
  await page.getByPlaceholder('and password').fill('anything');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

test('a person logs in by the identity provider and is back where they were, with the role of their group', async ({ page }) => {
  await page.goto(`${started.url}/pools?x=1`);
  await logIn(page, 'anna');
  await expect(page).toHaveURL(`${started.url}/pools?x=1`);
  await expect(page.getByRole('banner')).toContainText('anna@example.com editor');
  await expect(page.getByRole('heading', { name: 'Pools' })).toBeVisible();
});

test('a rule about one project lets a person into that one alone', async ({ page }) => {
  const args = ['token', 'admin', '--role', 'admin', '--data', started.data];
  const admin = execFileSync(CONTROLLER, args).toString().trim();
  const made = await page.request.post(`${started.url}/api/v1/projects`, {
    headers: { authorization: `Bearer ${admin}` },
    data: { name: 'nlp' },
  });
  expect(made.status()).toBe(201);
  await page.goto(`${started.url}/submit`);
  await logIn(page, 'noor');
  await expect(page.getByRole('banner')).toContainText('noor@example.com viewer');
  await expect(page.getByRole('button', { name: 'Apply' })).toHaveAttribute('title', /You are a viewer/);
  expect((await page.request.get(`${started.url}/api/v1/sweeps`)).status()).toBe(200);
  expect((await page.request.get(`${started.url}/api/v1/sweeps?project=default`)).status()).toBe(403);
  await page.goto(`${started.url}/projects/default`);
  await expect(page.getByRole('heading', { name: 'You have no role in a project “default”' })).toBeVisible();
  await page.getByRole('link', { name: 'nlp' }).click();
  await expect(page.getByRole('heading', { name: 'No sweeps yet' })).toBeVisible();
});

test('whom no rule names is told so and stays out, whatever address they claim', async ({ page }) => {
  await page.goto(started.url);
  await logIn(page, 'eve');
  await expect(page.getByRole('alert')).toContainText('no rule of this controller gives you a role');
  expect((await page.request.get(`${started.url}/api/v1/sweeps`)).status()).toBe(401);
});

test('what another browser began logs nobody in, and neither does a code that the provider never gave', async ({ page, browser }) => {
  const other = await browser.newPage();
  const begun = await other.request.get(`${started.url}/auth/login`, { maxRedirects: 0 });
  const state = new URL(begun.headers().location).searchParams.get('state') ?? '';
  const back = `${started.url}/auth/callback?state=${state}&code=made-up`;
  await page.goto(back);
  await expect(page.getByRole('alert')).toContainText('began in another browser');
  await other.goto(back);
  await expect(other.getByRole('alert')).toContainText('does not answer as it should');
  await other.goto(back);
  await expect(other.getByRole('alert')).toContainText('took too long');
  expect((await other.request.get(`${started.url}/api/v1/sweeps`)).status()).toBe(401);
  await other.close();
});
