import { stringify } from 'yaml';
import type { DraftPin, ProfileDraft } from './draft.ts';

/** The text of a profile. `file`: where its data come from. */
export function profileText({ pins, defaults }: ProfileDraft, file: string): string {
  const lines = pins.flatMap(({ name, keys, comment }) => [
    ...(comment === undefined ? [] : [`  # ${comment}`]),
    `  ${name}: ${flow(keys)}`,
  ]);
  return [
    `# Started by \`dcs-io profiles new\` from ${file}. Compare some values with the display of the device before you trust it.`,
    `title: ${flow(`registers of ${file}`)}`,
    `source: ${flow(file)} # name the manual and its edition`,
    `defaults: ${flow(defaults)}`,
    'pins:',
    ...lines,
    '',
  ].join('\n');
}

function flow(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim();
}

/** The configuration of a device with these pins, to check them. */
export function deviceConfig({ pins, defaults }: ProfileDraft): string {
  const device = { port: 'bus', ...defaults, pins: Object.fromEntries(pins.map(({ name, keys }) => [name, keys])) };
  return JSON.stringify({ ports: { bus: { driver: 'modbus', tcp: 'localhost' } }, devices: { device } });
}

/** The pin that a problem at this key is about. */
export function pinAt(key: string, pins: readonly DraftPin[]): DraftPin | undefined {
  const path = key.startsWith('devices.device.pins.') ? key.slice('devices.device.pins.'.length) : '';
  return pins.find(({ name }) => path === name || path.startsWith(`${name}.`) || path.startsWith(`${name}[`));
}
