// What people wrote to a run. A note pinned to a step has a mark there in every chart.

import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, type NoteView, type RunView } from '../api/client';
import { useWhyNoChange } from '../api/queries';
import { clock } from '../lib/format';
import { WishButton } from '../ui/WishButton';

export function Notes({ run }: { run: RunView }) {
  const noChange = useWhyNoChange();
  return (
    <section className="stack" aria-label="Notes">
      <h2>
        Notes <span className="muted">pinned to a step, they have a mark in the charts</span>
      </h2>
      {0 < run.notes.length && (
        <ol className="notes panel">
          {run.notes.map((note) => (
            <Note key={note.note_id} run={run.run_id} note={note} />
          ))}
        </ol>
      )}
      {noChange === undefined && <NewNote run={run} />}
    </section>
  );
}

function Note({ run, note }: { run: string; note: NoteView }) {
  return (
    <li>
      <strong>{note.step == null ? 'the whole run' : `step ${note.step}`}</strong>
      <span>
        {note.text}
        <small className="muted">
          {note.author && `${note.author}, `}
          {clock(note.at)}
        </small>
      </span>
      <WishButton
        text="Remove"
        whyNot={undefined}
        confirm="Remove this note?"
        send={() => api.removeNote(run, note.note_id)}
      />
    </li>
  );
}

function NewNote({ run }: { run: RunView }) {
  const [text, setText] = useState('');
  const [step, setStep] = useState('');
  const { mutate, isPending, error } = useMutation({
    mutationFn: () => api.writeNote(run.run_id, { text, step: step === '' ? null : Number(step) }),
    onSuccess: () => {
      setText('');
      setStep('');
    },
  });
  return (
    <form
      className="filter"
      onSubmit={(event) => {
        event.preventDefault();
        mutate();
      }}
    >
      <input
        type="number"
        min={0}
        step={1}
        value={step}
        onChange={(event) => setStep(event.target.value)}
        placeholder="step"
        aria-label="Step of the note; empty: the whole run"
        className="note-step"
      />
      <input
        type="text"
        value={text}
        onChange={(event) => setText(event.target.value)}
        placeholder="What is to be known about it"
        aria-label="Note"
        required
      />
      <button type="submit" disabled={isPending}>
        Add note
      </button>
      {error && (
        <p className="bad" role="alert">
          {error.message}
        </p>
      )}
    </form>
  );
}
