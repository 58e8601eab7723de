import { systemClock } from '../../clock/clock.ts';
import type { Log } from '../../log/log.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { configOption } from '../options.ts';
import { printLine, printNote } from '../output.ts';

interface ReleaseOptions {
  readonly config?: string;
  readonly all?: boolean;
}

export function addRelease(cli: CliCommand): void {
  cli
    .command('release')
    .description('release the outputs that a guardian holds since its agent stopped or crashed')
    .addOption(configOption())
    .option('--all', 'of every agent of this user that does not run, whatever its configuration')
    .examples('dcs-io release', 'sudo dcs-io release --all')
    .action(release);
}

async function release(options: ReleaseOptions): Promise<void> {
  if (options.all) return releaseGuardians(undefined);
  const { readConfig } = await import('../config-file.ts');
  const { agentIdentity } = await import('../../guardian/takeover-socket.ts');
  const config = await readConfig(options.config);
  await releaseGuardians(agentIdentity(config.file, config.node));
}

/**
 * Has the guardians of an agent release the hardware they hold; with `undefined` those of every agent of this user that does
 * not run. Rejects when a guardian of the agent named refuses.
 */
export async function releaseGuardians(identity: string | undefined): Promise<void> {
  const { PreviousGuardians } = await import('../../guardian/previous-guardians.ts');
  const { socketFolder } = await import('../../guardian/takeover-socket.ts');
  const refusals: string[] = [];
  const quiet = () => undefined;
  const error = (_detail: object, message: string) => void refusals.push(message);
  const log: Log = { debug: quiet, info: quiet, warn: quiet, error };
  const guardians = await PreviousGuardians.find(socketFolder(), identity, systemClock, log);
  await guardians.finish();
  if (guardians.count > 0) printLine(`released what ${guardians.count} guardian(s) held`);
  else if (refusals.length === 0) printNote('no guardian of this user holds anything');
  // Without an identity, the guardian of a running agent refuses as it should.
  if (identity !== undefined && refusals.length > 0) {
    throw new CliError(exitCodes.failed, refusals.join('\n'), 'stop the agent first');
  }
}
