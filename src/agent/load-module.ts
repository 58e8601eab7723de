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
type OwnModules = Readonly<Record<string, string>>;

const EXTENSION = extname(import.meta.url);
/** This process's own dcs-io by the names under which users import it: file URLs, compiled or not. */
const OWN_MODULES: OwnModules = {
  'dcs-io': new URL(`../index${EXTENSION}`, import.meta.url).href,
  'dcs-io/driver': new URL(`../driver/index${EXTENSION}`, import.meta.url).href,
};
/** Marks a user's module for the resolution hook. */
const MARK = '?dcs-io-module';
let hooked = false;

/**
 * Imports a user's module (.ts, .js, .mjs) and returns its default export. Rejects with BAD_CONFIG when it cannot be loaded.
 *
 * `dcs-io` and `dcs-io/driver` in it, and in what it imports, are this very process's dcs-io, wherever that is installed: the
 * user needs no node_modules, and an error or an actor of the module is an instance of the classes used here.
 */
export async function loadUserModule(file: string): Promise<unknown> {
  try {
    return extname(file) === '.ts' ? await importTypeScript(file) : await importJavaScript(file);
  } catch (error) {
    throw new DcsError('BAD_CONFIG', `${file} cannot be loaded: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Loads a user's actor module and returns the factory of its actor. The module's default export is a class that extends
 * Actor, or a function that returns an Actor.
 */
export async function loadActor(file: string): Promise<() => Actor> {
  const factory = await loadUserModule(file);
  if (typeof factory !== 'function') {
    throw new DcsError('BAD_CONFIG', `${file} has no actor`, {
      found: `default export of type ${typeof factory}`,
      expected: 'export default class … extends Actor, or a function that returns an Actor',
    });
  }
  return () => {
    const actor: unknown = isActorClass(factory) ? new factory() : factory();
    if (actor instanceof Actor) return actor;
    throw new DcsError('BAD_CONFIG', `${file} made something that is no Actor`, { found: typeof actor });
  };
}

function isActorClass(made: object): made is new () => Actor {
  return Object.hasOwn(made, 'prototype') && Reflect.get(made, 'prototype') instanceof Actor;
}

/** Imports as Node does, with the resolution hook. */
async function importJavaScript(file: string): Promise<unknown> {
  if (!hooked) {
    hooked = true;
    hookResolution();
  }
  const found: { default?: unknown } = await import(pathToFileURL(file).href + MARK);
  return found.default;
}

/** Loads jiti only here: that takes longer than everything else about a start. */
async function importTypeScript(file: string): Promise<unknown> {
  const { createJiti } = await import('jiti');
  const alias = Object.fromEntries(Object.entries(OWN_MODULES).map(([name, url]) => [name, fileURLToPath(url)]));
  // Node itself loads our own modules: a second copy of Actor would be another class.
  const nativeModules = Object.values(alias);
  const jiti = createJiti(import.meta.url, { alias, nativeModules, moduleCache: false, fsCache: false });
  return jiti.import(file, { default: true });
}

function hookResolution(): void {
  // Node 22.15 and later run hooks in this thread; older ones run their code in a thread of its own.
  if ('registerHooks' in module && typeof module.registerHooks === 'function') {
    module.registerHooks({ resolve: resolveWith(OWN_MODULES, MARK) });
    return;
  }
  const code = `export const resolve = (${resolveWith})(${JSON.stringify(OWN_MODULES)}, ${JSON.stringify(MARK)});`;
  module.register(`data:text/javascript,${encodeURIComponent(code)}`);
}

/** Refers to nothing outside itself, because another thread may run its text. */
function resolveWith(ownModules: OwnModules, mark: string) {
  return (specifier: string, context: unknown, next: Resolve): Resolved => {
    const own = Object.hasOwn(ownModules, specifier) ? ownModules[specifier] : undefined;
    if (own !== undefined) return { url: own, shortCircuit: true };
    // A module, with or without a package.json that says so: otherwise Node tries CommonJS first, and complains.
    if (specifier.startsWith('file:') && specifier.endsWith(mark))
      return { url: specifier, format: 'module', shortCircuit: true };
    return next(specifier, context);
  };
}
