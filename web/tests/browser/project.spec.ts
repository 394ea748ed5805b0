import { expect } from '@playwright/test';
import { test, url } from './support';

// a project with a sweep of the same name, which may take no slot
test('each project has its pages, and whoever chooses another one sees nothing of this one', async ({ page, sweep }) => {
  const { name, file, folder } = sweep;
  const made = await page.request.post(`${url()}/api/v1/projects`, { data: { name: 'nlp' } });
  expect(made.status()).toBe(201);
  const quota = await page.request.put(`${url()}/api/v1/projects/nlp/quotas/local`, { data: { slots: 0 } });
  expect(quota.status()).toBe(204);
  await page.goto(url());
  await page.getByLabel('Project').selectOption('nlp');
  await expect(page).toHaveURL(`${url()}/projects/nlp/`);
  await expect(page.getByRole('heading', { name: 'No sweeps yet' })).toBeVisible();

  const apply = await page.request.post(`${url()}/api/v1/sweeps/apply?project=nlp`, {
    data: { file: `${file}canary: true\n`, folder, prune: false, retry: [], repin: false },
  });
  expect(apply.status()).toBe(200);
  await page.reload();
  await page.getByRole('link', { name, exact: true }).click();
  await expect(page).toHaveURL(new RegExp(`/projects/nlp/sweeps/${name}$`));
  await expect(page.getByRole('heading', { level: 1, name })).toBeVisible();
  const why = 'it takes 1 slot, and project nlp may use only 0 of pool local';
  await expect(page.getByRole('main')).toContainText(why);
  const canary = page.getByRole('list', { name: 'Canaries' });
  await expect(canary).toContainText(/Canary of llama-1m\/128 .*: #\d goes first, and waits/);
  await page.getByRole('link', { name: /^Run 3,/ }).click();
  await expect(page).toHaveURL(new RegExp(`/projects/nlp/sweeps/${name}/3$`));
  await page.getByRole('link', { name: 'Pools' }).click();
  await expect(page.getByRole('list', { name: 'Quotas in local' })).toContainText('uses 0 of the 0 slots');

  await page.getByLabel('Project').selectOption('default');
  await page.getByRole('link', { name, exact: true }).click();
  await expect(page.getByRole('main')).not.toContainText('project nlp');
  const end = await page.request.delete(`${url()}/api/v1/sweeps/${name}?cancel=true&project=nlp`);
  expect(end.status()).toBe(202);
});
