// A button that wishes something of the controller. It is never hidden: when it cannot be pressed
// it says why. What happened then shows in the stream.

import { useMutation } from '@tanstack/react-query';
import { useId } from 'react';
import { useWhyNoChange } from '../api/queries';

export interface Wish {
  text: string;
  /** Set: it cannot be pressed, and this is the reason. */
  whyNot: string | undefined;
  /** Set: asked before it is done. */
  confirm?: string;
  send: () => Promise<unknown>;
}

export function WishButton({ text, whyNot, confirm, send }: Wish) {
  const id = useId();
  const noChange = useWhyNoChange();
  const why = whyNot ?? noChange;
  const { mutate, isPending, error } = useMutation({ mutationFn: send });
  const press = () => {
    if (why === undefined && (confirm === undefined || window.confirm(confirm))) mutate();
  };
  const told = error?.message ?? why;
  return (
    <span className="wish">
      <button
        type="button"
        onClick={press}
        aria-disabled={why !== undefined || isPending}
        aria-describedby={told === undefined ? undefined : id}
        title={why}
      >
        {text}
      </button>
      {told !== undefined && (
        <span id={id} role={error ? 'alert' : undefined} className={error ? 'bad' : 'hidden'}>
          {told}
        </span>
      )}
    </span>
  );
}

export interface Ask {
  text: string;
  question: string;
  /** What stands in the field at first. */
  answer?: string;
  whyNot?: string | undefined;
  send: (answer: string) => Promise<unknown>;
}

/** A wish that needs a word of the person who has it. */
export function AskButton({ text, question, answer = '', whyNot, send }: Ask) {
  const ask = () => {
    const given = window.prompt(question, answer)?.trim();
    return given === undefined || given === '' ? Promise.resolve() : send(given);
  };
  return <WishButton text={text} whyNot={whyNot} send={ask} />;
}
