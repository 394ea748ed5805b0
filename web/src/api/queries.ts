// What is loaded, and under which key. Nothing is polled: what is loaded stays, and the stream
// (live.ts) keeps it true.

import {
  queryOptions,
  skipToken,
  useQuery,
  useQueryClient,
  type QueryClient,
} from '@tanstack/react-query';
import { isPoint } from '../lib/rank';
import type { At } from '../lib/viewState';
import { type RunPoints, type SeriesSlice, withPoints } from './apply';
import { projectIn } from '../lib/project';
import { api, type LogRow, type SessionView, type SweepView } from './client';
import { tailOf } from './tail';

/** The controller's limit, and more curves than any eye can tell apart. */
export const RUNS_DRAWN_MAX = 1000;

export const keys = {
  session: ['session'] as const,
  sweeps: ['sweeps'] as const,
  pools: ['pools'] as const,
  projects: ['projects'] as const,
  schedules: ['schedules'] as const,
  webhooks: ['webhooks'] as const,
  deliveries: (webhook: string) => ['webhooks', webhook] as const,
  sweep: (name: string) => ['sweep', name] as const,
  equal: (sweep: string, at: At, seen: string) => ['equal', sweep, at, seen] as const,
  run: (id: string) => ['run', id] as const,
  logs: (id: string) => ['logs', id] as const,
  series: (owner: string) => ['series', owner] as const,
};

/** Who asks. What is refused with 401 makes it ask again, see main.tsx. */
export const useSession = () => useQuery({ queryKey: keys.session, queryFn: api.session });

/** The project of this page. None: whoever asks must choose one. */
export const projectOf = (session: SessionView) => projectIn(location.pathname) ?? session.project ?? undefined;

/** What whoever asks may do in the project of this page. */
export const roleHere = (session: SessionView) =>
  session.projects.find(({ project }) => project === projectOf(session))?.role;

/** Set: whoever asks may change nothing, and this is the reason. */
export function useWhyNoChange(): string | undefined {
  const { data } = useSession();
  return data && roleHere(data) === 'viewer' ? 'You are a viewer: this takes an editor.' : undefined;
}

/** Set: whoever asks may not change what is the project's, and this is the reason. */
export function useWhyNoAdmin(): string | undefined {
  const { data } = useSession();
  const role = data && roleHere(data);
  return role === undefined || role === 'admin' ? undefined : `You are ${article(role)}: this takes an admin.`;
}

const article = (role: string) => (role === 'editor' ? `an ${role}` : `a ${role}`);

/** No stream tells of new sweeps: looked at again, the list is asked for again. */
const LIST = { staleTime: 0, refetchOnWindowFocus: true } as const;

export const useSweeps = () => useQuery({ queryKey: keys.sweeps, queryFn: api.sweeps, ...LIST });

export const usePools = () => useQuery({ queryKey: keys.pools, queryFn: api.pools, ...LIST });

export const useProjects = () => useQuery({ queryKey: keys.projects, queryFn: api.projects, ...LIST });

export const useSchedules = () => useQuery({ queryKey: keys.schedules, queryFn: api.schedules, ...LIST });

export const useWebhooks = () => useQuery({ queryKey: keys.webhooks, queryFn: api.webhooks, ...LIST });

/** Between two looks at deliveries that wait: at least, where one is due, and at most, since one may be being sent. */
const LOOK_MS = [1000, 5000] as const;

/** The last ones. Nothing tells of their ends: while one waits, it is asked again, and how many wait with it. */
export function useDeliveries(webhook: string, limit: number, isEnabled: boolean) {
  const client = useQueryClient();
  return useQuery({
    queryKey: [...keys.deliveries(webhook), limit],
    queryFn: async () => {
      const page = await api.deliveries(webhook, limit);
      void client.invalidateQueries({ queryKey: keys.webhooks, exact: true });
      return page;
    },
    placeholderData: (old) => old,
    refetchInterval: ({ state: { data } }) => {
      const next = (data?.rows ?? []).flatMap((delivery) => delivery.next_at ?? []);
      const [least, most] = LOOK_MS;
      const until = Math.min(...next.map(Date.parse)) - Date.now();
      return isEnabled && 0 < next.length && Math.min(Math.max(until, least), most);
    },
    ...LIST,
  });
}

