import { useEffect } from 'react';
import { Link } from 'wouter';
import type { PoolView, SweepSummary } from '../api/client';
import { useLive } from '../api/live';
import { usePools, useSweep, useSweeps } from '../api/queries';
import { ago, clock, plural } from '../lib/format';
import { CountsBar, totalOf } from '../ui/CountsBar';
import { Empty, Failed, Loading } from '../ui/Notice';
import { StateWord } from '../ui/StateMark';
import { useNow } from '../ui/useNow';

/** Streams that the list keeps open; a browser allows six connections to one host. */
const FOLLOWED_MAX = 3;

export function SweepsPage() {
  const { data: sweeps, error, refetch } = useSweeps();
  useEffect(() => {
    document.title = 'Sweeps · Assay';
  }, []);
  if (!sweeps && error) return <Failed what="the sweeps" error={error} retry={() => void refetch()} />;
  if (!sweeps) return <Loading what="sweeps" />;
  const active = sweeps.filter(({ state }) => state === 'running' || state === 'queued');
  return (
    <div className="page">
      <div className="head">
        <h1>Sweeps</h1>
        <Pools />
        <Link href="/submit" className="button primary">
          New sweep
        </Link>
      </div>
      {error && <p className="warning">What follows is old: {error.message}</p>}
      {sweeps.length === 0 ? <Begin /> : <SweepList sweeps={sweeps} />}
      {active.slice(0, FOLLOWED_MAX).map(({ name }) => (
        <Follow key={name} name={name} />
      ))}
    </div>
  );
}

/** Shows nothing: keeps the row of an active sweep up to date. */
function Follow({ name }: { name: string }) {
  const { data } = useSweep(name);
  useLive(name, data?.cursor);
  return null;
}

function SweepList({ sweeps }: { sweeps: SweepSummary[] }) {
  const now = useNow();
  return (
    <table className="sweeps">
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">State</th>
          <th scope="col" className="number">
            Runs
          </th>
          <th scope="col">By state</th>
          <th scope="col">Updated</th>
        </tr>
      </thead>
      <tbody>
        {sweeps.map((sweep) => (
          <tr key={sweep.sweep_id}>
            <th scope="row">
              <Link href={`/sweeps/${sweep.name}`}>{sweep.name}</Link>
              {sweep.tags.map((tag) => (
                <span key={tag} className="tag">
                  {tag}
                </span>
              ))}
            </th>
            <td>
              <StateWord state={sweep.state} also={sweep.paused_because} />
            </td>
            <td className="number">{totalOf(sweep.counts)}</td>
            <td className="wide">
              <CountsBar counts={sweep.counts} />
            </td>
            <td className="muted" title={clock(sweep.updated_at)}>
              {ago(sweep.updated_at, now)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** One pool by name, many as a sum, and each that does not answer. */
function Pools() {
  const { data } = usePools();
  if (!data) return null;
  const lost = data.filter(({ health }) => health !== 'ok');
  const well = data.filter(({ health }) => health === 'ok');
  return (
    <ul className="pools" aria-label="Pools">
      {lost.map(({ name, why }) => (
        <li key={name} title={why ?? undefined}>
          <Link href="/pools" className="bad">
            pool {name} cannot be reached
          </Link>
        </li>
      ))}
      {0 < well.length && (
        <li>
          <Link href="/pools">{usage(well)}</Link>
        </li>
      )}
    </ul>
  );
}

function usage(pools: PoolView[]): string {
  const sum = (of: (pool: PoolView) => number) => pools.reduce((total, pool) => total + of(pool), 0);
  const whose = pools.length === 1 ? `pool ${pools[0].name}` : `${pools.length} pools`;
  return `${whose}: ${sum(({ used }) => used)} of ${plural(
    sum(({ capacity }) => capacity),
    'slot',
  )} used`;
}

const COMMANDS = `ctl data synth --folder examples/data
ctl sweep plan examples/quickstart.yaml
ctl sweep apply examples/quickstart.yaml`;

function Begin() {
  return (
    <Empty title="No sweeps yet">
      <p>
        A sweep is one YAML file: a base run, and the axes along which to vary it. These three commands make
        example data, show what a file would do, and start it:
      </p>
      <pre>
        <code>{COMMANDS}</code>
      </pre>
      <p>
        Or <Link href="/submit">write one here</Link>. <code>make quickstart</code> does it all with a prepared
        sweep.
      </p>
    </Empty>
  );
}
