import { isIPv4 } from 'node:net';

/** Where a request's script comes from: none (no browser), this page, one the configuration lists, or anywhere else. */
export type OriginKind = 'none' | 'own' | 'listed' | 'foreign';

/**
 * `origin` and `host` are the headers of the request. `secure`: our page comes over TLS; what comes under our name without
 * it, anybody on the way may have made.
 */
export function originKind(
  origin: string | undefined,
  host: string | undefined,
  listed: readonly string[],
  secure: boolean,
): OriginKind {
  if (origin === undefined) return 'none';
  if (listed.includes(origin)) return 'listed';
  // `null` is what a sandboxed page or a file sends.
  if (!URL.canParse(origin) || host === undefined) return 'foreign';
  const { protocol, host: from } = new URL(origin);
  return from === host.toLowerCase() && (!secure || protocol === 'https:') ? 'own' : 'foreign';
}

/**
 * Whether the Host header names this machine itself. Without logins only that is answered: a foreign name that is made to
 * point at 127.0.0.1 (DNS rebinding) would otherwise let its page in.
 */
export function isLocalName(host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(`http://${host}`)) return false;
  const { hostname } = new URL(`http://${host}`);
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
}
