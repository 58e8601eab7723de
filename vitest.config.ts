import { defineConfig } from 'vitest/config';

const kinds = ['fuzz', 'system', 'machine'] as const;

/** Tests named `*.<kind>.test.ts`. */
function project(kind: (typeof kinds)[number]) {
  return { extends: true as const, test: { name: kind, include: [`test/**/*.${kind}.test.ts`] } };
}

export default defineConfig({
  test: {
    // zeromq aborts the process when a worker thread ends with a pending receive: use child processes instead.
    pool: 'forks',
    reporters: ['default', './test/support/closing-line.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          // Pure: no build, no root, no network namespace. Files share a process, which spares most of the imports.
          name: 'unit',
          isolate: false,
          include: ['test/**/*.test.ts'],
          exclude: kinds.map((kind) => `test/**/*.${kind}.test.ts`),
        },
      },
      ...kinds.map(project),
    ],
  },
});
