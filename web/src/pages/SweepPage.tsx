import { useEffect, useMemo } from 'react';
import type { SweepView } from '../api/client';
import { useLive, type LiveState } from '../api/live';
import { RUNS_DRAWN_MAX, useSweep } from '../api/queries';
import type { ChartContext } from '../chart/MetricChart';
import { Section } from '../chart/Section';
import { Toolbar } from '../chart/Toolbar';
import { sectionsOf } from '../lib/metrics';
import { useTheme } from '../lib/theme';
import { useView } from '../lib/viewState';
import { Answer } from '../sweep/Answer';
import { Excluded } from '../sweep/Excluded';
import { FilterBar } from '../sweep/FilterBar';
import { Header } from '../sweep/Header';
import { Legend } from '../sweep/Legend';
import { sweepModel } from '../sweep/model';
import { RunTable } from '../sweep/RunTable';
import { Canaries, Others, Waiting } from '../sweep/Standing';
import { Failed, Loading } from '../ui/Notice';

export function SweepPage({ name }: { name: string }) {
  const { data, error, refetch } = useSweep(name);
  const live = useLive(name, data?.cursor);
  useEffect(() => {
    document.title = `${name} · Assay`;
  }, [name]);
  if (!data && error) return <Failed what={`the sweep ${name}`} error={error} retry={() => void refetch()} />;
  if (!data) return <Loading what={name} />;
  return <Shown sweep={data} live={live} />;
}

function Shown({ sweep, live }: { sweep: SweepView; live: LiveState }) {
  const [view, change] = useView();
  const theme = useTheme();
  const model = useMemo(() => sweepModel(sweep, view, theme), [sweep, view, theme]);
  const { shown: runs, coloring } = model;
  const context = useMemo<ChartContext>(
    () => ({ sweep: sweep.name, runs: runs.slice(0, RUNS_DRAWN_MAX), coloring, theme, view, change }),
    [sweep.name, runs, coloring, theme, view, change],
  );
  const [heldout, rest] = useMemo(() => {
    const sections = sectionsOf(sweep.series);
    const isFirst = ({ section }: (typeof sections)[number]) => section.id === 'heldout';
    return [sections.filter(isFirst), sections.filter((section) => !isFirst(section))];
  }, [sweep.series]);
  return (
    <div className="page">
      <Header sweep={sweep} live={live} />
      <Answer model={model} />
      <Toolbar view={view} change={change}>
        <Legend model={model} change={change} />
      </Toolbar>
      {RUNS_DRAWN_MAX < runs.length && (
        <p className="warning">
          The charts draw the first {RUNS_DRAWN_MAX} of {runs.length} runs. A filter makes room for the others.
        </p>
      )}
      {sweep.series.length === 0 && (
        <p className="panel chart-empty muted">Curves appear here when the first run begins to train.</p>
      )}
      {heldout.map((each) => (
        <Section key={each.section.id} {...each} context={context} />
      ))}
      <section className="table-section" aria-labelledby="runs">
        <FilterBar model={model} view={view} change={change} />
        <Canaries sweep={sweep} />
        <Waiting runs={sweep.runs} />
        <RunTable model={model} view={view} change={change} />
        <Excluded sweep={sweep.name} runs={model.filtered} />
        <Others sweep={sweep.name} runs={model.others} />
      </section>
      {rest.map((each) => (
        <Section key={each.section.id} {...each} context={context} />
      ))}
    </div>
  );
}
