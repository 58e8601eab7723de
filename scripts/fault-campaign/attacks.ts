import { ATTACKER_VALUES } from './record.ts';

/** The counter of the agent that must count an attack. */
export type Counted = 'forged' | 'malformed' | 'oversized' | 'refused';

/** An attacker: its ids on the wire, and the next serial of its actor. */
export interface Attacker {
  readonly actor: string;
  readonly node: string;
  /** Id of the node that commands the level; a placeholder until the welcome names it. */
  readonly hall: string;
  serial(): number;
  /** The token of the session, which the agent requires in each frame. */
  readonly token: string | undefined;
}

/** A frame to send, raw or as the messages of a session. */
export type Frame = { readonly raw: string } | { readonly messages: readonly unknown[] };

export interface Attack {
  /** `undefined` when the message is legal, but must have no effect. */
  readonly counted?: Counted;
  make(attacker: Attacker): Frame;
}

/** A message as an honest program sends it. */
function message(by: Attacker, payload: object): { sender: string[]; msg_id: string } {
  const { actor, node } = by;
  return { ...{ timestamp: Date.now() / 1000, payload }, sender: [actor, node], msg_id: `${actor}.${by.serial()}` };
}

const command = (by: Attacker, more: object = {}) =>
  message(by, { IoMessage: { pin_name: 'level', val: ATTACKER_VALUES + by.serial(), ...more } });
const noise = (by: Attacker) => message(by, { Noise: {} });
const about = (by: Attacker, event: string) =>
  message(by, { NodeMessage: { event, node: by.hall, name: 'hall', boot: 'b', pins: [] } });
const one = (make: (by: Attacker) => unknown) => (by: Attacker) => ({ messages: [make(by)] });
const raw = (make: (by: Attacker) => object) => (by: Attacker) => ({
  raw: JSON.stringify({ ...(by.token !== undefined && { k: by.token }), ...make(by) }),
});

export const attacks: readonly Attack[] = [
  // Forged senders: another node, another actor, none, and a forwarded message.
  { counted: 'forged', make: one((by) => ({ ...noise(by), sender: [by.actor, by.hall] })) },
  { counted: 'forged', make: one((by) => ({ ...noise(by), msg_id: `Other.${by.serial()}` })) },
  { counted: 'forged', make: one((by) => ({ ...noise(by), sender: [by.actor] })) },
  { counted: 'forged', make: one((by) => ({ ...noise(by), sender: [by.actor, by.hall, by.node] })) },
  // Commands that its key does not permit.
  { counted: 'forged', make: one((by) => command(by)) },
  { counted: 'forged', make: one((by) => command(by, { override: 600 })) },
  {
    counted: 'forged',
    make: one((by) => message(by, { IoMessage: { pin_name: 'lock', val: true } })),
  },
  { counted: 'forged', make: one((by) => message(by, { IoMessage: { pin_name: 'lock', rearm: true } })) },
  {
    counted: 'forged',
    make: one((by) => message(by, { SerialPortMessage: { port: 'scale', data: 'tare' } })),
  },
  // Malformed frames and messages.
  { counted: 'malformed', make: () => ({ raw: 'level=1' }) },
  { counted: 'malformed', make: () => ({ raw: '[1,2,3]' }) },
  { counted: 'malformed', make: one(() => 42) },
  { counted: 'malformed', make: one((by) => ({ ...command(by), sender: 'me' })) },
  { counted: 'malformed', make: one((by) => ({ ...command(by), msg_id: 'me' })) },
  {
    counted: 'malformed',
    make: one((by) => ({ ...command(by), payload: JSON.parse(`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`) })),
  },
  { counted: 'malformed', make: raw(() => ({ s: -3, t: 1, m: [] })) },
  { counted: 'malformed', make: raw(() => ({ open: 'sesame' })) },
  { counted: 'malformed', make: () => ({ raw: '{"s":0,"t":1,"m":[]}' }) },
  { counted: 'oversized', make: raw((by) => ({ s: 0, t: 1, m: [command(by)], fill: 'x'.repeat(1_200_000) })) },
  // Legal messages about others: presence of the controller of the level, and a report of a pin.
  { make: one((by) => about(by, 'heartbeat')) },
  { make: one((by) => about(by, 'leave')) },
  {
    make: one((by) => message(by, { IoMessage: { pin_name: 'lock', val: true, last_change: 1, quality: 'good' } })),
  },
];
