// The controller that the tests look at: the one at ASSAY_URL, or one of their own with a small
// sweep in it, built beforehand (`make build`). Nothing is pretended: three models are trained.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const program = (name: string) => resolve(process.env.CARGO_TARGET_DIR ?? '../target', 'debug', name);
const CTL = program('ctl');
export const CONTROLLER = program('assay-controller');

const SWEEP = `assay: v1
sweep: browser
design: grid
base:
  model: {preset: llama-1m}
  tokenizer: bytes
  data:
    heldout: {share: 2%, tokens: 2k}
    sources:
      general: {path: data/general.jsonl}
      commerce: {path: data/commerce.jsonl, group_by: product_id}
    mixture: {general: 0.5, commerce: 0.5}
  train:
    tokens: 16k
    context: 128
    batch: 1k
    lr: {peak: 1e-3, warmup: 2%}
axes:
  lr: [3e-4, 1e-3, 3e-3]
`;

export interface Started {
  url: string;
  /** Where it keeps everything. */
  data: string;
  folder: string;
  stop: () => Promise<void>;
}

/** A controller with a folder of its own. */
export async function startController(environment: NodeJS.ProcessEnv, onPort?: number): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), 'assay-browser-'));
  const data = join(folder, 'assay');
  const port = onPort ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const log = openSync(join(folder, 'log'), 'w');
  const controller = spawn(CTL, ['up', '--data', data, '--port', String(port), '--slots', '1'], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...environment },
  });
  await answers(url, controller, join(folder, 'log'));
  const stop = async () => {
    const gone = new Promise((done) => controller.once('exit', done));
    controller.kill('SIGTERM');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, data, folder, stop };
}

export default async function start(): Promise<(() => Promise<void>) | undefined> {
  if (process.env.ASSAY_URL !== undefined) return undefined;
  const { url, folder, stop } = await startController({});
  process.env.ASSAY_URL = url;
  execFileSync(CTL, ['data', 'synth', '--folder', join(folder, 'data'), '--size', '400kB']);
  writeFileSync(join(folder, 'sweep.yaml'), SWEEP);
  execFileSync(CTL, ['sweep', 'apply', join(folder, 'sweep.yaml')], { env: { ...process.env, ASSAY_URL: url } });
  return stop;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

const START_MS = 120_000;

async function answers(url: string, controller: ChildProcess, log: string): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (Date.now() < deadline && controller.exitCode === null) {
    const answer = await fetch(`${url}/api/v1/session`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((done) => setTimeout(done, 200));
  }
  throw new Error(`the controller did not start:\n${readFileSync(log, 'utf8')}`);
}
