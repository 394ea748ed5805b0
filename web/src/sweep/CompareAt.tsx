// Where the table's values are compared: at the end of each run, or after the same number of tokens.

import { useState } from 'react';
import type { EqualTokens } from '../api/client';
import { plural } from '../lib/format';
import { readAt, type At, type ChangeView } from '../lib/viewState';

interface Props {
  at: At;
  /** What was answered; none: the end, or it is asked for. */
  equal: EqualTokens | undefined;
  error: Error | null;
  change: ChangeView;
}

export function CompareAt({ at, equal, error, change }: Props) {
  const [draft, setDraft] = useState(typeof at === 'number' ? String(at) : '');
  const isWrong = draft !== '' && typeof readAt(draft) !== 'number';
  const type = (text: string) => {
    setDraft(text);
    if (typeof readAt(text) === 'number') change({ at: readAt(text) });
  };
  const choose = (choice: At) => {
    setDraft('');
    change({ at: choice });
  };
  return (
    <div className="compare-at" role="group" aria-label="Compare runs">
      <button type="button" aria-pressed={at === 'end'} onClick={() => choose('end')}>
        at the end
      </button>
      <button type="button" aria-pressed={at === 'equal'} onClick={() => choose('equal')}>
        at equal tokens
      </button>
      <input
        value={draft}
        onChange={(event) => type(event.target.value)}
        placeholder="after, e.g. 200k"
        aria-label="Compare after so many tokens"
        aria-invalid={isWrong}
        spellCheck={false}
      />
      <span className={error || isWrong ? 'bad' : 'muted'} role="status">
        {told(at, equal, error, isWrong)}
      </span>
    </div>
  );
}

function told(at: At, equal: EqualTokens | undefined, error: Error | null, isWrong: boolean): string {
  if (isWrong) return 'Write tokens as 4096, 200k or 1.5M.';
  if (at === 'end') return 'Finished runs are ranked.';
  if (error) return error.message;
  if (!equal) return 'The scores are on their way.';
  if (typeof equal.tokens !== 'number') return 'No run has begun to train yet.';
  const count = plural(equal.tokens, 'token');
  return `Held-out and task scores after ${count}, the last at or before; runs that have not come so far are not ranked.`;
}
