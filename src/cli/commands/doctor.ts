import type { CliCommand } from '../command-tree.ts';
import type { CheckResult } from '../doctor-checks.ts';
import { exitCodes } from '../exit.ts';
import { busOption, configOption, jsonOption } from '../options.ts';
import { colour, printJson, printLine } from '../output.ts';

interface DoctorOptions {
  readonly config?: string;
  readonly bus?: string;
  readonly json?: boolean;
}

export function addDoctor(cli: CliCommand): void {
  cli
    .command('doctor')
    .description('find what keeps the agent from working: permissions, devices, clock, keys, bus; and say what to do')
    .addOption(configOption())
    .addOption(busOption("a bus that must answer (default: this machine's, which may)"))
    .addOption(jsonOption())
    .examples('dcs-io doctor', 'dcs-io doctor --bus 192.168.1.20:5012:5013')
    .action(doctor);
}

/** Prints the result of every check. Fails when one is bad. */
async function doctor(options: DoctorOptions): Promise<void> {
  const { runChecks } = await import('../doctor-checks.ts');
  for await (const result of runChecks(options.config, options.bus)) {
    if (result.state === 'bad') process.exitCode = exitCodes.failed;
    if (options.json) printJson(result);
    else printResult(result);
  }
}

function printResult({ about, state, message, advice }: CheckResult): void {
  const sign = { good: colour.green('ok '), doubtful: colour.yellow('?  '), bad: colour.red('BAD') }[state];
  printLine(`${sign}  ${colour.bold(about)}: ${message}`);
  if (advice !== undefined) printLine(`     ${advice}`);
}
