// Deletes a sweep with its data, after it has said what that is.

import { useQueryClient } from '@tanstack/react-query';
import { useLocation } from 'wouter';
import { api, type DeletionView } from '../api/client';
import { keys } from '../api/queries';
import { bytes, plural, short } from '../lib/format';
import { WishButton } from '../ui/WishButton';

export function DeleteButton({ name, whyNot }: { name: string; whyNot: string | undefined }) {
  const client = useQueryClient();
  const [, go] = useLocation();
  const ask = async () => {
    const what = await api.deletion(name);
    if (!window.confirm(question(what))) return;
    const { is_deleted } = await api.deleteSweep(name, 0 < what.open);
    void client.invalidateQueries({ queryKey: keys.sweeps });
    if (!is_deleted) return;
    client.removeQueries({ queryKey: keys.sweep(name) });
    go('/');
  };
  return <WishButton text="Delete" whyNot={whyNot} send={ask} />;
}

export function question(what: DeletionView): string {
  const { sweep, runs, open, points, checkpoints, checkpoint_bytes, files_stay } = what;
  const files =
    checkpoints === 0 ? '' : `, and the checkpoints of ${plural(checkpoints, 'run')} (about ${bytes(checkpoint_bytes)})`;
  const stay = files_stay == null ? '' : `\n\nFiles stay ${files_stay}.`;
  const cancelled = open === 0 ? '' : `\n\n${plural(open, 'run')} that have not ended are cancelled first.`;
  return `Delete ${sweep} with ${plural(runs, 'run')}, ${short(points)} points${files}? Nothing brings them back.${stay}${cancelled}`;
}
