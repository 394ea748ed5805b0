// How all charts of a page are drawn. Every choice is in the URL.

import type { ReactNode } from 'react';
import type { ChangeView, ViewState, XAxis } from '../lib/viewState';
import { X_LABEL } from './axes';

interface Props {
  view: ViewState;
  change: ChangeView;
  children?: ReactNode;
}

export function Toolbar({ view, change, children }: Props) {
  return (
    <div className="toolbar panel" role="toolbar" aria-label="Charts">
      <span className="group" role="group" aria-label="x axis">
        {(['step', 'tokens', 'time'] as XAxis[]).map((x) => (
          <button
            key={x}
            type="button"
            aria-pressed={view.x === x}
            // a range in steps means nothing in seconds
            onClick={() => change({ x, zoom: undefined })}
          >
            {X_LABEL[x]}
          </button>
        ))}
      </span>
      <Toggle text="log x" isOn={view.logX} set={(logX) => change({ logX })} />
      <Toggle text="log y" isOn={view.logY} set={(logY) => change({ logY })} />
      <Toggle
        text="clip outliers"
        title="Leave the outermost 2 % of values out of the y range"
        isOn={view.clip}
        set={(clip) => change({ clip })}
      />
      <label className="slider" title="Of training curves only; held-out curves are drawn as measured">
        smooth training
        <input
          type="range"
          min={0}
          max={0.99}
          step={0.01}
          value={view.smooth}
          onChange={(event) => change({ smooth: Number(event.target.value) })}
        />
        <output>{view.smooth === 0 ? 'off' : view.smooth.toFixed(2)}</output>
      </label>
      <button
        type="button"
        disabled={!view.zoom}
        title="Drag over a chart to zoom, double-click to see everything"
        onClick={() => change({ zoom: undefined })}
      >
        Reset zoom
      </button>
      {children}
    </div>
  );
}

interface ToggleProps {
  text: string;
  title?: string;
  isOn: boolean;
  set: (isOn: boolean) => void;
}

function Toggle({ text, title, isOn, set }: ToggleProps) {
  return (
    <button type="button" aria-pressed={isOn} title={title} onClick={() => set(!isOn)}>
      {text}
    </button>
  );
}
