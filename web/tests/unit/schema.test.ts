import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { schema } from '../../schema.js';

test('the types are those of openapi.json: `npm run schema` makes them', async () => {
  const committed = readFileSync(new URL('../../src/api/schema.ts', import.meta.url), 'utf8');
  expect(committed === (await schema()), 'src/api/schema.ts is stale').toBe(true);
});
