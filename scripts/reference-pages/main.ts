import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { libraryPages } from './library-pages.ts';
import { referencePages } from './pages.ts';

const docs = join(import.meta.dirname, '../../docs');

const pages = [...(await referencePages())].map(([name, text]) => [`reference/${name}`, text] as const);
const files = [...pages, ...libraryPages()];
for (const folder of ['api', 'reference']) {
  rmSync(join(docs, folder), { recursive: true, force: true });
  mkdirSync(join(docs, folder), { recursive: true });
}
for (const [path, text] of files) writeFileSync(join(docs, path), text);
