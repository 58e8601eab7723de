import { randomFillSync } from 'node:crypto';

/** `{Subject: data}`; v1 sends one subject a message, more are delivered one by one. */
export type Payload = Readonly<Record<string, unknown>>;

/**
 * One message on the bus, exactly as aktos-dcs v1 writes it. Keys this version does not know are kept and passed on.
 * An envelope is frozen, payload included: it is shared by every actor that receives it.
 */
export interface Envelope {
  /** Creator first, then every proxy that passed it on. */
  readonly sender: readonly string[];
  /** Unix seconds of its creation. Not checked: v1 accepts any, and so do we. */
  readonly timestamp: unknown;
  /** `<creator id>.<serial>`, the serial counting from 0 per creator and start. */
  readonly msg_id: string;
  readonly payload: Payload;
  readonly [key: string]: unknown;
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** Longest accepted nesting; real messages stay below 5. Bounds the recursion of everything behind the parser. */
export const MAX_DEPTH = 32;
/** Most entries of `sender`: actor, its proxy and the proxies that relayed. */
export const MAX_SENDERS = 64;
const MSG_ID = /^[^.]{1,64}\.\d{1,16}$/;

/** Parses one frame of the wire. Never throws; the reason says what is wrong, for the drop counter and the log. */
export function parseEnvelope(json: string): Parsed<Envelope> {
  let found: unknown;
  try {
    found = JSON.parse(json);
  } catch (error) {
    return { ok: false, reason: `not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  return checkEnvelope(found);
}

/** Checks and freezes an already parsed message. The same object is returned, so unknown keys survive. */
export function checkEnvelope(found: unknown): Parsed<Envelope> {
  if (!isRecord(found)) return { ok: false, reason: 'not an object' };
  const { sender, msg_id, payload } = found;
  if (!Array.isArray(sender) || sender.length === 0 || sender.length > MAX_SENDERS) {
    return { ok: false, reason: `sender is not a list of 1 to ${MAX_SENDERS} ids` };
  }
  if (!sender.every((id) => typeof id === 'string' && id.length > 0 && id.length <= 64)) {
    return { ok: false, reason: 'sender has an entry that is not an id' };
  }
  if (typeof msg_id !== 'string' || !MSG_ID.test(msg_id)) return { ok: false, reason: 'msg_id is not <id>.<serial>' };
  if (!isRecord(payload)) return { ok: false, reason: 'payload is not an object' };
  if (!freezeDeep(found, MAX_DEPTH)) return { ok: false, reason: `nested deeper than ${MAX_DEPTH}` };
  return isEnvelope(found) ? { ok: true, value: found } : { ok: false, reason: 'incomplete' };
}

/** The wire form: one frame of JSON. */
export function encodeEnvelope(envelope: Envelope): string {
  return JSON.stringify(envelope);
}

/** Creator and serial of a msg_id that has passed checkEnvelope. */
export function splitMessageId(messageId: string): { creator: string; serial: number } {
  const dot = messageId.indexOf('.');
  return { creator: messageId.slice(0, dot), serial: Number(messageId.slice(dot + 1)) };
}

/** A plain JSON object: not null, not a list. */
export function isRecord(found: unknown): found is Record<string, unknown> {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

/**
 * A frozen copy of what a program wants to send, so that neither it nor a receiver can change it afterwards. Undefined
 * when it is nested deeper than `depth`.
 */
export function frozenCopy(value: Payload, depth: number = MAX_DEPTH): Payload | undefined {
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    let inner = value[key];
    if (inner === undefined) continue;
    if (typeof inner === 'object' && inner !== null) {
      if (depth <= 1) return undefined;
      inner = Array.isArray(inner)
        ? frozenList(inner, depth - 1)
        : isRecord(inner)
          ? frozenCopy(inner, depth - 1)
          : inner;
      if (inner === undefined) return undefined;
    }
    if (key !== '__proto__') copy[key] = inner;
    // Assigning to that one would change what the copy is instead of what it holds.
    else Object.defineProperty(copy, key, { value: inner, enumerable: true });
  }
  return Object.freeze(copy);
}

function frozenList(list: readonly unknown[], depth: number): readonly unknown[] | undefined {
  const copied = frozenCopy({ ...list }, depth);
  return copied === undefined ? undefined : Object.freeze(Object.values(copied));
}

/** Freezes a JSON value and all in it; false when it is nested deeper than `depth`. */
export function freezeDeep(value: unknown, depth: number = MAX_DEPTH): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth <= 0) return false;
  Object.freeze(value);
  for (const key in value) {
    const inner: unknown = Reflect.get(value, key);
    if (typeof inner === 'object' && inner !== null && !freezeDeep(inner, depth - 1)) return false;
  }
  return true;
}

function isEnvelope(found: Record<string, unknown>): found is Record<string, unknown> & Envelope {
  return Array.isArray(found['sender']) && typeof found['msg_id'] === 'string' && isRecord(found['payload']);
}

/** The alphabet of aktos-dcs v1 ids: base 57, without characters that look alike. */
const ALPHABET = '23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/**
 * A new random id of `length` characters. v1 uses 5 (57⁵ ≈ 6·10⁸); a node's boot id, which must never repeat, takes more.
 * Bytes that would favour the first characters are thrown away, so every character is equally likely.
 */
export function newId(length = 5): string {
  const limit = 256 - (256 % ALPHABET.length);
  const bytes = new Uint8Array(length * 2);
  let id = '';
  while (id.length < length) {
    randomFillSync(bytes);
    for (const byte of bytes) {
      if (byte < limit && id.length < length) id += ALPHABET[byte % ALPHABET.length];
    }
  }
  return id;
}
