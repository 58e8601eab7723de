import { systemClock } from '../../clock/clock.ts';
import { PreviousGuardians } from '../../guardian/previous-guardians.ts';
import { agentIdentity, socketFolder } from '../../guardian/takeover-socket.ts';
import type { Log } from '../../log/log.ts';
import { readConfig } from '../config-file.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';

export interface ReleaseOptions {
  readonly config?: string;
  readonly all?: boolean;
}

/** Has guardians let go of the outputs they hold since their agents were stopped or crashed. Fails where one cannot be told. */
export async function release(options: ReleaseOptions): Promise<void> {
  const config = options.all ? undefined : await readConfig(options.config, false);
  await releaseGuardians(config && agentIdentity(config.file, config.node));
}

/** Without an identity: of all agents of this user that do not run. */
export async function releaseGuardians(identity: string | undefined): Promise<void> {
  const troubles: string[] = [];
  const tell = (_detail: object, message: string) => void troubles.push(message);
  const quiet = () => undefined;
  const log: Log = { debug: quiet, info: quiet, warn: quiet, error: tell };
  const guardians = await PreviousGuardians.find(socketFolder(), identity, systemClock, log);
  await guardians.finish();
  if (guardians.count > 0) printLine(`let go of what ${guardians.count} guardian(s) held`);
  else if (troubles.length === 0) printNote('no guardian of this user holds anything');
  // An agent that runs is no trouble for who asks for all that do not.
  const failed = identity === undefined ? [] : troubles;
  if (failed.length > 0) throw new CliError(exitCodes.failed, failed.join('\n'), 'stop the agent first');
}
