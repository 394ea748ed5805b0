// What stands where nothing can be shown: loading, empty, failed.

import type { ReactNode } from 'react';
import { ApiError } from '../api/client';

export function Loading({ what }: { what: string }) {
  return (
    <div className="notice loading" role="status">
      <span className="dots" aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      Loading {what}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="notice">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Failed({ what, error, retry }: { what: string; error: Error; retry?: () => void }) {
  const isUnreachable = error instanceof ApiError && error.status === 0;
  return (
    <div className="notice failed" role="alert">
      <h2>{isUnreachable ? 'The controller does not answer' : `Could not load ${what}`}</h2>
      <p>{isUnreachable ? 'Start it with `ctl up`, or see its log. This page keeps what it has.' : error.message}</p>
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}
