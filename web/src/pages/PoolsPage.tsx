import { useEffect } from 'react';
import type { PoolView } from '../api/client';
import { usePools } from '../api/queries';
import { plural } from '../lib/format';
import { Failed, Loading } from '../ui/Notice';

const KINDS: Record<PoolView['kind'], string> = {
  local: 'processes on the controller’s machine',
  kubernetes: 'Jobs on a Kubernetes cluster',
};

export function PoolsPage() {
  const { data: pools, error, refetch } = usePools();
  useEffect(() => {
    document.title = 'Pools · Assay';
  }, []);
  if (!pools && error) return <Failed what="the pools" error={error} retry={() => void refetch()} />;
  if (!pools) return <Loading what="pools" />;
  return (
    <div className="page">
      <div className="head">
        <h1>Pools</h1>
      </div>
      <p className="muted">
        Where attempts run. A sweep names its pool in <code>resources.pool</code>.
      </p>
      {error && <p className="warning">What follows is old: {error.message}</p>}
      <ul className="pool-list">
        {pools.map((pool) => (
          <Pool key={pool.name} pool={pool} />
        ))}
      </ul>
    </div>
  );
}

function Pool({ pool: { name, kind, used, capacity, health, why } }: { pool: PoolView }) {
  return (
    <li className="panel" aria-label={`Pool ${name}`}>
      <h2>
        {name} <small className="muted">{KINDS[kind]}</small>
      </h2>
      <meter min={0} max={capacity} value={Math.min(used, capacity)} aria-label={`Slots used in ${name}`} />
      <span>
        {used} of {plural(capacity, 'slot')} used
      </span>
      {health !== 'ok' && (
        <p className="warning">
          <strong>Cannot be reached{why ? ': ' : ''}</strong>
          {why} <br />
          Its runs are neither failed nor started twice: workers go on, and what became of them is seen when it answers
          again. Other pools go on.
        </p>
      )}
    </li>
  );
}
