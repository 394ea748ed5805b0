import { useMutation, useQuery, useQueryClient, keepPreviousData } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useLocation, useSearchParams } from 'wouter';
import { api, ApiError, type ApplyRequest, type Outcome, type SweepView } from '../api/client';
import { keys, useSweep } from '../api/queries';
import { Editor } from '../submit/Editor';
import { EXAMPLE } from '../submit/example';
import { PlanPanel } from '../submit/PlanPanel';
import { useDebounced } from '../submit/useDebounced';
import { Failed, Loading } from '../ui/Notice';

export default function SubmitPage() {
  const [params] = useSearchParams();
  const name = params.get('sweep');
  useEffect(() => {
    document.title = 'Submit · Assay';
  }, []);
  return name === null ? <Form stored={undefined} /> : <Stored key={name} name={name} />;
}

function Stored({ name }: { name: string }) {
  const { data, error } = useSweep(name);
  if (error) return <Failed what={`the sweep ${name}`} error={error} />;
  return data ? <Form stored={data} /> : <Loading what={name} />;
}

const DRAFT = 'assay.draft';
const PLAN_AFTER_MS = 400;

function Form({ stored }: { stored: SweepView | undefined }) {
  const draft = `${DRAFT}.${stored?.name ?? ''}`;
  const [file, setFile] = useState(() => localStorage.getItem(draft) ?? stored?.file ?? EXAMPLE);
  const [folder, setFolder] = useState(stored?.folder ?? localStorage.getItem(`${DRAFT}.folder`) ?? '');
  const [prune, setPrune] = useState(false);
  const [repin, setRepin] = useState(false);
  const [retry, setRetry] = useState<Outcome[]>([]);
  const client = useQueryClient();
  const [, go] = useLocation();
  const edit = (text: string) => {
    setFile(text);
    localStorage.setItem(draft, text);
  };
  const moveTo = (path: string) => {
    setFolder(path);
    localStorage.setItem(`${DRAFT}.folder`, path);
  };
  const request: ApplyRequest = { file, folder: folder.trim() === '' ? null : folder.trim(), prune, retry, repin };
  const settled = useDebounced(request, PLAN_AFTER_MS);
  const plan = useQuery({
    queryKey: ['plan', settled],
    queryFn: () => api.plan(settled),
    retry: false,
    // other runs end meanwhile: an old plan is no plan
    staleTime: 0,
    gcTime: 0,
    placeholderData: keepPreviousData,
  });
  const apply = useMutation({
    mutationFn: () => api.apply(request),
    onSuccess: ({ plan: { sweep, schedule } }) => {
      localStorage.removeItem(draft);
      if (schedule) {
        void client.invalidateQueries({ queryKey: keys.schedules });
        go('/schedules');
        return;
      }
      void client.invalidateQueries({ queryKey: keys.sweep(sweep) });
      go(`/sweeps/${sweep}`);
    },
  });
  const errors = problemOf(apply.error)?.errors ?? problemOf(plan.error)?.errors ?? [];
  const isSettled = JSON.stringify(settled) === JSON.stringify(request) && !plan.isFetching;
  return (
    <div className="submit">
      <section className="stack" aria-label="Sweep file">
        <div className="head">
          <h1>{stored ? `Extend ${stored.name}` : 'New sweep'}</h1>
          <button type="button" className="quiet" onClick={() => edit(stored?.file ?? EXAMPLE)}>
            {stored ? 'Back to the applied file' : 'Back to the example'}
          </button>
        </div>
        <label className="folder">
          Folder that relative paths start from, on the controller’s machine
          <input
            value={folder}
            onChange={(event) => moveTo(event.target.value)}
            placeholder="the controller’s own folder"
            spellCheck={false}
          />
        </label>
        <Editor text={file} onChange={edit} errors={errors} />
      </section>
      <PlanPanel
        plan={plan.error ? undefined : plan.data}
        error={apply.error ?? plan.error}
        isSettled={isSettled}
        choices={{ prune, setPrune, retry, setRetry, repin, setRepin }}
        apply={() => apply.mutate()}
        isApplying={apply.isPending}
      />
    </div>
  );
}

const problemOf = (error: Error | null) => (error instanceof ApiError ? error.problem : undefined);
