import { BASELINE_DASH, type Look } from '../lib/color';

/** A piece of a run's curve, as the charts draw it. */
export function Swatch({ look, isBaseline = false }: { look: Look; isBaseline?: boolean }) {
  const dash = isBaseline ? BASELINE_DASH : look.dash;
  return (
    <svg className="swatch" viewBox="0 0 22 8" width="22" height="8" aria-hidden="true">
      <line x1="1" x2="21" y1="4" y2="4" stroke={look.color} strokeWidth="3" strokeDasharray={dash.join(' ')} />
    </svg>
  );
}
