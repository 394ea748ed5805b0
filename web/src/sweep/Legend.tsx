// What colors mean, and the choice of it. Pointing at a value lights its runs.

import type { LegendEntry } from '../lib/color';
import { hover } from '../lib/hover';
import type { ChangeView } from '../lib/viewState';
import { Swatch } from '../chart/Swatch';
import { BY_RUN, type SweepModel } from './model';

export function Legend({ model, change }: { model: SweepModel; change: ChangeView }) {
  const { axis, coloring, baseline, sweep } = model;
  const choose = (label: string) => change({ color: label === sweep.axes.at(0)?.label ? undefined : label });
  return (
    <div className="legend">
      <label>
        color{' '}
        <select value={axis?.label ?? BY_RUN} onChange={(event) => choose(event.target.value)}>
          {sweep.axes.map(({ label, path }) => (
            <option key={path} value={label}>
              by {label}
            </option>
          ))}
          <option value={BY_RUN}>by run</option>
        </select>
      </label>
      <ul aria-label={axis ? `Values of ${axis.label}` : 'Runs'}>
        {coloring.legend.map((entry) => (
          <li key={entry.text}>
            <LegendValue model={model} entry={entry} />
          </li>
        ))}
        {baseline && (
          <li className="muted">
            <Swatch look={coloring.look(baseline)} isBaseline /> baseline
          </li>
        )}
      </ul>
    </div>
  );
}

function LegendValue({ model, entry }: { model: SweepModel; entry: LegendEntry }) {
  const { axis, shown } = model;
  const light = () =>
    hover(
      shown
        .filter((run) => axis && JSON.stringify(run.axes[axis.path]) === JSON.stringify(entry.value))
        .map((run) => run.run_id),
    );
  const leave = () => hover([]);
  return (
    <button type="button" className="quiet" onMouseEnter={light} onMouseLeave={leave} onFocus={light} onBlur={leave}>
      <Swatch look={entry.look} /> {entry.text}
    </button>
  );
}
