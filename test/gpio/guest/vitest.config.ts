import { defineConfig } from 'vitest/config';

/** Runs inside the rig's virtual machine: emulated, so slow; one file at a time, for the chips are shared. */
export default defineConfig({
  test: {
    pool: 'forks',
    include: ['test/gpio/guest/*.guest.ts'],
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
