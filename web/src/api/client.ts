// Every request to the controller. Types come from its OpenAPI document, see schema.ts.

import { about, projectIn } from '../lib/project';
import type { components } from './schema';

type Schemas = components['schemas'];
export type SweepSummary = Schemas['SweepSummary'];
export type SweepView = Schemas['SweepView'];
export type SweepState = Schemas['SweepState'];
export type CanaryView = Schemas['CanaryView'];
export type AxisView = Schemas['AxisView'];
export type Counts = Schemas['Counts'];
export type RunRow = Schemas['RunRow'];
export type RunView = Schemas['RunView'];
export type NoteView = Schemas['NoteView'];
export type RunState = Schemas['RunState'];
export type DeletionView = Schemas['DeletionView'];
export type Outcome = Schemas['Outcome'];
export type EvaluationView = Schemas['EvaluationView'];
export type LogPage = Schemas['LogPage'];
export type LogRow = Schemas['LogRow'];
export type PoolView = Schemas['PoolView'];
export type ProjectView = Schemas['ProjectView'];
export type ScheduleView = Schemas['ScheduleView'];
export type FiringView = Schemas['FiringView'];
export type WebhookView = Schemas['WebhookView'];
export type DeliveryView = Schemas['DeliveryView'];
export type DeliveryPage = Schemas['DeliveryPage'];
export type PlanView = Schemas['PlanView'];
export type ApplyRequest = Schemas['ApplyRequest'];
export type ApplyAnswer = Schemas['ApplyAnswer'];
export type FileError = Schemas['FileError'];
export type Problem = Schemas['Problem'];
/** As they travel, with words for what JSON has no number for. */
type Travelling = Schemas['SeriesPoints'];
export type SeriesPoints = Omit<Travelling, 'values'> & { values: number[] };
export type EqualTokens = Schemas['EqualTokens'];
export type ActorView = Schemas['ActorView'];
export type SessionView = Schemas['SessionView'];
export type StreamEvent =
  | Exclude<Schemas['StreamEvent'], { what: 'points' }>
  | { what: 'points'; series: SeriesPoints[] };

/** An answer that is no success, in the controller's own words. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(problem.error);
  }
}

const ROOT = '/api/v1';

/** A path of the API, about the project of this page. */
const here = (path: string) => ROOT + about(projectIn(location.pathname), path);

async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  const request: RequestInit = { method, headers: { 'content-type': 'application/json' } };
  if (body !== undefined) request.body = JSON.stringify(body);
  const answer = await fetch(here(path), request).catch(() => {
    throw new ApiError(0, {
      error: 'The controller does not answer. Is `ctl up` still running?',
      kind: 'unreachable',
    });
  });
  const text = await answer.text();
  if (answer.ok) return text === '' ? null : JSON.parse(text);
  throw new ApiError(answer.status, problemIn(text, answer.status));
}

function problemIn(text: string, status: number): Problem {
  try {
    return JSON.parse(text) as Problem;
  } catch {
    return { error: text || `The controller answered with status ${status}.`, kind: 'internal' };
  }
}

const get = <T>(path: string) => ask('GET', path) as Promise<T>;
const post = <T>(path: string, body?: unknown) => ask('POST', path, body) as Promise<T>;
const put = (path: string) => ask('PUT', path) as Promise<null>;
const remove = <T>(path: string) => ask('DELETE', path) as Promise<T>;
const schedulePath = (name: string) => `/schedules/${encodeURIComponent(name)}`;
const webhookPath = (name: string) => `/webhooks/${encodeURIComponent(name)}`;
const sweepPath = (name: string) => `/sweeps/${encodeURIComponent(name)}`;

export type SweepWish = 'pause' | 'resume' | 'cancel';
export type RunWish = 'cancel' | 'retry';
export type ScheduleWish = 'pause' | 'resume' | 'run';
export type WebhookWish = 'enable' | 'disable' | 'test';

/** Whoever has logged in signs with their own name; the controller sees to that. */
const AUTHOR = 'somebody in the browser';

/** One request for one metric of many runs. */
export interface SeriesWish {
  runs: string[];
  names: string[];
  from?: number;
  to?: number;
  buckets: number;
}

