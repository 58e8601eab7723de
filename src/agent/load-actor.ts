import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Actor } from '../bus/actor.ts';
import { DcsError, messageOf } from '../errors/errors.ts';

/**
 * Loads a user's actor module (.ts, .js, .mjs) and returns what makes its actor. The module's default export is a class
 * that extends Actor, or a function that returns an Actor.
 *
 * `import { Actor } from 'dcs-io'` in it means this very process's dcs-io, wherever it is installed, so the user needs
 * no node_modules of his own.
 */
export async function loadActor(file: string): Promise<() => Actor> {
  const { createJiti } = await import('jiti');
  const entry = fileURLToPath(new URL(`../index${extname(import.meta.url)}`, import.meta.url));
  // Our own modules are loaded by Node itself: a second copy of Actor would be another class.
  const jiti = createJiti(import.meta.url, {
    alias: { 'dcs-io': entry },
    nativeModules: [entry],
    moduleCache: false,
    fsCache: false,
  });
  let made: unknown;
  try {
    made = await jiti.import(file, { default: true });
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

function isActorClass(made: object): made is new () => Actor {
  return Object.hasOwn(made, 'prototype') && Reflect.get(made, 'prototype') instanceof Actor;
}
