// What the run's workers printed. New lines come when the stream says that the run did something.

import { useLayoutEffect, useRef, useState } from 'react';
import type { LogRow, RunState } from '../api/client';
import { useLogs } from '../api/queries';
import { plural } from '../lib/format';

const LINES_SHOWN = 2000;

export function Logs({ run, state }: { run: string; state: RunState }) {
  const { data, error } = useLogs(run);
  const [isFollowing, setIsFollowing] = useState(true);
  const [text, setText] = useState('');
  const box = useRef<HTMLDivElement>(null);
  const rows = data?.rows ?? [];
  const wanted = text.toLowerCase();
  const matching = wanted === '' ? rows : rows.filter((row) => row.text.toLowerCase().includes(wanted));
  const shown = matching.slice(-LINES_SHOWN);
  const left = (data?.skipped ?? 0) + matching.length - shown.length;
  useLayoutEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [isFollowing, data, wanted]);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = box.current ?? { scrollTop: 0, scrollHeight: 0, clientHeight: 0 };
    setIsFollowing(scrollHeight - scrollTop - clientHeight < 24);
  };
  return (
    <section className="stack" aria-label="Logs">
      <div className="filter">
        <h2>Logs</h2>
        <input
          type="search"
          value={text}
          onChange={(event) => setText(event.target.value)}
          placeholder="Find in the logs"
          aria-label="Find in the logs"
        />
        <label className="muted">
          <input
            type="checkbox"
            checked={isFollowing}
            onChange={(event) => setIsFollowing(event.target.checked)}
          />{' '}
          follow
        </label>
      </div>
      <div className="logs panel" ref={box} onScroll={onScroll} tabIndex={0} role="log" aria-label="Log lines">
        {error && <p className="bad">{error.message}</p>}
        {0 < left && <p className="muted">{plural(left, 'earlier line')} not shown</p>}
        {shown.map((row, index) => (
          <Line key={row.log_id} row={row} isNewAttempt={0 < index && shown[index - 1].attempt !== row.attempt} />
        ))}
        {data && shown.length === 0 && <p className="muted">{emptyText(state, rows.length)}</p>}
      </div>
    </section>
  );
}

function emptyText(state: RunState, lines: number): string {
  if (0 < lines) return 'No line has that.';
  return state === 'queued' ? 'Nothing is printed before it is placed.' : 'Nothing was printed yet.';
}

function Line({ row, isNewAttempt }: { row: LogRow; isNewAttempt: boolean }) {
  return (
    <>
      {isNewAttempt && <div className="attempt-line">attempt {row.attempt}</div>}
      <div className={`log ${row.level}`}>
        <time dateTime={row.at}>{new Date(row.at).toLocaleTimeString('en', { hourCycle: 'h23' })}</time>
        {row.level !== 'info' && <b>{row.level}</b>}
        <span>{row.text}</span>
      </div>
    </>
  );
}
