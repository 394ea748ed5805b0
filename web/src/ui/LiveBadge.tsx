import type { LiveState } from '../api/live';

const TEXT: Record<LiveState, string> = {
  connecting: 'Connecting',
  live: 'Live',
  lost: 'Connection lost, trying again',
};

export function LiveBadge({ state }: { state: LiveState }) {
  return (
    <span className={`live ${state}`} role="status">
      <i aria-hidden="true" /> {TEXT[state]}
    </span>
  );
}
