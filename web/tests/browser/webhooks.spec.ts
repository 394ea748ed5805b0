import { execFileSync } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:http';
import { expect, test, type Page } from '@playwright/test';
import { CONTROLLER, startController, type Started } from './controller';

// one that may send to this machine, and a program that is told: what it answers is said here, and from when on it does
let started: Started;
let receiver: Server;
let status = 500;
let open: () => void;
const gate = new Promise<void>((done) => {
  open = done;
});
test.beforeAll(async () => {
  started = await startController({ ASSAY_LOGIN: 'true', ASSAY_WEBHOOKS_TO_PRIVATE: 'true' });
  receiver = createServer((_, answer) => void gate.then(() => answer.writeHead(status).end()));
  await new Promise<void>((done) => receiver.listen(0, '127.0.0.1', done));
});
test.afterAll(async () => {
  receiver.close();
  await started.stop();
});

const token = (role: string) =>
  execFileSync(CONTROLLER, ['token', role, '--role', role, '--data', started.data]).toString().trim();

async function logIn(page: Page, secret: string) {
  await page.goto(`${started.url}/webhooks`);
  await page.getByLabel('Token').fill(secret);
  await page.getByRole('button', { name: 'Log in' }).click();
}

test('what a webhook was told is seen, and how it went, without a reload', async ({ page }) => {
  const admin = token('admin');
  await logIn(page, admin);
  await expect(page.getByRole('heading', { name: 'No webhook yet' })).toBeVisible();
  const { port } = receiver.address() as AddressInfo;
  const added = await page.request.post(`${started.url}/api/v1/webhooks`, {
    headers: { authorization: `Bearer ${admin}` },
    data: { name: 'chat', url: `http://127.0.0.1:${port}/hook`, events: ['sweep.finished', 'run.failed'] },
  });
  expect(added.status()).toBe(201);

  await page.reload();
  const chat = page.getByRole('listitem', { name: 'Webhook chat' });
  await expect(chat).toContainText('Told of sweep.finished, run.failed.');
  await expect(chat).toContainText('Nothing was told to it yet.');
  await chat.getByRole('button', { name: 'Test' }).click();
  const deliveries = chat.getByRole('table', { name: 'Deliveries to chat' });
  await expect(deliveries).toContainText(/ping.*is being sent/);
  open();
  await expect(deliveries).toContainText(/ping.*answered with 500, sent again (in|now)/);
  await expect(chat).toContainText('1 message to be sent.');
  status = 204;
  await expect(deliveries).toContainText(/ping.*delivered2/);
  await expect(chat).not.toContainText('to be sent');
  await deliveries.getByRole('button', { name: 'Send again' }).click();
  await expect(deliveries).toContainText(/ping.*delivered3/);

  page.on('dialog', (dialog) => void dialog.accept());
  await chat.getByRole('button', { name: 'Disable' }).click();
  await expect(chat).toContainText('Disabled.');
  await expect(chat.getByRole('button', { name: 'Test' })).toHaveAttribute('title', 'It is disabled: nothing is sent to it.');

  await page.getByRole('button', { name: 'Log out' }).click();
  await logIn(page, token('editor'));
  await expect(chat.getByRole('button', { name: 'Enable' })).toHaveAttribute('title', 'You are an editor: this takes an admin.');
  await expect(chat.getByRole('button', { name: 'Send again' })).toHaveAttribute('aria-disabled', 'true');
  await expect(chat).not.toContainText('/hook');

  await page.getByRole('button', { name: 'Log out' }).click();
  await logIn(page, admin);
  await chat.getByRole('button', { name: 'Remove' }).click();
  await expect(page.getByRole('heading', { name: 'No webhook yet' })).toBeVisible();
});