export const sweepQuery = (name: string) =>
  queryOptions({ queryKey: keys.sweep(name), queryFn: () => api.sweep(name) });

export const useSweep = (name: string) => useQuery(sweepQuery(name));

/** Runs at equal tokens; `seen` tells of the scores that there are: others ask anew. */
export const useEqual = (sweep: string, at: At, seen: string) =>
  useQuery({
    queryKey: keys.equal(sweep, at, seen),
    queryFn: at === 'end' ? skipToken : () => api.equalTokens(sweep, at === 'equal' ? undefined : at),
    // while new scores load, the old ones stay; never those of another count
    placeholderData: (old, query) => (query?.queryKey[1] === sweep && query.queryKey[2] === at ? old : undefined),
  });

export const useRun = (id: string | undefined) =>
  useQuery({
    queryKey: keys.run(id ?? ''),
    queryFn: id === undefined ? skipToken : () => api.run(id),
  });

export interface SeriesAsked extends SeriesSlice {
  sweep: string;
  /** One run, or every point of the sweep. */
  run: string | undefined;
  buckets: number;
}

export type SeriesKey = readonly ['series', string, SeriesAsked];

/** One metric of the sweep's points (or of one run), kept up to date by the stream. */
export function useSeries(asked: SeriesAsked, isWanted: boolean) {
  const client = useQueryClient();
  const queryKey: SeriesKey = [...keys.series(asked.sweep), asked];
  return useQuery({
    queryKey,
    queryFn: isWanted ? () => loadSeries(client, asked) : skipToken,
    structuralSharing: false,
    // while a zoomed range loads, the coarse points stay; never those of another metric
    placeholderData: (old, query) => (query?.queryKey[2].name === asked.name ? old : undefined),
  });
}

async function loadSeries(client: QueryClient, asked: SeriesAsked): Promise<RunPoints> {
  const runs = asked.run === undefined ? drawnRuns(client, asked.sweep) : [asked.run];
  if (runs.length === 0) return new Map();
  const { name, from, to, buckets } = asked;
  const range = { ...(from !== null && { from }), ...(to !== null && { to }) };
  // what the stream brings while the answer travels may not be in it
  const [series, meanwhile] = await tailOf(asked.sweep).during(() =>
    api.series({ runs, names: [name], buckets, ...range }),
  );
  const loaded: RunPoints = new Map(series.map((points) => [points.run_id, points]));
  return meanwhile.reduce((known, event) => withPoints(known, asked, event, buckets), loaded);
}

function drawnRuns(client: QueryClient, sweep: string): string[] {
  const view = client.getQueryData<SweepView>(keys.sweep(sweep));
  const points = (view?.runs ?? []).filter(isPoint);
  return points.slice(0, RUNS_DRAWN_MAX).map((run) => run.run_id);
}

export interface Logs {
  rows: LogRow[];
  next: number;
  /** Lines left out at the beginning, so that the page stays quick. */
  skipped: number;
}

const LOG_PAGE = 5000;
const LOG_LINES_KEPT = 20_000;

/** All lines so far; asking again loads only what follows. */
export function useLogs(id: string) {
  const client = useQueryClient();
  return useQuery({
    queryKey: keys.logs(id),
    structuralSharing: false,
    queryFn: async () => {
      const known = client.getQueryData<Logs>(keys.logs(id));
      const rows = known ? [...known.rows] : [];
      let next = known?.next ?? 0;
      for (;;) {
        const page = await api.logs(id, next, LOG_PAGE);
        rows.push(...page.rows);
        next = page.next;
        if (page.rows.length < LOG_PAGE) break;
      }
      const over = Math.max(rows.length - LOG_LINES_KEPT, 0);
      return { rows: rows.slice(over), next, skipped: (known?.skipped ?? 0) + over };
    },
  });
}
