import { Link, useLocation } from 'wouter';
import { api, type SweepState, type SweepView } from '../api/client';
import type { LiveState } from '../api/live';
import { ago, clock, short } from '../lib/format';
import { CountsBar } from '../ui/CountsBar';
import { LiveBadge } from '../ui/LiveBadge';
import { StateWord } from '../ui/StateMark';
import { useNow } from '../ui/useNow';
import { DeleteButton } from './DeleteButton';
import { AskButton, WishButton } from '../ui/WishButton';

const HAS_ENDED: SweepState[] = ['succeeded', 'ended'];

export function Header({ sweep, live }: { sweep: SweepView; live: LiveState }) {
  const now = useNow();
  const [, go] = useLocation();
  const { name, state, counts } = sweep;
  const ended = HAS_ENDED.includes(state) ? 'Every run has ended.' : undefined;
  const active = counts.queued + counts.leased + counts.stopping;
  return (
    <div className="head">
      <p className="crumbs">
        <Link href="/">Sweeps</Link> / {sweep.project}
      </p>
      <h1>{name}</h1>
      <StateWord state={state} also={sweep.paused_because} />
      <LiveBadge state={live} />
      <span className="muted" title={clock(sweep.updated_at)}>
        updated {ago(sweep.updated_at, now)}
      </span>
      {sweep.gpu_hours.limit != null && (
        <span className="muted" title="limits.gpu_hours in the sweep file">
          {short(sweep.gpu_hours.used)} of {short(sweep.gpu_hours.limit)} GPU hours used
        </span>
      )}
      {sweep.priority !== 0 && <span className="muted">priority {sweep.priority}</span>}
      <div className="actions">
        {state === 'paused' ? (
          <WishButton text="Resume" whyNot={undefined} send={() => api.wishSweep(name, 'resume')} />
        ) : (
          <WishButton text="Pause" whyNot={ended} send={() => api.wishSweep(name, 'pause')} />
        )}
        <WishButton
          text="Pause now"
          whyNot={ended ?? (counts.leased === 0 ? 'Nothing runs.' : undefined)}
          confirm={`Let the ${counts.leased} active runs of ${name} save a checkpoint and queue them again?`}
          send={() => api.pauseNow(name)}
        />
        <WishButton
          text="Cancel"
          whyNot={ended}
          confirm={`Cancel the ${active} runs of ${name} that have not ended?`}
          send={() => api.wishSweep(name, 'cancel')}
        />
        <AskButton
          text="Fork"
          question={`Name of a new sweep from the file of ${name}, about the same data`}
          answer={`${name}-2`}
          send={async (fork) => {
            await api.forkSweep(name, fork);
            go(`/sweeps/${fork}`);
          }}
        />
        <DeleteButton name={name} whyNot={state === 'deleting' ? 'It is being deleted.' : undefined} />
        <Link className="button" href={`/submit?sweep=${encodeURIComponent(name)}`}>
          Edit and extend
        </Link>
      </div>
      <div className="head-counts">
        <CountsBar counts={counts} />
      </div>
    </div>
  );
}
