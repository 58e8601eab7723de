import module from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Actor } from '../bus/actor.ts';
import { DcsError, messageOf } from '../errors/errors.ts';

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

/** This process's dcs-io, as a user's `import … from 'dcs-io'` gets it: the index beside this folder, compiled or not. */
const OWN_INDEX = new URL(`../index${extname(import.meta.url)}`, import.meta.url).href;

/**
 * Loads a user's actor module (.ts, .js, .mjs) and returns what makes its actor. The module's default export is a class
 * that extends Actor, or a function that returns an Actor.
 *
 * `import { Actor } from 'dcs-io'` in it means this very process's dcs-io, wherever it is installed, so the user needs
 * no node_modules of his own.
 */
export async function loadActor(file: string): Promise<() => Actor> {
  let made: unknown;
  try {
    made = extname(file) === '.ts' ? await importTyped(file) : await importActor(file, OWN_INDEX);
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `${file} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
  if (typeof made !== 'function') {
    throw new DcsError('BAD_CONFIG', `${file} has no actor`, {
      found: `default export of type ${typeof made}`,
      expected: 'export default class … extends Actor, or a function that returns an Actor',
    });
  }
  const factory = made;
  return () => {
    const actor: unknown = isActorClass(factory) ? new factory() : factory();
    if (actor instanceof Actor) return actor;
    throw new DcsError('BAD_CONFIG', `${file} made something that is no Actor`, { found: typeof actor });
  };
}

/** TypeScript is translated first: loading what does that takes longer than everything else about a start. */
async function importTyped(file: string): Promise<unknown> {
  const { createJiti } = await import('jiti');
  const index = fileURLToPath(OWN_INDEX);
  // Our own modules are loaded by Node itself: a second copy of Actor would be another class.
  const jiti = createJiti(import.meta.url, {
    alias: { 'dcs-io': index },
    nativeModules: [index],
    moduleCache: false,
    fsCache: false,
  });
  return jiti.import(file, { default: true });
}

function isActorClass(made: object): made is new () => Actor {
  return Object.hasOwn(made, 'prototype') && Reflect.get(made, 'prototype') instanceof Actor;
}
