import { useMutation, useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense, type ReactNode } from 'react';
import { Link, Route, Router, Switch, useRoute } from 'wouter';
import { api } from './api/client';
import { projectOf, roleHere, useSession } from './api/queries';
import { baseOf, projectIn } from './lib/project';
import { toggleTheme, useTheme } from './lib/theme';
import { LoginPage } from './pages/LoginPage';
import { PoolsPage } from './pages/PoolsPage';
import { RunPage } from './pages/RunPage';
import { SchedulesPage } from './pages/SchedulesPage';
import { SweepPage } from './pages/SweepPage';
import { SweepsPage } from './pages/SweepsPage';
import { WebhooksPage } from './pages/WebhooksPage';
import { Empty, Failed, Loading } from './ui/Notice';

// the editor is half of all code, and most visits never need it
const SubmitPage = lazy(() => import('./pages/SubmitPage'));

export function App() {
  return (
    <Router base={baseOf(projectIn(location.pathname))}>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <TopBar />
      <main id="main">
        <Admitted>
          <Suspense fallback={<Loading what="the editor" />}>
            <Switch>
              <Route path="/" component={SweepsPage} />
              <Route path="/pools" component={PoolsPage} />
              <Route path="/schedules" component={SchedulesPage} />
              <Route path="/webhooks" component={WebhooksPage} />
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
        </Admitted>
      </main>
    </Router>
  );
}

/** What follows, or how to log in. */
function Admitted({ children }: { children: ReactNode }) {
  const { data: session, error, refetch } = useSession();
  if (!session && error) return <Failed what="who you are" error={error} retry={() => void refetch()} />;
  if (!session) return <Loading what="the page" />;
  if (!session.actor) return <LoginPage provider={session.provider ?? undefined} />;
  const wanted = projectOf(session);
  if (session.projects.some(({ project }) => project === wanted)) return children;
  return (
    <Empty title={wanted === undefined ? 'Choose a project' : `You have no role in a project “${wanted}”`}>
      <ul className="choices">
        {session.projects.map(({ project, role }) => (
          <li key={project}>
            <a href={baseOf(project)}>{project}</a> <small className="muted">{role}</small>
          </li>
        ))}
      </ul>
    </Empty>
  );
}

/** Where there are several, which one this page is of. Another one is another page: nothing of this one stays. */
function Project() {
  const { data } = useSession();
  if (!data || data.projects.length < 2) return null;
  const names = data.projects.map(({ project }) => project);
  const shown = projectOf(data) ?? '';
  return (
    <select
      aria-label="Project"
      className="project"
      value={names.includes(shown) ? shown : ''}
      onChange={(event) => location.assign(`${baseOf(event.target.value)}/`)}
    >
      {!names.includes(shown) && <option value="">Project</option>}
      {names.map((name) => (
        <option key={name}>{name}</option>
      ))}
    </select>
  );
}

/** Who has logged in. On loopback nobody does. */
function Person() {
  const { data } = useSession();
  const client = useQueryClient();
  const { mutate } = useMutation({
    mutationFn: api.logOut,
    // nothing of what they saw stays for whoever comes next
    onSuccess: () => client.resetQueries(),
  });
  if (data?.actor?.via !== 'session') return null;
  return (
    <span className="person">
      <span className="muted">
        {data.actor.name} <small>{roleHere(data) ?? data.actor.role}</small>
      </span>
      <button type="button" className="quiet" onClick={() => mutate()}>
        Log out
      </button>
    </span>
  );
}

function TopBar() {
  const [isSubmit] = useRoute('/submit');
  const [isHome] = useRoute('/');
  const [isPools] = useRoute('/pools');
  const [isSchedules] = useRoute('/schedules');
  const [isWebhooks] = useRoute('/webhooks');
  const next = useTheme() === 'dark' ? 'light' : 'dark';
  return (
    <header className="topbar">
      <Link href="/" className="brand">
        <img src="/icon.svg" alt="" width="22" height="22" /> Assay
      </Link>
      <Project />
      <nav aria-label="Pages">
        <Link href="/" aria-current={isHome ? 'page' : undefined}>
          Sweeps
        </Link>
        <Link href="/pools" aria-current={isPools ? 'page' : undefined}>
          Pools
        </Link>
        <Link href="/schedules" aria-current={isSchedules ? 'page' : undefined}>
          Schedules
        </Link>
        <Link href="/webhooks" aria-current={isWebhooks ? 'page' : undefined}>
          Webhooks
        </Link>
        <Link href="/submit" aria-current={isSubmit ? 'page' : undefined}>
          Submit
        </Link>
      </nav>
      <Person />
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
