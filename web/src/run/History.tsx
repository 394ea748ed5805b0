// What happened to a run: its attempts, every step of its life, what it left behind.

import type { RunView } from '../api/client';
import { bytes, clock, duration } from '../lib/format';
import { StateMark } from '../ui/StateMark';

export function Attempts({ attempts }: Pick<RunView, 'attempts'>) {
  if (attempts.length === 0) return null;
  return (
    <section className="stack" aria-label="Attempts">
      <h2>Attempts</h2>
      <div className="scroll-x">
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Attempt</th>
              <th scope="col">Placed</th>
              <th scope="col">Where</th>
              <th scope="col">From step</th>
              <th scope="col">Ran for</th>
              <th scope="col">End</th>
            </tr>
          </thead>
          <tbody>
            {attempts.map((attempt) => (
              <tr key={attempt.attempt}>
                <th scope="row">{attempt.attempt}</th>
                <td>{clock(attempt.placed_at)}</td>
                <td>
                  {attempt.pool}
                  {attempt.place && <span className="muted"> · {attempt.place}</span>}
                </td>
                <td>{attempt.resumed_from ?? 'the beginning'}</td>
                <td>{ranFor(attempt)}</td>
                <td>
                  {attempt.cause ?? (attempt.ended_at ? 'ended' : 'goes on')}
                  {attempt.reason && <span className="muted">: {attempt.reason}</span>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {attempts.map((attempt) => (
        <LastOutput key={attempt.attempt} attempt={attempt} isLast={attempt === attempts.at(-1)} />
      ))}
    </section>
  );
}

/** Of a process that ended without a record of its own. */
function LastOutput({ attempt, isLast }: { attempt: RunView['attempts'][number]; isLast: boolean }) {
  if (attempt.output.length === 0) return null;
  return (
    <details className="output" open={isLast}>
      <summary>Last output of attempt {attempt.attempt}</summary>
      <pre className="panel">{attempt.output.join('\n')}</pre>
    </details>
  );
}

function ranFor({ started_at, ended_at }: RunView['attempts'][number]): string {
  if (!started_at) return 'not started';
  if (!ended_at) return `since ${clock(started_at)}`;
  return duration((Date.parse(ended_at) - Date.parse(started_at)) / 1000);
}

export function Events({ events }: Pick<RunView, 'events'>) {
  return (
    <section className="stack" aria-label="Events">
      <h2>Events</h2>
      <ol className="events panel">
        {events.map((event, index) => (
          <li key={index}>
            <StateMark state={event.state} />
            <time dateTime={event.at} className="muted">
              {clock(event.at)}
            </time>
            <span>
              <strong>{event.event}</strong>
              {event.attempt != null && <span className="muted"> attempt {event.attempt}</span>}
              <span className="text">{event.text}</span>
            </span>
          </li>
        ))}
        {events.length === 0 && <li className="muted">Nothing has happened yet.</li>}
      </ol>
    </section>
  );
}

export function Checkpoints({ checkpoints }: Pick<RunView, 'checkpoints'>) {
  return (
    <section className="stack" aria-label="Checkpoints">
      <h2>Checkpoints</h2>
      {checkpoints.length === 0 ? (
        <p className="panel chart-empty muted">None saved yet.</p>
      ) : (
        <div className="scroll-x checkpoints">
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Step</th>
                <th scope="col">Attempt</th>
                <th scope="col">Size</th>
                <th scope="col">Saved</th>
                <th scope="col">Path in the pool’s storage</th>
              </tr>
            </thead>
            <tbody>
              {checkpoints.toReversed().map((checkpoint) => (
                <tr key={checkpoint.path}>
                  <th scope="row">
                    {checkpoint.step}
                    {checkpoint.is_accepted && (
                      <span className="tag" title="An attempt went on from it, or it is the result">
                        used
                      </span>
                    )}
                  </th>
                  <td>{checkpoint.attempt}</td>
                  <td>{checkpoint.bytes === 0 ? '–' : bytes(checkpoint.bytes)}</td>
                  <td>{clock(checkpoint.saved_at)}</td>
                  <td>
                    <code>{checkpoint.path}</code>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
