import { useEffect, useMemo } from 'react';
import { Link } from 'wouter';
import type { RunRow, RunView } from '../api/client';
import { useLive } from '../api/live';
import { useRun, useSweep } from '../api/queries';
import type { ChartContext } from '../chart/MetricChart';
import { Section } from '../chart/Section';
import { Toolbar } from '../chart/Toolbar';
import { oneColor } from '../lib/color';
import { sectionsOf } from '../lib/metrics';
import { useTheme } from '../lib/theme';
import { useView } from '../lib/viewState';
import { Evaluations } from '../run/Evaluations';
import { Attempts, Checkpoints, Events } from '../run/History';
import { Logs } from '../run/Logs';
import { Notes } from '../run/Notes';
import { RunHeader } from '../run/RunHeader';
import { SpecTree } from '../run/SpecTree';
import { Empty, Failed, Loading } from '../ui/Notice';

interface Props {
  sweep: string;
  number: number;
}

export function RunPage({ sweep, number }: Props) {
  const view = useSweep(sweep);
  const live = useLive(sweep, view.data?.cursor);
  const row = view.data?.runs.find((run) => run.number === number);
  const run = useRun(row?.run_id);
  useEffect(() => {
    document.title = `${sweep}/${number} · Assay`;
  }, [sweep, number]);
  const error = (view.data ? null : view.error) ?? (run.data ? null : run.error);
  if (error) {
    return <Failed what={`the run ${sweep}/${number}`} error={error} retry={() => void view.refetch()} />;
  }
  if (view.data && !row) {
    return (
      <Empty title={`${sweep} has no run ${number}`}>
        <Link href={`/sweeps/${sweep}`}>All runs of {sweep}</Link>
      </Empty>
    );
  }
  if (!row || !run.data) return <Loading what={`${sweep}/${number}`} />;
  // the row comes with the stream, the rest when it changed
  const shown = { ...run.data, ...row };
  return (
    <div className="page">
      <RunHeader run={shown} live={live} />
      <Charts run={run.data} row={row} series={run.data.series} />
      <Notes run={shown} />
      <Evaluations evaluations={shown.evaluations} />
      <div className="columns">
        <Logs run={shown.run_id} state={shown.state} />
        <SpecTree spec={shown.spec} />
      </div>
      <Attempts attempts={shown.attempts} />
      <div className="columns even">
        <Events events={shown.events} />
        <Checkpoints checkpoints={shown.checkpoints} />
      </div>
    </div>
  );
}

function Charts({ run, row, series }: { run: RunView; row: RunRow; series: readonly string[] }) {
  const [view, change] = useView();
  const theme = useTheme();
  const context = useMemo<ChartContext>(
    () => ({
      sweep: run.sweep,
      run: row.run_id,
      runs: [row],
      coloring: oneColor(theme),
      theme,
      view,
      change,
    }),
    [run.sweep, row, theme, view, change],
  );
  const sections = useMemo(() => sectionsOf(series), [series]);
  if (sections.length === 0) return null;
  return (
    <>
      <Toolbar view={view} change={change} />
      {sections.map((each) => (
        <Section key={each.section.id} {...each} context={context} />
      ))}
    </>
  );
}
