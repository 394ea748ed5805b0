import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// In development the pages come from Vite and everything under /api from a running controller.
const controller = process.env.ASSAY_URL ?? 'http://127.0.0.1:8717';

export default defineConfig({
  plugins: [react()],
  build: { target: 'es2022', sourcemap: false },
  server: { proxy: { '/api': controller } },
  test: { include: ['tests/unit/**/*.test.ts'] },
});
