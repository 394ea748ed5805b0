// Scores over the steps at which they were taken: the V shape of an ablation, as numbers.

import type { EvaluationView } from '../api/client';
import { metric as show } from '../lib/format';

interface Line {
  task: string;
  metric: string;
  n: number;
  byStep: Map<number, EvaluationView>;
}

export function Evaluations({ evaluations }: { evaluations: readonly EvaluationView[] }) {
  if (evaluations.length === 0) return null;
  const steps = [...new Set(evaluations.map(({ step }) => step))].sort((a, b) => a - b);
  const lines = linesOf(evaluations);
  return (
    <section className="stack" aria-label="Evaluations">
      <h2>Evaluations</h2>
      <div className="table-scroll panel">
        <table className="runs evaluations">
          <thead>
            <tr>
              <th scope="col">Task</th>
              <th scope="col">Metric</th>
              <th scope="col" className="number">
                n
              </th>
              {steps.map((step) => (
                <th key={step} scope="col" className="number">
                  step {step}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lines.map((line) => (
              <tr key={`${line.task}/${line.metric}`}>
                <th scope="row">{line.task}</th>
                <td>{line.metric.replaceAll('_', ' ')}</td>
                <td className="number muted">{line.n}</td>
                {steps.map((step) => (
                  <Score key={step} score={line.byStep.get(step)} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Score({ score }: { score: EvaluationView | undefined }) {
  if (!score) return <td />;
  return (
    <td className="number">
      {show(score.value)}
      {score.stderr != null && <small className="muted">±{show(score.stderr)}</small>}
    </td>
  );
}

/** Whole sources first, then tasks, then slices. */
function linesOf(evaluations: readonly EvaluationView[]): Line[] {
  const lines = new Map<string, Line>();
  for (const score of evaluations) {
    const key = `${score.task}\n${score.metric}`;
    const line = lines.get(key) ?? { task: score.task, metric: score.metric, n: score.n, byStep: new Map() };
    line.byStep.set(score.step, score);
    lines.set(key, line);
  }
  const place = ({ task }: Line) => (task.includes('=') ? 2 : task.startsWith('heldout/') ? 0 : 1);
  return [...lines.values()].sort(
    (a, b) => place(a) - place(b) || a.task.localeCompare(b.task, 'en') || a.metric.localeCompare(b.metric, 'en'),
  );
}
