// Where the controller asks who one is. The token goes to the controller once and is not kept here:
// what the browser holds then is a cookie that no script can read.

import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useSearch } from 'wouter';
import { api } from '../api/client';
import { keys } from '../api/queries';

/** Why a login by the identity provider led back here, by the word in the URL. */
const FAILURES: Record<string, string | undefined> = {
  provider: 'The identity provider does not answer as it should. The controller’s log says more.',
  stale: 'That login took too long, or began in another browser. Try again.',
  refused: 'The identity provider did not let you in.',
  'no-role': 'The identity provider knows you, but no rule of this controller gives you a role. Ask whoever runs it.',
};

export function LoginPage({ provider }: { provider: string | undefined }) {
  const client = useQueryClient();
  const [token, setToken] = useState('');
  const failure = FAILURES[new URLSearchParams(useSearch()).get('login') ?? ''];
  const { mutate, isPending, error } = useMutation({
    mutationFn: () => api.logIn(token),
    onSuccess: () => client.resetQueries({ queryKey: keys.session }),
  });
  const page = failure === undefined ? location.pathname + location.search : '/';
  useEffect(() => {
    document.title = 'Log in · Assay';
  }, []);
  return (
    <form
      className="notice login"
      onSubmit={(event) => {
        event.preventDefault();
        mutate();
      }}
    >
      <h1>Log in</h1>
      {failure !== undefined && (
        <p className="bad" role="alert">
          {failure}
        </p>
      )}
      {provider !== undefined && (
        <>
          <a className="button primary" href={`/auth/login?return=${encodeURIComponent(page)}`}>
            Log in with {provider}
          </a>
          <p className="muted">or with a token:</p>
        </>
      )}
      <label>
        Token
        <input
          type="password"
          value={token}
          onChange={(event) => setToken(event.target.value)}
          placeholder="assay_…"
          autoComplete="off"
          required
        />
      </label>
      <button type="submit" className={provider === undefined ? 'primary' : undefined} disabled={isPending}>
        Log in
      </button>
      {error && (
        <p className="bad" role="alert">
          {error.message}
        </p>
      )}
      <p className="muted">
        An admin makes one: <code>ctl token create NAME --role editor</code>. The first admin’s comes from{' '}
        <code>assay-controller token NAME</code>, where the database is.
      </p>
    </form>
  );
}
