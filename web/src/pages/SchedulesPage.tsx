import { useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { Link } from 'wouter';
import { api, type FiringView, type ScheduleView } from '../api/client';
import { keys, useSchedules } from '../api/queries';
import { ago, clock, duration, plural } from '../lib/format';
import { Empty, Failed, Loading } from '../ui/Notice';
import { useNow } from '../ui/useNow';
import { WishButton } from '../ui/WishButton';

const OVERLAPS: Record<ScheduleView['overlap'], string> = {
  skip: 'a time is passed over while the last sweep has not ended',
  wait: 'a time waits until the last sweep has ended',
  replace: 'the last sweep is cancelled first',
};

export function SchedulesPage() {
  const { data: schedules, error, refetch } = useSchedules();
  useEffect(() => {
    document.title = 'Schedules · Assay';
  }, []);
  if (!schedules && error) return <Failed what="the schedules" error={error} retry={() => void refetch()} />;
  if (!schedules) return <Loading what="schedules" />;
  if (schedules.length === 0) {
    return (
      <Empty title="No schedule yet">
        A sweep file with <code>schedule: &quot;0 2 * * *&quot;</code> is applied each night.{' '}
        <Link href="/submit">Submit one</Link>
      </Empty>
    );
  }
  return (
    <div className="page">
      <div className="head">
        <h1>Schedules</h1>
      </div>
      <p className="muted">Files that are applied again and again, each time as a sweep of its own.</p>
      {error && <p className="warning">What follows is old: {error.message}</p>}
      <ul className="panels">
        {schedules.map((schedule) => (
          <Schedule key={schedule.name} schedule={schedule} />
        ))}
      </ul>
    </div>
  );
}

function Schedule({ schedule }: { schedule: ScheduleView }) {
  const { name, cron, zone, overlap, keep, is_paused: isPaused, last } = schedule;
  const client = useQueryClient();
  const wish = (send: () => Promise<unknown>) => async () => {
    await send();
    await client.invalidateQueries({ queryKey: keys.schedules });
  };
  return (
    <li className="panel" aria-label={`Schedule ${name}`}>
      <div className="head">
        <h2>
          {name} <small className="muted">{`${cron} (${zone})`}</small>
        </h2>
        <div className="actions">
          {isPaused ? (
            <WishButton text="Resume" whyNot={undefined} send={wish(() => api.wishSchedule(name, 'resume'))} />
          ) : (
            <WishButton text="Pause" whyNot={undefined} send={wish(() => api.wishSchedule(name, 'pause'))} />
          )}
          <WishButton
            text="Run now"
            whyNot={undefined}
            confirm={`Apply the file of ${name} now?`}
            send={wish(() => api.wishSchedule(name, 'run'))}
          />
          <WishButton
            text="Remove"
            whyNot={undefined}
            confirm={`Remove the schedule ${name}? Its sweeps stay.`}
            send={wish(() => api.removeSchedule(name))}
          />
        </div>
      </div>
      <p>
        <Next schedule={schedule} />
        {last && <Last firing={last} />}
      </p>
      <p className="muted">
        {OVERLAPS[overlap]}
        {keep != null && `; the last ${plural(keep, 'ended sweep')} kept`}
      </p>
    </li>
  );
}

function Next({ schedule: { is_paused: isPaused, due_at: due } }: { schedule: ScheduleView }) {
  const now = useNow();
  if (isPaused) return <strong>Paused.</strong>;
  if (due == null) return <strong>It never comes again.</strong>;
  const seconds = (Date.parse(due) - now) / 1000;
  return (
    <span title={clock(due)}>
      Next <strong>{seconds <= 0 ? 'now' : `in ${duration(seconds)}`}</strong>.
    </span>
  );
}

function Last({ firing: { outcome, sweep, reason, missed, at } }: { firing: FiringView }) {
  const now = useNow();
  return (
    <span title={clock(at)}>
      {' Last: '}
      {sweep != null && (
        <>
          applied <Link href={`/sweeps/${sweep}`}>{sweep}</Link>
        </>
      )}
      {sweep == null && (
        <span className={outcome === 'refused' ? 'bad' : undefined}>
          {outcome === 'refused' ? 'refused' : 'passed over'}: {reason}
        </span>
      )}
      {`, ${ago(at, now)}`}
      {0 < missed && `; ${plural(missed, 'time')} before it missed`}.
    </span>
  );
}
