// What apply would do, beside the file: told before anything is stored.

import { ApiError, type Outcome, type PlanView } from '../api/client';
import { useWhyNoChange } from '../api/queries';
import { bytes, clock, duration, short } from '../lib/format';
import { Points } from './Points';

export interface Choices {
  prune: boolean;
  setPrune: (prune: boolean) => void;
  retry: Outcome[];
  setRetry: (retry: Outcome[]) => void;
  repin: boolean;
  setRepin: (repin: boolean) => void;
}

interface Props {
  plan: PlanView | undefined;
  error: Error | null;
  /** The plan is of the file as it stands. */
  isSettled: boolean;
  choices: Choices;
  apply: () => void;
  isApplying: boolean;
}

export function PlanPanel({ plan, error, isSettled, choices, apply, isApplying }: Props) {
  const noChange = useWhyNoChange();
  const whyNot = noChange ?? whyNotApply(plan, error, isSettled);
  const isIdle = whyNot !== undefined || isApplying;
  return (
    <section className="stack plan" aria-label="Plan" aria-busy={!isSettled}>
      <div className="head">
        <h2>Plan</h2>
        <span className="muted" role="status">
          {isApplying ? 'Applying…' : (whyNot ?? (plan && isIdleFor(plan) && 'No run would change'))}
        </span>
        <button
          type="button"
          className="primary"
          aria-disabled={isIdle}
          title={whyNot}
          onClick={() => {
            if (!isIdle) apply();
          }}
        >
          Apply
        </button>
      </div>
      {error && <Problems error={error} />}
      {plan && <Summary plan={plan} />}
      <Extras choices={choices} />
      {plan && <Points plan={plan} />}
    </section>
  );
}

function whyNotApply(plan: PlanView | undefined, error: Error | null, isSettled: boolean): string | undefined {
  if (!isSettled) return 'Planning…';
  if (error) return 'Nothing is stored while the file has errors';
  if (!plan) return 'There is no plan yet';
  return undefined;
}

/** Apply still stores the file: its limits may differ. */
function isIdleFor({ added, retried, points }: PlanView): boolean {
  return added + retried === 0 && !points.some(({ change }) => change === 'cancelled');
}

function Problems({ error }: { error: Error }) {
  const problem = error instanceof ApiError ? error.problem : undefined;
  const errors = problem?.errors ?? [];
  return (
    <div className="problems panel" role="alert">
      <h3>{error.message}</h3>
      <ol>
        {errors.map((each, index) => (
          <li key={index} data-line={each.line}>
            <span className="place">{each.line === 0 ? 'file' : `line ${each.line}:${each.column}`}</span>
            <div>
              {each.path !== '' && <code>{each.path}</code>}
              <p>{each.message}</p>
              {each.text.trim() !== '' && <pre>{each.text.trim()}</pre>}
            </div>
          </li>
        ))}
      </ol>
    </div>
  );
}

function Summary({ plan }: { plan: PlanView }) {
  const facts = [
    [`${plan.added} added`, whereTo(plan)],
    [`${plan.kept} kept`, 'nothing trained again'],
    [`${plan.dropped} dropped`, 'no longer in the file'],
    [`${plan.retried} retried`, ''],
    [`${plan.reused} reused`, 'of those added, if their data is as it was'],
    ...(plan.added === 0 ? [] : cost(plan)),
  ].filter(([head]) => !/^0 (kept|dropped|retried|reused)$/.test(head));
  return (
    <>
      <ul className="summary panel">
        {facts.map(([head, detail]) => (
          <li key={head + detail}>
            <strong>{head}</strong> <span className="muted">{detail}</span>
          </li>
        ))}
      </ul>
      {plan.warnings.map((warning) => (
        <p key={warning} className="warning">
          {warning}
        </p>
      ))}
      {0 < plan.sources.length && <Sources plan={plan} />}
    </>
  );
}

/** With a schedule, each of its times makes a sweep. */
function whereTo({ schedule, is_new: isNew, sweep }: PlanView): string {
  if (!schedule) return isNew ? 'a new sweep' : `to ${sweep}`;
  const next = schedule.next.at(0);
  const when = next === undefined ? 'never again' : `next ${clock(next)}`;
  return `each time of ${schedule.cron} (${schedule.zone}), ${when}`;
}

function cost({ tokens, flops, hours }: PlanView): string[][] {
  const time = hours == null ? ['unknown', 'time: no speed is known yet'] : [duration(hours * 3600), 'on all slots of the pool'];
  return [[short(tokens), 'tokens'], [short(flops), 'FLOPs'], time];
}

function Sources({ plan }: { plan: PlanView }) {
  return (
    <table className="plain">
      <thead>
        <tr>
          <th scope="col">Source</th>
          <th scope="col">Size</th>
          <th scope="col">Tokens, about</th>
          <th scope="col">Passes over it</th>
        </tr>
      </thead>
      <tbody>
        {plan.sources.map((source) => (
          <tr key={source.source}>
            <th scope="row">{source.source}</th>
            <td>{bytes(source.bytes)}</td>
            <td>{short(source.tokens)}</td>
            <td>{passes(source.epochs_min, source.epochs_max)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function passes(min: number, max: number): string {
  const [low, high] = [min.toFixed(2), max.toFixed(2)];
  return low === high ? low : `${low} to ${high}`;
}

const RETRIED: [Outcome, string][] = [
  ['failed', 'failed or diverged'],
  ['cancelled', 'was cancelled'],
];

function Extras({ choices }: { choices: Choices }) {
  const { prune, setPrune, retry, setRetry, repin, setRepin } = choices;
  const set = (outcome: Outcome, isSet: boolean) =>
    setRetry(isSet ? [...retry, outcome] : retry.filter((each) => each !== outcome));
  return (
    <fieldset className="extras">
      <legend className="hidden">Also</legend>
      {RETRIED.map(([outcome, text]) => (
        <label key={outcome}>
          <input
            type="checkbox"
            checked={retry.includes(outcome)}
            onChange={(event) => set(outcome, event.target.checked)}
          />{' '}
          queue again what {text}
        </label>
      ))}
      <label>
        <input type="checkbox" checked={prune} onChange={(event) => setPrune(event.target.checked)} /> cancel what is
        no longer in the file
      </label>
      <label>
        <input type="checkbox" checked={repin} onChange={(event) => setRepin(event.target.checked)} /> prepare the data
        again, as its files are now
      </label>
    </fieldset>
  );
}

