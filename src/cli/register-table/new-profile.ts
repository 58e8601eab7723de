import { loadConfigText } from '../../config/load.ts';
import { driversIn } from '../../driver-registry.ts';
import { CliError, exitCodes } from '../exit.ts';
import { decodeText } from './csv.ts';
import { draftProfile, type ProfileDraft, type TableOptions } from './draft.ts';
import { deviceConfig, pinAt, profileText } from './profile-text.ts';

/** A profile started from a register table. */
export interface NewProfile {
  readonly text: string;
  /** Number of its pins. */
  readonly pins: number;
  /** Lines and columns that could not be read, and assumptions. */
  readonly notes: readonly string[];
}

/** Reads a register table. Rejects with a CliError when it has no header or no register. */
export async function newProfile(bytes: Uint8Array, file: string, options: TableOptions): Promise<NewProfile> {
  const draft = draftProfile(decodeText(bytes), options);
  if (draft === undefined) {
    throw new CliError(
      exitCodes.failed,
      `${file} has no header with a column of addresses beside one of names or types`,
      'a line like Address;Name;Type;Scale;Unit above the registers',
    );
  }
  const { pins, notes, ...rest } = await withoutMistakes(draft);
  if (pins.length === 0) {
    throw new CliError(exitCodes.failed, [`no register of ${file} could be read`, ...notes].join('\n'));
  }
  return { text: profileText({ ...rest, pins, notes }, file), pins: pins.length, notes };
}

/** Leaves out what the configuration would refuse, with the reason: a register of two pins, an address that is too high. */
async function withoutMistakes(draft: ProfileDraft): Promise<ProfileDraft> {
  const loaded = loadConfigText(deviceConfig(draft), 'profile', { drivers: await driversIn('modbus') });
  if (loaded.ok) return draft;
  const wrong = loaded.problems.flatMap((problem) => {
    const pin = problem.severity === 'error' ? pinAt(problem.key, draft.pins) : undefined;
    const message = problem.message
      .replace(/ of port bus/, '')
      .replace(/ in line \d+$/, '')
      .replaceAll('device.', '');
    return pin ? [{ pin, message }] : [];
  });
  if (wrong.length === 0)
    throw new CliError(exitCodes.failed, loaded.problems.map(({ message }) => message).join('\n'));
  const left = wrong.map(({ pin, message }) => `line ${pin.line}: left out, because ${message}: ${pin.name}`);
  return {
    ...draft,
    pins: draft.pins.filter((pin) => !wrong.some((one) => one.pin === pin)),
    notes: [...draft.notes, ...new Set(left)],
  };
}
