import { defineConfig } from 'vite';

/** Bundles the page into dist/web. The page loads nothing from other servers. */
export default defineConfig({
  root: import.meta.dirname,
  publicDir: false,
  build: {
    outDir: '../../../dist/web',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    // The licences of the bundled packages.
    license: { fileName: 'licenses.md' },
  },
});
