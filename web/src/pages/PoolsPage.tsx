import { useEffect } from 'react';
import type { PoolView, ProjectView } from '../api/client';
import { usePools, useProjects } from '../api/queries';
import { plural } from '../lib/format';
import { Failed, Loading } from '../ui/Notice';

const KINDS: Record<PoolView['kind'], string> = {
  local: 'processes on the controller’s machine',
  kubernetes: 'Jobs on a Kubernetes cluster',
};

export function PoolsPage() {
  const { data: pools, error, refetch } = usePools();
  const { data: projects } = useProjects();
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
          <Pool key={pool.name} pool={pool} projects={projects ?? []} />
        ))}
      </ul>
    </div>
  );
}

function Pool({ pool, projects }: { pool: PoolView; projects: ProjectView[] }) {
  const { name, kind, used, capacity, health, why } = pool;
  const quotas = projects.flatMap((project) => {
    const quota = project.quotas.find((quota) => quota.pool === name);
    return quota ? [{ ...quota, project: project.name }] : [];
  });
  return (
    <li className="panel" aria-label={`Pool ${name}`}>
      <h2>
        {name} <small className="muted">{KINDS[kind]}</small>
      </h2>
      <meter min={0} max={capacity} value={Math.min(used, capacity)} aria-label={`Slots used in ${name}`} />
      <span>
        {used} of {plural(capacity, 'slot')} used
      </span>
      {0 < quotas.length && (
        <ul className="quotas" aria-label={`Quotas in ${name}`}>
          {quotas.map(({ project, used, slots }) => (
            <li key={project}>
              Project {project} uses {used} of the {plural(slots, 'slot')} that it may.
            </li>
          ))}
        </ul>
      )}
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
