import { randomFillSync } from 'node:crypto';

/** `{Subject: data}`. v1 sends one subject per message; several are delivered one by one. */
export type Payload = Readonly<Record<string, unknown>>;

/**
 * One message on the bus, exactly as aktos-dcs v1 writes it. Unknown keys are kept and passed on. An envelope and its
 * payload are frozen, because all actors that receive it share it.
 */
export interface Envelope {
  /** Id of the creator, then of every proxy that relayed the message. */
  readonly sender: readonly string[];
  /** Unix seconds of its creation. Not checked, because v1 accepts any. */
  readonly timestamp: unknown;
  /** `<creator id>.<serial>`; the serial counts from 0 for each creator and start. */
  readonly msg_id: string;
  readonly payload: Payload;
  readonly [key: string]: unknown;
}

/** The result of a parser: the value, or the reason why there is none. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string };

/** Deepest accepted nesting. Real messages stay below 5. It bounds the recursion behind the parser. */
export const MAX_DEPTH = 32;
/** Most entries of `sender`: the actor, its proxy and the relaying proxies. */
export const MAX_SENDERS = 64;
const MSG_ID = /^[^.]{1,64}\.\d{1,16}$/;

/** Parses one frame from the wire. Never throws; `reason` is for the drop counter and the log. */
export function parseEnvelope(json: string): Parsed<Envelope> {
  let found: unknown;
  try {
    found = JSON.parse(json);
  } catch (error) {
    return { ok: false, reason: `not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  return checkEnvelope(found);
}

/** Checks and freezes a parsed message. Returns the same object, so that unknown keys survive. */
export function checkEnvelope(found: unknown): Parsed<Envelope> {
  if (!isRecord(found)) return { ok: false, reason: 'not an object' };
  const reason = faultOf(found);
  if (reason !== undefined) return { ok: false, reason };
  if (!freezeDeep(found, MAX_DEPTH)) return { ok: false, reason: `nested deeper than ${MAX_DEPTH}` };
  return isEnvelope(found) ? { ok: true, value: found } : { ok: false, reason: 'incomplete' };
}

function faultOf({ sender, msg_id, payload }: Record<string, unknown>): string | undefined {
  if (!Array.isArray(sender) || sender.length === 0 || sender.length > MAX_SENDERS) {
    return `sender is not a list of 1 to ${MAX_SENDERS} ids`;
  }
  if (!sender.every(isId)) return 'sender has an entry that is not an id';
  if (typeof msg_id !== 'string' || !MSG_ID.test(msg_id)) return 'msg_id is not <id>.<serial>';
  return isRecord(payload) ? undefined : 'payload is not an object';
}

function isId(id: unknown): boolean {
  return typeof id === 'string' && id.length > 0 && id.length <= 64;
}

/** Encodes a message as one frame of JSON. */
export function encodeEnvelope(envelope: Envelope): string {
  return JSON.stringify(envelope);
}

/** Splits a msg_id that has passed checkEnvelope. */
export function splitMessageId(messageId: string): { creator: string; serial: number } {
  const dot = messageId.indexOf('.');
  return { creator: messageId.slice(0, dot), serial: Number(messageId.slice(dot + 1)) };
}

/** Returns whether a value is a JSON object: not null and not a list. */
export function isRecord(found: unknown): found is Record<string, unknown> {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

/**
 * Copies and freezes what a program sends, so that neither it nor a receiver can change it afterwards. Keys that are
 * `undefined` are left out. Returns `undefined` when it is nested deeper than `depth`.
 */
export function frozenCopy(value: Payload, depth: number = MAX_DEPTH): Payload | undefined {
  // Stored key by key: freezing a spread copy takes three times as long.
  const copy: Record<string, unknown> = {};
  for (const key in value) {
    const inner = value[key];
    if (inner === undefined || !Object.hasOwn(value, key)) continue;
    const frozen = typeof inner === 'object' && inner !== null ? frozenInner(inner, depth - 1) : inner;
    if (frozen === undefined) return undefined;
    if (key !== '__proto__') copy[key] = frozen;
    // Assigning this key would change the prototype of the copy.
    else Object.defineProperty(copy, key, { value: frozen, enumerable: true });
  }
  return Object.freeze(copy);
}

/** Returns `undefined` when `depth` is used up. */
function frozenInner(inner: object, depth: number): unknown {
  if (depth <= 0) return undefined;
  if (!Array.isArray(inner)) return isRecord(inner) ? frozenCopy(inner, depth) : inner;
  const copy: unknown[] = [];
  for (const entry of inner) {
    if (entry === undefined) continue;
    const frozen = typeof entry === 'object' && entry !== null ? frozenInner(entry, depth - 1) : entry;
    if (frozen === undefined) return undefined;
    copy.push(frozen);
  }
  return Object.freeze(copy);
}

/** Freezes a JSON value and everything in it. Returns false when it is nested deeper than `depth`. */
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
 * Returns a new random id. v1 uses 5 characters (57⁵ ≈ 6·10⁸ ids); a node's boot id must never repeat and is longer. Bytes
 * that would favour the first characters of the alphabet are discarded.
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
