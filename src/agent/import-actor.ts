import module from 'node:module';
import { pathToFileURL } from 'node:url';

interface Resolved {
  readonly url: string;
  readonly format?: string;
  readonly shortCircuit?: boolean;
}
type Resolve = (specifier: string, context: unknown) => Resolved;

/** Marks a user's module for the hook below. */
const MARK = '?dcs-io-actor';
let hooked = false;

/**
 * Imports a user's JavaScript module as Node does, except that `dcs-io` in it, and in what it imports, is `ownIndex`: the
 * file URL of this very process's dcs-io. Returns its default export.
 */
export async function importActor(file: string, ownIndex: string): Promise<unknown> {
  if (!hooked) {
    hooked = true;
    hookResolution(ownIndex);
  }
  const found: { default?: unknown } = await import(pathToFileURL(file).href + MARK);
  return found.default;
}

function hookResolution(ownIndex: string): void {
  // Node 22.15 and later have hooks in this thread; before that they are code for a thread of their own.
  if ('registerHooks' in module && typeof module.registerHooks === 'function') {
    module.registerHooks({ resolve: resolveWith(ownIndex, MARK) });
    return;
  }
  const code = `export const resolve = (${resolveWith})(${JSON.stringify(ownIndex)}, ${JSON.stringify(MARK)});`;
  module.register(`data:text/javascript,${encodeURIComponent(code)}`);
}

/** Refers to nothing around it: its text is run in another thread. */
function resolveWith(ownIndex: string, mark: string) {
  return (specifier: string, context: unknown, next: Resolve): Resolved => {
    if (specifier === 'dcs-io') return { url: ownIndex, shortCircuit: true };
    // A module, with or without a package.json that says so: otherwise Node tries CommonJS first, and complains.
    if (specifier.endsWith(mark)) return { url: specifier, format: 'module', shortCircuit: true };
    return next(specifier, context);
  };
}
