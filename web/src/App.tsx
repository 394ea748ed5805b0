import { lazy, Suspense } from 'react';
import { Link, Route, Switch, useRoute } from 'wouter';
import { toggleTheme, useTheme } from './lib/theme';
import { PoolsPage } from './pages/PoolsPage';
import { RunPage } from './pages/RunPage';
import { SweepPage } from './pages/SweepPage';
import { SweepsPage } from './pages/SweepsPage';
import { Empty, Loading } from './ui/Notice';

// the editor is half of all code, and most visits never need it
const SubmitPage = lazy(() => import('./pages/SubmitPage'));

export function App() {
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <TopBar />
      <main id="main">
        <Suspense fallback={<Loading what="the editor" />}>
          <Switch>
            <Route path="/" component={SweepsPage} />
            <Route path="/pools" component={PoolsPage} />
            <Route path="/submit" component={SubmitPage} />
            <Route path="/sweeps/:name/:number">
              {({ name, number }) => <RunPage key={`${name}/${number}`} sweep={name} number={Number(number)} />}
            </Route>
            <Route path="/sweeps/:name">{({ name }) => <SweepPage key={name} name={name} />}</Route>
            <Route>
              <Empty title="There is no such page">
                <Link href="/">All sweeps</Link>
              </Empty>
            </Route>
          </Switch>
        </Suspense>
      </main>
    </>
  );
}

function TopBar() {
  const [isSubmit] = useRoute('/submit');
  const [isHome] = useRoute('/');
  const [isPools] = useRoute('/pools');
  const next = useTheme() === 'dark' ? 'light' : 'dark';
  return (
    <header className="topbar">
      <Link href="/" className="brand">
        <img src="/icon.svg" alt="" width="22" height="22" /> Assay
      </Link>
      <nav aria-label="Pages">
        <Link href="/" aria-current={isHome ? 'page' : undefined}>
          Sweeps
        </Link>
        <Link href="/pools" aria-current={isPools ? 'page' : undefined}>
          Pools
        </Link>
        <Link href="/submit" aria-current={isSubmit ? 'page' : undefined}>
          Submit
        </Link>
      </nav>
      <button type="button" className="quiet" onClick={toggleTheme} title={`Switch to the ${next} theme`}>
        <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
          <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.5" />
          <path d="M8 2a6 6 0 0 1 0 12z" fill="currentColor" />
        </svg>
        <span className="hidden">Switch to the {next} theme</span>
      </button>
    </header>
  );
}
