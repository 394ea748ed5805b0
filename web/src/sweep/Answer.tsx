// What the sweep says so far: the best finished run of each measure, and how far it is from the
// baseline. Unfinished runs are counted, never compared.

import { Link } from 'wouter';
import type { RunRow } from '../api/client';
import { Swatch } from '../chart/Swatch';
import { metric as show, signed } from '../lib/format';
import { hover } from '../lib/hover';
import type { Metric } from '../lib/metrics';
import { best, difference, fellShort, isCompared, isFinal, latest, verdict } from '../lib/rank';
import { Excluded } from './Excluded';
import type { SweepModel } from './model';

export function Answer({ model }: { model: SweepModel }) {
  const { points, baseline } = model;
  const results = model.metrics.filter(({ section }) => section !== 'training');
  const finished = points.filter(isCompared).length;
  if (results.length === 0 || finished === 0) {
    return (
      <section className="panel answer" aria-label="Answer">
        <h2>Answer</h2>
        <p className="muted">
          No run has finished yet. The best run of each measure stands here once one has; unfinished runs are not
          compared.
        </p>
      </section>
    );
  }
  return (
    <section className="panel answer" aria-label="Answer">
      <h2>
        Answer{' '}
        <span className="muted">
          {howFar(points)}
          {baseline && !isFinal(baseline) && ', the baseline not yet'}
        </span>
      </h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Measure</th>
            <th scope="col">Best run</th>
            <th scope="col" className="number">
              Value
            </th>
            <th scope="col" className="number">
              Baseline
            </th>
            <th scope="col" className="number">
              Difference
            </th>
          </tr>
        </thead>
        <tbody>
          {results.map((metric) => (
            <AnswerRow key={metric.name} model={model} metric={metric} />
          ))}
        </tbody>
      </table>
      <Excluded sweep={model.sweep.name} runs={points} />
    </section>
  );
}

function howFar(all: readonly RunRow[]): string {
  const points = all.filter((run) => !run.excluded);
  const excluded = points.length < all.length ? `, ${all.length - points.length} excluded` : '';
  return `${howFarOf(points)}${excluded}`;
}

function howFarOf(points: readonly RunRow[]): string {
  const finished = points.filter(isFinal).length;
  const short = points.filter(fellShort).length;
  if (finished === points.length) return `all ${points.length} runs finished`;
  const is = finished + short === points.length ? '' : 'so far: ';
  const also = short === 0 ? '' : `, ${short} ended without success`;
  return `${is}${finished} of ${points.length} runs finished${also}`;
}

function AnswerRow({ model, metric }: { model: SweepModel; metric: Metric }) {
  const { points, baseline, coloring, sweep } = model;
  const found = best(points, metric);
  const base = baseline && isCompared(baseline) ? latest(baseline, metric.name) : undefined;
  const title = (
    <th scope="row">
      {metric.title} <span className="muted">{metric.unit}</span>
    </th>
  );
  if (!found) {
    return (
      <tr>
        {title}
        <td colSpan={4} className="muted">
          no finished run has it
        </td>
      </tr>
    );
  }
  const { run, value, ties } = found;
  const apart = difference(run, baseline, metric.name);
  return (
    <tr onMouseEnter={() => hover([run.run_id])} onMouseLeave={() => hover([])}>
      {title}
      <td>
        <Swatch look={coloring.look(run)} isBaseline={run.is_baseline} />{' '}
        <Link href={`/sweeps/${sweep.name}/${run.number}`}>
          #{run.number} {run.label}
        </Link>
        {0 < ties && <span className="muted"> and {ties} equal</span>}
      </td>
      <td className="number strong">{show(value)}</td>
      <td className="number muted">{show(base)}</td>
      <td className={`number ${apart === undefined ? 'muted' : verdict(apart, metric)}`}>
        {apart === undefined ? (run.is_baseline ? 'the baseline' : '–') : signed(apart)}
      </td>
    </tr>
  );
}
