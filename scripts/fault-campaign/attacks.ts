import { ATTACKER_VALUES } from './record.ts';

/** The counter of the agent under which an attack is to be found. */
export type Counted = 'forged' | 'malformed' | 'oversized' | 'refused';

/** Who attacks: ids on the wire, and the next serial of its actor. */
export interface Attacker {
  readonly actor: string;
  readonly node: string;
  /** Id of the node that commands the level, once it is known. */
  readonly hall: string;
  serial(): number;
  /** What the agent wants to see in each frame. */
  readonly token: string | undefined;
}

/** A frame to send; `messages` are those that the agent counts in the order of the link. */
export type Frame = { readonly raw: string } | { readonly messages: readonly unknown[] };

export interface Attack {
  /** Absent: it is no offence to say so, and must be of no effect. */
  readonly counted?: Counted;
  make(attacker: Attacker): Frame;
}

/** What an honest program would send as this. */
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
  // What it might say in its own name: as if another node had said it, another actor, nobody, and as if passed on.
  { counted: 'forged', make: one((by) => ({ ...noise(by), sender: [by.actor, by.hall] })) },
  { counted: 'forged', make: one((by) => ({ ...noise(by), msg_id: `Other.${by.serial()}` })) },
  { counted: 'forged', make: one((by) => ({ ...noise(by), sender: [by.actor] })) },
  { counted: 'forged', make: one((by) => ({ ...noise(by), sender: [by.actor, by.hall, by.node] })) },
  // What its key may not.
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
  // No messages at all, or none of ours.
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
  // Words about others: the controller of the level lives, and has gone; a pin is what it is not.
  { make: one((by) => about(by, 'heartbeat')) },
  { make: one((by) => about(by, 'leave')) },
  {
    make: one((by) => message(by, { IoMessage: { pin_name: 'lock', val: true, last_change: 1, quality: 'good' } })),
  },
];
