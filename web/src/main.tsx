import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiError } from './api/client';
import { App } from './App';
import './style/tokens.css';
import './style/base.css';
import './style/shell.css';
import './style/chart.css';
import './style/table.css';
import './style/run.css';
import './style/submit.css';

const client = new QueryClient({
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
