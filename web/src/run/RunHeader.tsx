import { Link } from 'wouter';
import { api, type RunView, type RunWish } from '../api/client';
import type { LiveState } from '../api/live';
import { ago, clock, duration, short } from '../lib/format';
import { whyNot, whyNotExtend } from '../lib/runCan';
import { LiveBadge } from '../ui/LiveBadge';
import { Progress } from '../ui/Progress';
import { RunStatus } from '../ui/StateMark';
import { useNow } from '../ui/useNow';
import { AskButton, WishButton } from '../ui/WishButton';

export function RunHeader({ run, live }: { run: RunView; live: LiveState }) {
  const wish = (name: RunWish) => () => api.wishRun(run.run_id, name);
  return (
    <div className="head">
      <p className="crumbs">
        <Link href="/">Sweeps</Link> / <Link href={`/sweeps/${run.sweep}`}>{run.sweep}</Link> / {run.number}
      </p>
      <h1>
        {run.label} {run.is_baseline && <span className="tag">baseline</span>}
        {run.tags.map((tag) => (
          <span key={tag} className="tag">
            {tag}
          </span>
        ))}
      </h1>
      <RunStatus {...run} />
      <LiveBadge state={live} />
      <div className="actions">
        <WishButton text="Cancel" whyNot={whyNot('cancel', run)} send={wish('cancel')} />
        <WishButton text="Retry" whyNot={whyNot('retry', run)} send={wish('retry')} />
        <AskButton
          text="Extend"
          question="Tokens in all: a multiple of what it trained on, like 2x, or an amount, like 400k. A new run goes on from before the decay."
          answer="2x"
          whyNot={whyNotExtend(run)}
          send={(tokens) => api.extendRun(run.run_id, tokens)}
        />
        {run.excluded ? (
          <WishButton text="Include" whyNot={undefined} send={() => api.includeRun(run.run_id)} />
        ) : (
          <AskButton
            text="Exclude"
            question="Why is this run not to be compared? It is kept, and this stands under every ranking."
            send={(because) => api.excludeRun(run.run_id, because)}
          />
        )}
        <AskButton
          text="Tag"
          question={run.tags.length === 0 ? 'One word, like keep' : 'One word; one that it has is taken away'}
          send={(tag) => (run.tags.includes(tag) ? api.untagRun(run.run_id, tag) : api.tagRun(run.run_id, tag))}
        />
      </div>
      {run.excluded && (
        <p className="warning">
          Excluded from every comparison: {run.excluded.because}
          {run.excluded.author && ` (${run.excluded.author})`}
        </p>
      )}
      {run.waiting && <p className="warning">Waits: {run.waiting}</p>}
      {run.reason && run.outcome !== 'succeeded' && (
        <p className={run.outcome === 'failed' ? 'warning bad' : 'warning'}>{run.reason}</p>
      )}
      <Facts run={run} />
    </div>
  );
}

function Facts({ run }: { run: RunView }) {
  const now = useNow();
  const end = run.ended_at ? Date.parse(run.ended_at) : now;
  return (
    <dl className="facts panel">
      <Fact name="Kind">{run.kind}</Fact>
      <Fact name="Progress">
        <Progress step={run.step} steps={run.steps} />
      </Fact>
      <Fact name="Tokens">{short(run.tokens)}</Fact>
      {run.priority !== 0 && <Fact name="Priority">{run.priority}</Fact>}
      {run.reused ? (
        <Fact name="Reused from">
          <Link href={`/sweeps/${run.reused}`}>{run.reused}</Link>
        </Fact>
      ) : (
        <Fact name="Attempt">{run.attempt === 0 ? 'none yet' : run.attempt}</Fact>
      )}
      <Fact name="Queued">
        <span title={clock(run.queued_at)}>{ago(run.queued_at, now)}</span>
      </Fact>
      {!run.reused && (
        <Fact name={run.ended_at ? 'Ran for' : 'Runs for'}>
          {run.started_at ? duration((end - Date.parse(run.started_at)) / 1000) : 'not started'}
        </Fact>
      )}
      {run.extends && (
        <Fact name="Extends">
          <Link href={`/sweeps/${run.sweep}/${run.extends.number}`}>#{run.extends.number}</Link> from step{' '}
          {run.extends.step}
        </Fact>
      )}
      {0 < run.needs.length && (
        <Fact name="Needs">
          <ul className="needs">
            {run.needs.map((need) => (
              <li key={need.number}>
                <Link href={`/sweeps/${run.sweep}/${need.number}`}>
                  #{need.number} {need.label}
                </Link>{' '}
                <RunStatus state={need.state} outcome={need.outcome ?? null} />
              </li>
            ))}
          </ul>
        </Fact>
      )}
      <Fact name="Point">
        <code title="The hash of what trains it">{run.point.slice(0, 12)}</code>
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
