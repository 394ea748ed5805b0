import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from './api/client';
import { keys } from './api/queries';
import { App } from './App';
import './style/tokens.css';
import './style/base.css';
import './style/shell.css';
import './style/chart.css';
import './style/table.css';
import './style/run.css';
import './style/submit.css';

/** The session is over: who asks is asked again, and the answer shows how to log in. */
function onError(error: Error) {
  if (error instanceof ApiError && error.status === 401) {
    void client.invalidateQueries({ queryKey: keys.session });
  }
}

const client = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: {
    queries: {
      // the stream says what changed; asking again would tell nothing new
      staleTime: Infinity,
      refetchOnWindowFocus: false,
      retry: (count, error) => count < 2 && (!(error instanceof ApiError) || error.status === 0),
    },
  },
});

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <App />
      </QueryClientProvider>
    </StrictMode>,
  );
}
