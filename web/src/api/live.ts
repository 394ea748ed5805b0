// The one way in which pages change: a sweep's server-sent events, applied to what was loaded.
//
// A hidden tab closes its stream (a browser allows six connections to one host, and tabs pile up)
// and goes on from its cursor when it is looked at again.

import { useQueryClient, type QueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { withNames, withPoints, withRuns, type RunPoints } from './apply';
import {
  api,
  parseEvent,
  type RunRow,
  type RunView,
  type SeriesPoints,
  type StreamEvent,
  type SweepSummary,
  type SweepView,
} from './client';
import { keys, type SeriesKey } from './queries';
import { tailOf } from './tail';

export type LiveState = 'connecting' | 'live' | 'lost';

/** How far each sweep's stream was read, from which loaded view on. */
const positions = new Map<string, { view: string; last: string }>();

const RETRY_MS = 2000;

/** Keeps everything loaded of a sweep up to date from the cursor of its view. */
export function useLive(name: string, cursor: string | undefined): LiveState {
  const client = useQueryClient();
  const [state, setState] = useState<LiveState>('connecting');
  useEffect(() => {
    if (cursor === undefined) return undefined;
    return follow(client, name, cursor, setState);
  }, [client, name, cursor]);
  return state;
}

function follow(
  client: QueryClient,
  name: string,
  cursor: string,
  tell: (state: LiveState) => void,
): () => void {
  const position = positionFrom(client, name, cursor);
  let source: EventSource | undefined;
  let retry: number | undefined;
  const close = () => {
    window.clearTimeout(retry);
    source?.close();
    source = undefined;
  };
  const open = () => {
    close();
    const opened = new EventSource(api.streamUrl(name, position.last));
    source = opened;
    opened.onopen = () => tell('live');
    opened.onmessage = (message: MessageEvent<string>) => {
      position.last = message.lastEventId;
      applyEvent(client, name, parseEvent(message.data));
    };
    opened.onerror = () => {
      tell('lost');
      // the browser comes back by itself unless it was answered with an error
      if (opened.readyState === EventSource.CLOSED) retry = window.setTimeout(open, RETRY_MS);
    };
  };
  const look = () => {
    if (document.hidden) close();
    else if (!source) open();
  };
  look();
  document.addEventListener('visibilitychange', look);
  return () => {
    document.removeEventListener('visibilitychange', look);
    close();
  };
}

/** Where to go on: after the last event applied, unless the view was loaded anew since. */
function positionFrom(client: QueryClient, name: string, cursor: string) {
  const known = positions.get(name);
  if (known?.view === cursor) return known;
  // points loaded under an older view may have missed events
  if (known) void client.invalidateQueries({ queryKey: keys.series(name) });
  const position = { view: cursor, last: cursor };
  positions.set(name, position);
  return position;
}

function applyEvent(client: QueryClient, name: string, event: StreamEvent): void {
  switch (event.what) {
    case 'runs':
      applyRuns(client, name, event.sweep, event.runs);
      break;
    case 'points':
      applyPoints(client, name, event.series);
      break;
    case 'reset':
      void client.invalidateQueries({ queryKey: keys.sweep(name) });
      void client.invalidateQueries({ queryKey: keys.series(name) });
      void client.invalidateQueries({ queryKey: ['run'] });
      break;
  }
}

function applyRuns(client: QueryClient, name: string, summary: SweepSummary, runs: RunRow[]): void {
  const view = client.getQueryData<SweepView>(keys.sweep(name));
  if (view) client.setQueryData(keys.sweep(name), withRuns(view, summary, runs));
  // a run that nobody knew: the file was applied again, and its axes may be others
  const known = new Set(view?.runs.map((run) => run.run_id));
  if (view && runs.some((run) => !known.has(run.run_id))) {
    void client.invalidateQueries({ queryKey: keys.sweep(name) });
  }
  client.setQueryData<SweepSummary[]>(keys.sweeps, (list) =>
    list?.map((entry) => (entry.sweep_id === summary.sweep_id ? summary : entry)),
  );
  void client.invalidateQueries({ queryKey: keys.pools });
  for (const run of runs) applyRun(client, run);
}

/** The parts of a run's page that a row does not carry are loaded again when they may have changed. */
function applyRun(client: QueryClient, row: RunRow): void {
  const view = client.getQueryData<RunView>(keys.run(row.run_id));
  void client.invalidateQueries({ queryKey: keys.logs(row.run_id) });
  if (!view) return;
  client.setQueryData<RunView>(keys.run(row.run_id), { ...view, ...row });
  const marks = ({ state, outcome, attempt, phase, started_at }: RunRow) =>
    JSON.stringify([state, outcome, attempt, phase, started_at]);
  if (marks(view) !== marks(row)) void client.invalidateQueries({ queryKey: keys.run(row.run_id) });
}

function applyPoints(client: QueryClient, name: string, series: SeriesPoints[]): void {
  tailOf(name).push(series);
  client.setQueryData<SweepView>(keys.sweep(name), (view) => view && withNames(view, series));
  for (const query of client.getQueryCache().findAll({ queryKey: keys.series(name) })) {
    const [, , asked] = query.queryKey as SeriesKey;
    const loaded = query.state.data as RunPoints | undefined;
    const ours = asked.run === undefined ? series : series.filter((s) => s.run_id === asked.run);
    const next = loaded && withPoints(loaded, asked, ours, asked.buckets);
    if (next && next !== loaded) client.setQueryData(query.queryKey, next);
  }
  // scores and checkpoints come with points, and only the run's own page shows them
  const scored = series.filter((points) => !points.name.startsWith('train/'));
  for (const { run_id } of scored) void client.invalidateQueries({ queryKey: keys.run(run_id) });
}