export const api = {
  session: () => get<SessionView>('/session'),
  logIn: (token: string) => post<ActorView>('/session', { token }),
  logOut: () => remove<null>('/session'),
  sweeps: () => get<SweepSummary[]>('/sweeps'),
  sweep: (name: string) => get<SweepView>(sweepPath(name)),
  equalTokens: (name: string, tokens: number | undefined) =>
    get<EqualTokens>(`${sweepPath(name)}/equal${tokens === undefined ? '' : `?tokens=${tokens}`}`),
  streamUrl: (name: string, cursor: string) =>
    here(`${sweepPath(name)}/stream?cursor=${encodeURIComponent(cursor)}`),
  wishSweep: (name: string, wish: SweepWish) => post<null>(`${sweepPath(name)}/${wish}`),
  deletion: (name: string) => get<DeletionView>(`${sweepPath(name)}/deletion`),
  deleteSweep: (name: string, cancel: boolean) =>
    remove<DeletionView>(`${sweepPath(name)}?cancel=${cancel}`),
  forkSweep: (name: string, fork: string) =>
    post<ApplyAnswer>(`${sweepPath(name)}/fork`, { name: fork, file: null, folder: null }),
  pauseNow: (name: string) => post<null>(`${sweepPath(name)}/pause?now=true`),
  plan: (request: ApplyRequest) => post<PlanView>('/sweeps/plan', request),
  apply: (request: ApplyRequest) => post<ApplyAnswer>('/sweeps/apply', request),
  run: (id: string) => get<RunView>(`/runs/${id}`),
  logs: (id: string, after: number, limit: number) =>
    get<LogPage>(`/runs/${id}/logs?after=${after}&limit=${limit}`),
  wishRun: (id: string, wish: RunWish) => post<null>(`/runs/${id}/${wish}`),
  extendRun: (id: string, tokens: string) => post<unknown>(`/runs/${id}/extend`, { tokens, decay: null }),
  excludeRun: (id: string, because: string) =>
    post<null>(`/runs/${id}/exclude`, { because, author: AUTHOR }),
  includeRun: (id: string) => post<null>(`/runs/${id}/include`),
  writeNote: (id: string, note: { step: number | null; text: string }) =>
    post<NoteView>(`/runs/${id}/notes`, { ...note, author: AUTHOR }),
  removeNote: (id: string, note: number) => remove<null>(`/runs/${id}/notes/${note}`),
  tagRun: (id: string, tag: string) => put(`/runs/${id}/tags/${encodeURIComponent(tag)}`),
  untagRun: (id: string, tag: string) => remove<null>(`/runs/${id}/tags/${encodeURIComponent(tag)}`),
  projects: () => get<ProjectView[]>('/projects'),
  pools: () => get<PoolView[]>('/pools'),
  schedules: () => get<ScheduleView[]>('/schedules'),
  wishSchedule: (name: string, wish: ScheduleWish) => post<unknown>(`${schedulePath(name)}/${wish}`),
  removeSchedule: (name: string) => remove<null>(schedulePath(name)),
  webhooks: () => get<WebhookView[]>('/webhooks'),
  wishWebhook: (name: string, wish: WebhookWish) => post<unknown>(`${webhookPath(name)}/${wish}`),
  removeWebhook: (name: string) => remove<null>(webhookPath(name)),
  deliveries: (name: string, limit: number) =>
    get<DeliveryPage>(`${webhookPath(name)}/deliveries?limit=${limit}`),
  repeatDelivery: (id: number) => post<unknown>(`/deliveries/${id}/repeat`),
  series: async (wish: SeriesWish) => {
    const answer = await post<Schemas['SeriesAnswer']>('/series/query', wish);
    return answer.series.map(numbers);
  },
};

/** JSON has no NaN and no infinities: they arrive as words and become numbers here. */
export function numbers(series: Travelling): SeriesPoints {
  return { ...series, values: series.values.map(Number) };
}

export function parseEvent(data: string): StreamEvent {
  const event = JSON.parse(data) as Schemas['StreamEvent'];
  return event.what === 'points' ? { ...event, series: event.series.map(numbers) } : event;
}
