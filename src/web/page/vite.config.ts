import { defineConfig } from 'vite';

/** Bundles the page into dist/web; nothing of it is loaded from anywhere else. */
export default defineConfig({
  root: import.meta.dirname,
  publicDir: false,
  build: {
    outDir: '../../../dist/web',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    // What is bundled is passed on, and its licences with it.
    license: { fileName: 'licenses.md' },
  },
});
