// Every point of the sweep as a row: sorted, filtered, ticked. Only the rows in view are in the
// page when there are many.

import { useCallback, useMemo } from 'react';
import type { EqualTokens } from '../api/client';
import { useEqual } from '../api/queries';
import { AT_END, atEqual, seenScores } from '../lib/rank';
import type { ChangeView, ViewState } from '../lib/viewState';
import { CompareAt } from './CompareAt';
import { columnsOf, order, type Column } from './columns';
import type { SweepModel } from './model';
import { RunTableRow } from './RunTableRow';
import { ROW_HEIGHT, useWindow } from './useWindow';

interface Props {
  model: SweepModel;
  view: ViewState;
  change: ChangeView;
}

export function RunTable({ model, view, change }: Props) {
  const { sweep, filtered, metrics, baseline, coloring } = model;
  const columns = useMemo(() => columnsOf(sweep.axes, metrics), [sweep.axes, metrics]);
  const column = columns.find(({ key }) => key === view.sort) ?? columns[0];
  const seen = useMemo(() => (view.at === 'end' ? '' : seenScores(sweep.runs)), [view.at, sweep.runs]);
  const { data: equal, error } = useEqual(sweep.name, view.at, seen);
  const scores = useMemo(() => (view.at === 'end' ? AT_END : atEqual(equal ?? NOT_YET)), [equal, view.at]);
  const { runs, ranked } = order(filtered, column, view.isDescending, scores);
  const { scroller, from, to, onScroll } = useWindow(runs.length);
  const hidden = new Set(view.hidden);
  const tick = useTick(view, change);
  const sort = (next: Column) => change(nextSort(column, next, view.isDescending));
  const span = columns.length + 1;
  return (
    <>
      <CompareAt at={view.at} equal={equal} error={error} change={change} />
      <div className="table-scroll panel" ref={scroller} onScroll={onScroll}>
        <table className="runs">
          <thead>
            <tr>
              <th scope="col">
                <TickAll model={model} view={view} change={change} />
              </th>
              {columns.map((each) => (
                <Head key={each.key} column={each} sorted={each === column ? direction(view) : undefined} sort={sort} />
              ))}
            </tr>
          </thead>
          <tbody>
            <Spacer rows={from} span={span} />
            {runs.slice(from, to).map((run, index) => (
              <RunTableRow
                key={run.run_id}
                run={run}
                columns={columns}
                baseline={baseline}
                scores={scores}
                look={coloring.look(run)}
                sweep={sweep.name}
                isTicked={!hidden.has(run.number)}
                tick={tick}
                isFirstUnranked={column.kind === 'metric' && from + index === ranked && 0 < ranked}
                isRanked={column.kind !== 'metric' || from + index < ranked}
              />
            ))}
            <Spacer rows={runs.length - to} span={span} />
          </tbody>
        </table>
      </div>
    </>
  );
}

const NOT_YET: EqualTokens = { tokens: null, runs: [] };

const direction = ({ isDescending }: ViewState) => (isDescending ? 'descending' : 'ascending');

/** The same column turns around; another begins with its better end. */
function nextSort(now: Column, next: Column, isDescending: boolean): Partial<ViewState> {
  if (now.key === next.key) return { isDescending: !isDescending };
  return { sort: next.key, isDescending: next.kind === 'metric' && next.metric.better === 'higher' };
}

/** The same function as long as nothing is hidden anew, so that rows need not be drawn again. */
function useTick({ hidden }: ViewState, change: ChangeView) {
  return useCallback(
    (number: number, isTicked: boolean) =>
      change({ hidden: isTicked ? hidden.filter((each) => each !== number) : [...hidden, number] }),
    [hidden, change],
  );
}

function TickAll({ model, view, change }: Props) {
  const { filtered, shown } = model;
  const isAll = shown.length === filtered.length;
  const turn = () => {
    const ours = new Set(filtered.map(({ number }) => number));
    const others = view.hidden.filter((number) => !ours.has(number));
    change({ hidden: isAll ? [...others, ...ours] : others });
  };
  return (
    <input
      type="checkbox"
      checked={isAll && 0 < filtered.length}
      ref={(box) => {
        if (box) box.indeterminate = !isAll && 0 < shown.length;
      }}
      onChange={turn}
      aria-label="Draw all runs of the table"
    />
  );
}

interface HeadProps {
  column: Column;
  sorted: 'ascending' | 'descending' | undefined;
  sort: (column: Column) => void;
}

function Head({ column, sorted, sort }: HeadProps) {
  const isNumber = column.kind === 'metric';
  return (
    <th scope="col" aria-sort={sorted ?? 'none'} className={isNumber ? 'number' : undefined}>
      <button type="button" className="sort" onClick={() => sort(column)}>
        {column.title}
        <span aria-hidden="true">{sorted === 'ascending' ? ' ↑' : sorted === 'descending' ? ' ↓' : ''}</span>
      </button>
      {column.kind === 'metric' && <small className="muted">{column.metric.unit}</small>}
    </th>
  );
}

function Spacer({ rows, span }: { rows: number; span: number }) {
  if (rows <= 0) return null;
  return (
    <tr aria-hidden="true" className="spacer">
      <td colSpan={span} style={{ height: rows * ROW_HEIGHT }} />
    </tr>
  );
}
