import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // zeromq aborts the process when a worker thread ends with a receive pending; a child process does not care.
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/support/closing-line.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
