// Writes src/api/schema.ts from openapi.json. A test calls `schema` to see whether it is stale.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import openapi, { astToString, COMMENT_HEADER } from 'openapi-typescript';

/** @returns {Promise<string>} */
export async function schema() {
  const document = JSON.parse(await readFile(new URL('openapi.json', import.meta.url), 'utf8'));
  return COMMENT_HEADER + astToString(await openapi(document));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(new URL('src/api/schema.ts', import.meta.url), await schema());
}
