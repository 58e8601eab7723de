import type { Command } from 'commander';
import { listBoards } from '../../board/load-board.ts';
import { findProfiles } from '../../config/profile.ts';
import { driverNames } from '../../driver-registry.ts';
import { messageOf } from '../../errors/errors.ts';
import { BusClient, busEndpoint, pinsOf } from '../bus-client.ts';
import { type Candidate, completions, type Source } from '../completions.ts';
import { readConfig } from '../config-file.ts';
import { printLine, printNote } from '../output.ts';

/** A person waits at the Tab key. */
const AGENT_MS = 500;

/** Answers a shell: a line for each word that can stand there. */
export async function complete(cli: Command, words: readonly string[]): Promise<void> {
  const { words: found, from, given } = completions(cli, words);
  for (const one of found) print(one);
  if (from === 'files' || from === 'folders') printLine(`:${from}`);
  else if (from !== undefined) {
    const last = words.at(-1) ?? '';
    for (const one of await namesFrom(from, given)) if (one.word.startsWith(last)) print(one);
  }
}

function print({ word, about }: Candidate): void {
  printLine(`${word}\t${about.replaceAll(/\s+/g, ' ')}`);
}

async function namesFrom(source: Source, given: ReadonlyMap<string, string>): Promise<Candidate[]> {
  if (source === 'board') return listBoards().map((word) => ({ word, about: '' }));
  if (source === 'profiles') {
    const profiles = driverNames.flatMap((name) => findProfiles(name, given.get('folder')));
    return profiles.map(({ name, title }) => ({ word: name, about: title }));
  }
  return (await pinsOnBus(given.get('bus'))) ?? pinsInFile(given.get('config'));
}

/** The pins of the agents that answer at once; undefined when there is none. */
async function pinsOnBus(bus: string | undefined): Promise<Candidate[] | undefined> {
  const client = new BusClient(busEndpoint(bus));
  try {
    const heard = new Promise<Candidate[] | undefined>((resolve) => {
      setTimeout(() => resolve(undefined), AGENT_MS).unref();
      client.actor.on('NodeMessage', (data) =>
        resolve(pinsOf(data).map(({ name, label }) => ({ word: name, about: label }))),
      );
    });
    await client.connect(AGENT_MS);
    client.actor.send({ UpdateIoMessage: {} });
    return await heard;
  } catch (error) {
    // A shell shows no messages while it completes; who runs this by hand sees why.
    printNote(messageOf(error));
    return undefined;
  } finally {
    await client.close();
  }
}

async function pinsInFile(file: string | undefined): Promise<Candidate[]> {
  try {
    const { pins } = await readConfig(file, false);
    return pins.map(({ spec }) => ({ word: spec.name, about: spec.label ?? '' }));
  } catch (error) {
    printNote(messageOf(error));
    return [];
  }
}
