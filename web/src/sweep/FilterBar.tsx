import { useState } from 'react';
import { FILTER_KEYS } from '../lib/filter';
import { plural } from '../lib/format';
import { showValue } from '../lib/values';
import type { ChangeView, ViewState } from '../lib/viewState';
import type { SweepModel } from './model';

interface Props {
  model: SweepModel;
  view: ViewState;
  change: ChangeView;
}

export function FilterBar({ model, view, change }: Props) {
  const { filter, filtered, shown, points, sweep } = model;
  const { draft, type } = useDraft(view.filter, (text) => change({ filter: text }));
  const example = sweep.axes.at(0);
  const known = [...sweep.axes.map(({ label }) => label), ...FILTER_KEYS];
  return (
    <div className="filter">
      <h2 id="runs">Runs</h2>
      <input
        type="search"
        value={draft}
        onChange={(event) => type(event.target.value)}
        placeholder={`Filter: ${example ? `${example.label}=${showValue(example.values.at(0))} ` : ''}state=done`}
        aria-label="Filter runs"
        spellCheck={false}
      />
      <span className="muted" role="status">
        {plural(filtered.length, 'run')}
        {filtered.length < points.length && ` of ${points.length}`}
        {shown.length < filtered.length && `, ${shown.length} drawn`}
      </span>
      {0 < filter.unknown.length && (
        <p className="bad">
          Nothing is called {filter.unknown.map((key) => `“${key}”`).join(' or ')}. Known: {known.join(', ')}, and any
          series.
        </p>
      )}
    </div>
  );
}

/** What is typed, at once; the URL follows. A URL changed from elsewhere wins. */
function useDraft(stored: string, store: (text: string) => void) {
  const [draft, setDraft] = useState(stored);
  const [seen, setSeen] = useState(stored);
  if (stored !== seen) {
    setSeen(stored);
    setDraft(stored);
  }
  const type = (text: string) => {
    setDraft(text);
    setSeen(text);
    store(text);
  };
  return { draft, type };
}
