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
              {sweep.project !== 'default' && <span className="muted"> in {sweep.project}</span>}
            </th>
            <td>
              <StateWord state={sweep.state} />
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

function Pools() {
  const { data } = usePools();
  return (
    <ul className="pools" aria-label="Pools">
      {data?.map((pool) => (
        <li key={pool.name} className={pool.health === 'ok' ? undefined : 'bad'} title={pool.why ?? undefined}>
          {poolText(pool)}
        </li>
      ))}
    </ul>
  );
}

function poolText({ name, used, capacity, health, why }: PoolView): string {
  if (health !== 'ok') return `pool ${name} is unknown${why ? `: ${why}` : ''}`;
  return `pool ${name}: ${used} of ${plural(capacity, 'slot')} used`;
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
