import type { Command } from 'commander';
import { commandPath, groups, leaves, usage } from './command-tree.ts';

/** What people type, by the path of the command. The help, the manual page and the reference show them. */
const examples: Readonly<Record<string, readonly string[]>> = {
  run: ['dcs-io run', 'dcs-io run --mock -c plant.yaml'],
  check: ['dcs-io check', 'dcs-io check --pins -c plant.yaml'],
  pins: ['dcs-io pins', 'dcs-io pins --bus 192.168.1.20:5012:5013'],
  watch: ['dcs-io watch', "dcs-io watch 'tank-*'", "dcs-io watch --json 'tank-*' | jq .val"],
  status: ['dcs-io status', 'dcs-io status --json'],
  get: ['dcs-io get tank-level', 'dcs-io get tank-level --json'],
  set: [
    'dcs-io set pump on',
    'dcs-io set pump-speed 42.5',
    'dcs-io set bell on --pulse 0.5',
    'dcs-io set valve on --hold 10',
  ],
  override: ['dcs-io override pump on --for 10m', 'dcs-io override pump --end'],
  rearm: ['dcs-io rearm pump'],
  'boards list': ['dcs-io boards list'],
  'boards show': ['dcs-io boards show raspberry-pi-4b', 'dcs-io boards show -c dcs-io.yaml'],
  'boards hats': ['dcs-io boards hats'],
  'scan modbus': [
    'dcs-io scan modbus --port serial:/dev/ttyUSB0',
    'dcs-io scan modbus --port tcp:192.168.1.10:502 --units 1-10',
  ],
  'scan i2c': ['dcs-io scan i2c', 'dcs-io scan i2c 1 --mux 0x70/3'],
  'modbus read': ['dcs-io modbus read --port tcp:192.168.1.10:502 holding 0 10'],
  'modbus write': ['dcs-io modbus write --port serial:/dev/ttyUSB0 --line 9600-8N1 --unit 3 coil 0 on'],
  'modbus raw': ['dcs-io modbus raw --port tcp:192.168.1.10:502 17'],
  simulate: ['dcs-io simulate plant.yaml'],
  'profiles list': ['dcs-io profiles list'],
  'profiles show': ['dcs-io profiles show eastron/sdm120'],
  'serial list': ['dcs-io serial list'],
  'serial monitor': ['dcs-io serial monitor /dev/ttyUSB0 --line 9600-8N1', 'dcs-io serial monitor scale --hex'],
  'keys new': ['dcs-io keys new'],
  'keys show': ['dcs-io keys show'],
  'keys allow': ["dcs-io keys allow panel 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7' --read '*' --write 'hall.*'"],
  'keys revoke': ['dcs-io keys revoke panel'],
  'keys list': ['dcs-io keys list'],
  'web password': ['dcs-io web password'],
  'web token': ['dcs-io web token'],
  init: ['dcs-io init', 'dcs-io init --yes -c /etc/dcs-io/dcs-io.yaml'],
  doctor: ['dcs-io doctor', 'dcs-io doctor --bus 192.168.1.20:5012:5013'],
  release: ['dcs-io release', 'sudo dcs-io release --all'],
  'service install': ['sudo dcs-io service install'],
  'service uninstall': ['sudo dcs-io service uninstall'],
  'service status': ['dcs-io service status'],
  tail: ['dcs-io tail', "dcs-io tail -f 'pump-*'", 'dcs-io tail -n 100 --json'],
  schema: ['dcs-io schema > dcs-io.schema.json'],
  completion: ['dcs-io completion bash > /etc/bash_completion.d/dcs-io', 'dcs-io completion fish | source'],
};

export function examplesOf(command: Command): readonly string[] {
  return examples[commandPath(command)] ?? [];
}

/** Puts examples below the help of every command. */
export function addExamples(cli: Command): void {
  for (const command of leaves(cli)) {
    const lines = examplesOf(command);
    command.showHelpAfterError(
      [`usage: ${usage(command)}`, ...lines.slice(0, 1).map((line) => `for example: ${line}`)].map(indented).join('\n'),
    );
    if (lines.length > 0) command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
  }
  for (const group of groups(cli)) {
    group.showHelpAfterError(indented(`dcs-io ${commandPath(group)} --help lists its commands`));
  }
  cli.addHelpText('after', '\ndcs-io <command> --help shows its options and examples.');
}

function indented(line: string): string {
  return `        ${line}`;
}
